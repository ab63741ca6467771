//! One layer of the video encoder: pre-norm attention and feed-forward, layer scale, stochastic depth
//! (docs/model.md, "Encoder layer").

use super::init::Init;
use crate::config::{Positions, Selection, VideoConfig};
use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use std::ops::Range;
use std::sync::Arc;
use svitt_ops::SvittBackend;
use svitt_ops::device::{cast, joined, parts, samples};
use svitt_ops::fused::{feed_forward, linear_residual, norm_linear};
use svitt_ops::rng::Rng;
use svitt_ops::sparse::{
    BlockGraph, RelativeBias, class_attention, mean_query_attention, received_attention, sparse_attention,
};
use svitt_ops::tokens::TokenMap;

/// A layer: u = x + λ1 ⊙ Attn(LN(x)), y = u + λ2 ⊙ MLP(LN(u)); λ1 = λ2 = 1 in models without layer scale.
#[derive(Module, Debug)]
pub struct VideoLayer<B: Backend> {
    /// LN before attention.
    pub norm_before: LayerNorm<B>,
    /// Queries, keys and values in one map, `[d, 3d]`.
    pub qkv: Param<Tensor<B, 2>>,
    /// `[d]`.
    pub query_bias: Param<Tensor<B, 1>>,
    /// `[d]`; keys have no bias.
    pub value_bias: Param<Tensor<B, 1>>,
    /// The relative position table, `[rows, heads]` (docs/model.md), in models that have tables.
    pub position_table: Option<Param<Tensor<B, 2>>>,
    /// Output projection of the attention.
    pub attention_out: Linear<B>,
    /// LN before the feed-forward part.
    pub norm_after: LayerNorm<B>,
    /// d → 4d.
    pub up: Linear<B>,
    /// 4d → d.
    pub down: Linear<B>,
    /// Layer scale of the attention, `[d]`.
    pub lambda_1: Option<Param<Tensor<B, 1>>>,
    /// Layer scale of the feed-forward part, `[d]`.
    pub lambda_2: Option<Param<Tensor<B, 1>>>,
    heads: usize,
    class_token: bool,
    drop_path: f64,
    epsilon: f64,
    centre: usize,
}

/// A layer's output and, on request, the class token's attention.
pub(super) struct LayerOutput<B: Backend> {
    /// `[batch, 1 + tokens, d]`.
    pub hidden: Tensor<B, 3>,
    /// The attention that patches are ranked by, `[batch, tokens]`, if it was asked for.
    pub ranking: Option<Tensor<B, 2>>,
}

impl<B: Backend> VideoLayer<B> {
    /// Fresh weights of layer `layer` of `config`: position table 0, layer scale as configured.
    pub fn new(config: &VideoConfig, layer: usize, init: &mut Init<B>) -> Self {
        let (d, has_table) = (config.hidden, config.positions == Positions::Relative);
        Self {
            norm_before: init.layer_norm(d, config.layer_norm_eps),
            qkv: init.normal([d, 3 * d]),
            query_bias: init.constant([d], 0.0),
            value_bias: init.constant([d], 0.0),
            position_table: has_table.then(|| init.constant([config.table_rows(), config.heads], 0.0)),
            attention_out: init.linear(d, d),
            norm_after: init.layer_norm(d, config.layer_norm_eps),
            up: init.linear(d, config.ffn),
            down: init.linear(config.ffn, d),
            lambda_1: config.layer_scale.map(|scale| init.constant([d], scale)),
            lambda_2: config.layer_scale.map(|scale| init.constant([d], scale)),
            heads: config.heads,
            class_token: config.class_token,
            drop_path: config.drop_path * layer as f64 / (config.layers.max(2) - 1) as f64,
            epsilon: config.layer_norm_eps,
            centre: match has_table {
                true => RelativeBias::<B>::raster_centre(config.frames_per_sequence(), config.grid()),
                false => 0,
            },
        }
    }

    /// The bias of this layer for the tokens of `map`, in elements of `dtype`.
    pub(super) fn bias(&self, map: &TokenMap<B>, dtype: DType) -> RelativeBias<B> {
        let (coords, centre) = (map.coords.clone(), self.centre);
        let table = match &self.position_table {
            Some(table) => table.val(),
            None if self.class_token => RelativeBias::none(self.heads, 1, &coords.device()).table,
            None => RelativeBias::without_class(self.heads, 1, &coords.device()).table,
        };
        RelativeBias { table: cast(table, dtype), coords, centre }
    }

