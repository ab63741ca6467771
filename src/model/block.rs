//! One layer of the video encoder (SPEC §1.2): pre-norm attention and feed-forward, layer scale, stochastic depth.

use super::init::Init;
use super::layers::gelu_exact;
use crate::config::VideoConfig;
use crate::rng::Rng;
use crate::sparse::{BlockGraph, RelativeBias, SparseOps, class_attention, sparse_attention};
use crate::tokens::TokenMap;
use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use std::sync::Arc;

/// A layer: u = x + λ1 ⊙ Attn(LN(x)), y = u + λ2 ⊙ MLP(LN(u)).
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
    /// The relative position table, `[rows, heads]` (SPEC §1.4).
    pub position_table: Param<Tensor<B, 2>>,
    /// Output projection of the attention.
    pub attention_out: Linear<B>,
    /// LN before the feed-forward part.
    pub norm_after: LayerNorm<B>,
    /// d → 4d.
    pub up: Linear<B>,
    /// 4d → d.
    pub down: Linear<B>,
    /// Layer scale of the attention, `[d]`.
    pub lambda_1: Param<Tensor<B, 1>>,
    /// Layer scale of the feed-forward part, `[d]`.
    pub lambda_2: Param<Tensor<B, 1>>,
    drop_path: f64,
    centre: usize,
}

/// What a layer hands on beside its output.
pub(super) struct LayerOutput<B: Backend> {
    /// `[batch, 1 + tokens, d]`.
    pub hidden: Tensor<B, 3>,
    /// Head mean of the class token's attention to the patches, `[batch, tokens]`, if it was asked for.
    pub class_attention: Option<Tensor<B, 2>>,
}

impl<B: Backend> VideoLayer<B> {
    /// Fresh weights of layer `layer` of `config`: position table 0, layer scale as configured.
    pub fn new(config: &VideoConfig, layer: usize, init: &mut Init<B>) -> Self {
        let d = config.hidden;
        Self {
            norm_before: init.layer_norm(d, config.layer_norm_eps),
            qkv: init.normal([d, 3 * d]),
            query_bias: init.constant([d], 0.0),
            value_bias: init.constant([d], 0.0),
            position_table: init.constant([config.table_rows(), config.heads], 0.0),
            attention_out: init.linear(d, d),
            norm_after: init.layer_norm(d, config.layer_norm_eps),
            up: init.linear(d, config.ffn),
            down: init.linear(config.ffn, d),
            lambda_1: init.constant([d], config.layer_scale),
            lambda_2: init.constant([d], config.layer_scale),
            drop_path: config.drop_path * layer as f64 / (config.layers.max(2) - 1) as f64,
            centre: RelativeBias::<B>::raster_centre(config.frames, config.grid()),
        }
    }

    /// The bias of this layer for the tokens of `map`.
    pub(super) fn bias(&self, map: &TokenMap<B>) -> RelativeBias<B> {
        RelativeBias { table: self.position_table.val(), coords: map.coords.clone(), centre: self.centre }
    }

    fn qkv(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let no_key_bias = self.query_bias.val().zeros_like();
        let bias = Tensor::cat(vec![self.query_bias.val(), no_key_bias, self.value_bias.val()], 0);
        burn::tensor::module::linear(x, self.qkv.val(), Some(bias))
    }

    /// Zeroes whole samples with the layer's probability and scales the others up; `path` tells the two uses apart.
    fn drop_path(&self, x: Tensor<B, 3>, seed: Option<u64>, path: u64) -> Tensor<B, 3> {
        let Some(seed) = seed.filter(|_| self.drop_path > 0.0) else { return x };
        let mut rng = Rng::new(seed, &[path]);
        let scale = (1.0 / (1.0 - self.drop_path)) as f32;
        let batch = x.dims()[0];
        let kept: Vec<f32> = (0..batch).map(|_| if rng.chance(self.drop_path) { 0.0 } else { scale }).collect();
        let device = x.device();
        x * Tensor::<B, 3>::from_data(TensorData::new(kept, [batch, 1, 1]), &device)
    }
}

impl<B: SparseOps> VideoLayer<B> {
    /// `hidden` `[batch, 1 + tokens, d]` through the layer; `drop_path_seed` is the layer's own, `None` in evaluation.
    pub(super) fn forward(
        &self,
        hidden: Tensor<B, 3>,
        map: &TokenMap<B>,
        graph: &Arc<BlockGraph>,
        drop_path_seed: Option<u64>,
        want_class_attention: bool,
    ) -> LayerOutput<B> {
        let bias = self.bias(map);
        let qkv = self.qkv(self.norm_before.forward(hidden.clone()));
        let class_attention = want_class_attention.then(|| class_attention(&qkv, &bias));
        let attended = self.attention_out.forward(sparse_attention(qkv, &bias, graph).out);
        let attended = attended * self.lambda_1.val().unsqueeze::<3>();
        let hidden = hidden + self.drop_path(attended, drop_path_seed, 0);
        let inner = gelu_exact(self.up.forward(self.norm_after.forward(hidden.clone())));
        let fed = self.down.forward(inner) * self.lambda_2.val().unsqueeze::<3>();
        LayerOutput { hidden: hidden + self.drop_path(fed, drop_path_seed, 1), class_attention }
    }
}
