//! Heads: words from hidden states, and unit vectors for the shared space.

use super::init::Init;
use crate::config::TextConfig;
use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{DType, Tensor, backend::Backend};
use svitt_ops::device::{cast, matmul};
use svitt_ops::fused::{FusedOps, layer_norm, linear_gelu};

/// BERT's masked-language head: dense, GELU, layer norm, then the word embeddings as decoder
/// (docs/model.md, "Masked-language loss").
#[derive(Module, Debug)]
pub struct MlmHead<B: Backend> {
    /// `[hidden, hidden]`.
    pub dense: Linear<B>,
    /// Before the decoder.
    pub norm: LayerNorm<B>,
    /// One number per word, `[vocab]`.
    pub bias: Param<Tensor<B, 1>>,
    epsilon: f64,
}

impl<B: FusedOps> MlmHead<B> {
    /// The head of `config`.
    pub fn new(config: &TextConfig, init: &mut Init<B>) -> Self {
        Self {
            dense: init.linear(config.hidden, config.hidden),
            norm: init.layer_norm(config.hidden, config.layer_norm_eps),
            bias: init.constant([config.vocab_size], 0.0),
            epsilon: config.layer_norm_eps,
        }
    }

    /// `hidden` `[batch, tokens, hidden]` and the word embeddings `[vocab, hidden]` to `[batch, tokens, vocab]`, f32.
    pub fn forward(&self, hidden: Tensor<B, 3>, words: Tensor<B, 2>) -> Tensor<B, 3> {
        let [batch, tokens, width] = hidden.dims();
        let vocab = words.dims()[0];
        let x = layer_norm(linear_gelu(hidden, &self.dense), &self.norm, self.epsilon);
        let words = cast(words, x.dtype());
        let scores = matmul(x.reshape([batch * tokens, width]), words.transpose());
        (cast(scores, DType::F32) + self.bias.val().unsqueeze()).reshape([batch, tokens, vocab])
    }
}

/// Rows of `x` `[batch, width]` at length 1; the floor of 1e-12 is PyTorch's `normalize`.
pub fn unit_rows<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    let length = x.clone().powi_scalar(2).sum_dim(1).sqrt().clamp_min(1e-12);
    x / length
}