    /// A layer scale, 1 where there is none: `[d]`.
    fn scale(&self, lambda: &Option<Param<Tensor<B, 1>>>) -> Tensor<B, 1> {
        match lambda {
            Some(lambda) => lambda.val(),
            None => Tensor::ones(self.query_bias.lazy_shape(), &self.query_bias.device()),
        }
    }

    /// Queries and values have a bias, keys have none: `[3d]`.
    fn qkv_bias(&self) -> Tensor<B, 1> {
        let query = self.query_bias.val();
        Tensor::cat(vec![query.clone(), query.zeros_like(), self.value_bias.val()], 0)
    }

    /// The factor of every sample's branch, `[batch]`: 0 with the layer's drop probability, else 1/(1−p); none in
    /// evaluation. `path` distinguishes the two branches.
    fn drop_path(&self, batch: usize, seed: Option<u64>, path: u64) -> Option<Tensor<B, 1>> {
        let seed = seed.filter(|_| self.drop_path > 0.0)?;
        let mut rng = Rng::new(seed, &[path]);
        let scale = (1.0 / (1.0 - self.drop_path)) as f32;
        let kept: Vec<f32> = (0..batch).map(|_| if rng.chance(self.drop_path) { 0.0 } else { scale }).collect();
        Some(Tensor::from_data(TensorData::new(kept, [batch]), &self.query_bias.device()))
    }
}

impl<B: SvittBackend> VideoLayer<B> {
    /// `hidden` `[batch, 1 + tokens, d]` through the layer; `drop_path_seed` is the layer's own, `None` in evaluation;
    /// `ranking`: what patches are to be ranked by.
    pub(super) fn forward(
        &self,
        hidden: Tensor<B, 3>,
        map: &TokenMap<B>,
        graph: &Arc<BlockGraph>,
        drop_path_seed: Option<u64>,
        ranking: Option<Selection>,
    ) -> LayerOutput<B> {
        let [batch, s, d] = hidden.dims();
        let widest = (3 * d).max(self.up.weight.dims()[1]);
        let parts = parts::<B>(&hidden.device(), batch, s * widest);
        let bias = self.bias(map, hidden.dtype());
        let attend = |part| self.attend(samples(&hidden, part), &bias.of(part), graph, ranking);
        let (attended, ranking): (Vec<_>, Vec<_>) = parts.iter().map(attend).unzip();
        let keep = |path| self.drop_path(batch, drop_path_seed, path);
        let (attended, lambda) = (joined(attended), self.scale(&self.lambda_1));
        let hidden = linear_residual(hidden.clone(), attended, &self.attention_out, lambda, keep(0));
        let hidden = self.feed_forward(&hidden, keep(1).as_ref(), &parts);
        let ranking = ranking.into_iter().collect::<Option<Vec<_>>>().map(joined);
        LayerOutput { hidden, ranking }
    }

    /// Attention over the tokens of `hidden`, before its projection, and what patches are ranked by, if that is an
    /// attention.
    fn attend(
        &self,
        hidden: Tensor<B, 3>,
        bias: &RelativeBias<B>,
        graph: &Arc<BlockGraph>,
        ranking: Option<Selection>,
    ) -> (Tensor<B, 3>, Option<Tensor<B, 2>>) {
        let qkv = norm_linear(hidden, &self.norm_before, self.epsilon, self.qkv.val(), self.qkv_bias());
        let attended = sparse_attention(qkv.clone(), bias, graph);
        let ranking = ranking.and_then(|selection| match selection {
            Selection::ClassAttention if self.class_token => Some(class_attention(&qkv, bias)),
            Selection::ClassAttention | Selection::Received => {
                Some(received_attention(&qkv, &attended.lse, bias, graph))
            }
            Selection::MeanQuery => Some(mean_query_attention(&qkv, self.heads)),
            Selection::Random | Selection::AverageAttention => None,
        });
        (attended.out, ranking)
    }

    /// hidden + keep ⊙ λ2 ⊙ MLP(LN(hidden)), in parts that fit the device: its inner activations are the widest.
    fn feed_forward(&self, hidden: &Tensor<B, 3>, keep: Option<&Tensor<B, 1>>, parts: &[Range<usize>]) -> Tensor<B, 3> {
        let of_part = |part: &Range<usize>| {
            let keep = keep.map(|keep| samples(keep, part));
            let (norm, linear) = ((&self.norm_after, self.epsilon), [&self.up, &self.down]);
            feed_forward(samples(hidden, part), norm, linear, self.scale(&self.lambda_2), keep)
        };
        joined(parts.iter().map(of_part).collect())
    }
}
