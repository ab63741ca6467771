//! Post-norm multi-head attention of BERT, to the text itself or to another encoder's states
//! (docs/model.md, "Text encoder").

use super::dropout::dropout;
use super::init::Init;
use super::layers::{Mode, linear, masked_softmax};
use crate::config::TextConfig;
use burn::module::Module;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{Int, Tensor, backend::Backend};
use svitt_ops::device::{cast, matmul};
use svitt_ops::fused::{FusedOps, layer_norm};

/// Attention, output projection, residual and layer norm.
#[derive(Module, Debug)]
pub struct BertAttention<B: Backend> {
    /// `[hidden, hidden]`.
    pub query: Linear<B>,
    /// `[source width, hidden]`.
    pub key: Linear<B>,
    /// `[source width, hidden]`.
    pub value: Linear<B>,
    /// `[hidden, hidden]`.
    pub output: Linear<B>,
    /// Over the sum of the output and the input.
    pub norm: LayerNorm<B>,
    heads: usize,
    dropout: f64,
    epsilon: f64,
}

/// What queries attend to.
#[derive(Clone, Debug)]
pub struct AttentionSource<B: Backend> {
    /// `[sources, keys, source width]`; one source alone serves every row of the batch.
    pub states: Tensor<B, 3>,
    /// Which source each row of the batch attends to, `[batch]`; none: row i to source i.
    pub rows: Option<Tensor<B, 1, Int>>,
    /// Added to the scores, broadcast to `[batch, heads, tokens, keys]`; see [`super::layers::additive_mask`].
    pub mask: Option<Tensor<B, 4>>,
}

impl<B: FusedOps> BertAttention<B> {
    /// Attention from tokens of `config.hidden` to states of `source_width`.
    pub fn new(config: &TextConfig, source_width: usize, init: &mut Init<B>) -> Self {
        let hidden = config.hidden;
        Self {
            query: init.linear(hidden, hidden),
            key: init.linear(source_width, hidden),
            value: init.linear(source_width, hidden),
            output: init.linear(hidden, hidden),
            norm: init.layer_norm(hidden, config.layer_norm_eps),
            heads: config.heads,
            dropout: config.dropout,
            epsilon: config.layer_norm_eps,
        }
    }

    /// `x` `[batch, tokens, hidden]` after attending to `source`, and the probabilities before dropout
    /// `[batch, heads, tokens, keys]`, f32.
    pub fn forward(&self, x: Tensor<B, 3>, source: &AttentionSource<B>, mode: Mode) -> (Tensor<B, 3>, Tensor<B, 4>) {
        let [batch, tokens, hidden] = x.dims();
        let scale = ((hidden / self.heads) as f64).powf(-0.5);
        let query = self.split(linear(&self.query, x.clone()).mul_scalar(scale));
        // Projected before rows are repeated: a video shared by several texts is projected once.
        let of_rows = |states: Tensor<B, 3>| match &source.rows {
            Some(rows) => states.select(0, rows.clone()),
            None => states,
        };
        let key = self.split(of_rows(linear(&self.key, source.states.clone())));
        let value = linear(&self.value, source.states.clone());
        let probabilities = masked_softmax(matmul(query, key.swap_dims(2, 3)), source.mask.clone());
        let weights = cast(probabilities.clone(), value.dtype());
        let seen = if mode == Mode::Eval || self.dropout == 0.0 {
            // Probabilities of a row sum to 1, so a constant subtracted from the values can be added back exactly; it
            // reduces cancellation in the gradient of the probabilities. Before rows are repeated and heads are split
            // the values lie as they are read.
            let centre = value.clone().mean_dim(1).detach();
            let value = self.split(of_rows(value - centre.clone()));
            matmul(weights, value) + self.split(of_rows(centre))
        } else {
            matmul(dropout(weights, self.dropout, mode), self.split(of_rows(value)))
        };
        let seen = linear(&self.output, seen.swap_dims(1, 2).reshape([batch, tokens, hidden]));
        (layer_norm(dropout(seen, self.dropout, mode) + x, &self.norm, self.epsilon), probabilities)
    }

    /// `[batch, tokens, hidden]` to `[batch, heads, tokens, head_dim]`.
    fn split(&self, x: Tensor<B, 3>) -> Tensor<B, 4> {
        let [batch, tokens, hidden] = x.dims();
        x.reshape([batch, tokens, self.heads, hidden / self.heads]).swap_dims(1, 2)
    }
}
