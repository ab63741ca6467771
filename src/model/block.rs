//! One layer of the video encoder (SPEC §1.2): pre-norm attention and feed-forward, layer scale, stochastic depth.

use super::init::Init;
use crate::backend::{SvittBackend, cast, joined, parts, samples};
use crate::config::VideoConfig;
use crate::fused::{layer_norm, linear_gelu, linear_scaled_residual};
use crate::rng::Rng;
use crate::sparse::{BlockGraph, RelativeBias, class_attention, sparse_attention};
use crate::tokens::TokenMap;
use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use std::ops::Range;
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
    epsilon: f64,
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
            epsilon: config.layer_norm_eps,
            centre: RelativeBias::<B>::raster_centre(config.frames, config.grid()),
        }
    }

    /// The bias of this layer for the tokens of `map`, in elements of `dtype`.
    pub(super) fn bias(&self, map: &TokenMap<B>, dtype: DType) -> RelativeBias<B> {
        RelativeBias { table: cast(self.position_table.val(), dtype), coords: map.coords.clone(), centre: self.centre }
    }

    fn qkv(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let no_key_bias = self.query_bias.val().zeros_like();
        let bias = Tensor::cat(vec![self.query_bias.val(), no_key_bias, self.value_bias.val()], 0);
        let ([batch, s, d], dtype) = (x.dims(), x.dtype());
        let rows = x.reshape([batch * s, d]).matmul(cast(self.qkv.val(), dtype)) + cast(bias, dtype).unsqueeze();
        rows.reshape([batch, s, 3 * d])
    }

    /// What every sample's branch is multiplied with, `[batch, 1, 1]`: 0 with the layer's probability, else what keeps
    /// the mean; none where nothing is dropped. `path` tells the two branches apart.
    fn drop_path(&self, batch: usize, seed: Option<u64>, path: u64) -> Option<Tensor<B, 3>> {
        let seed = seed.filter(|_| self.drop_path > 0.0)?;
        let mut rng = Rng::new(seed, &[path]);
        let scale = (1.0 / (1.0 - self.drop_path)) as f32;
        let kept: Vec<f32> = (0..batch).map(|_| if rng.chance(self.drop_path) { 0.0 } else { scale }).collect();
        Some(Tensor::from_data(TensorData::new(kept, [batch, 1, 1]), &self.lambda_1.device()))
    }
}

impl<B: SvittBackend> VideoLayer<B> {
    /// `hidden` `[batch, 1 + tokens, d]` through the layer; `drop_path_seed` is the layer's own, `None` in evaluation.
    pub(super) fn forward(
        &self,
        hidden: Tensor<B, 3>,
        map: &TokenMap<B>,
        graph: &Arc<BlockGraph>,
        drop_path_seed: Option<u64>,
        want_class_attention: bool,
    ) -> LayerOutput<B> {
        let [batch, s, d] = hidden.dims();
        let widest = (3 * d).max(self.up.weight.dims()[1]);
        let parts = parts::<B>(&hidden.device(), batch, s * widest);
        let bias = self.bias(map, hidden.dtype());
        let attend = |part| self.attend(samples(&hidden, part), &bias.of(part), graph, want_class_attention);
        let (attended, class_attention): (Vec<_>, Vec<_>) = parts.iter().map(attend).unzip();
        let attended = joined(attended);
        let hidden = self.join(hidden.clone(), drop_path_seed, 0, |residual| {
            linear_scaled_residual(residual, attended.clone(), &self.attention_out, self.lambda_1.val())
        });
        let out =
            self.join(hidden.clone(), drop_path_seed, 1, |residual| self.feed_forward(&hidden, &residual, &parts));
        let class_attention = class_attention.into_iter().collect::<Option<Vec<_>>>().map(joined);
        LayerOutput { hidden: out, class_attention }
    }

    /// Attention over the tokens of `hidden`, before its projection, and the class token's attention to the patches.
    fn attend(
        &self,
        hidden: Tensor<B, 3>,
        bias: &RelativeBias<B>,
        graph: &Arc<BlockGraph>,
        want_class_attention: bool,
    ) -> (Tensor<B, 3>, Option<Tensor<B, 2>>) {
        let qkv = self.qkv(layer_norm(hidden, &self.norm_before, self.epsilon));
        let class_attention = want_class_attention.then(|| class_attention(&qkv, bias));
        (sparse_attention(qkv, bias, graph).out, class_attention)
    }

    /// residual + λ2 ⊙ MLP(LN(hidden)), in parts that fit the device: its inner activations are the widest.
    fn feed_forward(&self, hidden: &Tensor<B, 3>, residual: &Tensor<B, 3>, parts: &[Range<usize>]) -> Tensor<B, 3> {
        let of_part = |part: &Range<usize>| {
            let normal = layer_norm(samples(hidden, part), &self.norm_after, self.epsilon);
            let inner = linear_gelu(normal, &self.up);
            linear_scaled_residual(samples(residual, part), inner, &self.down, self.lambda_2.val())
        };
        joined(parts.iter().map(of_part).collect())
    }

    /// `branch` adds a branch to its argument: to `hidden`, or where a stochastic depth drops it for some samples to
    /// zeros, which are then weighted and added.
    fn join(
        &self,
        hidden: Tensor<B, 3>,
        drop_path_seed: Option<u64>,
        path: u64,
        branch: impl Fn(Tensor<B, 3>) -> Tensor<B, 3>,
    ) -> Tensor<B, 3> {
        match self.drop_path(hidden.dims()[0], drop_path_seed, path) {
            None => branch(hidden),
            Some(kept) => {
                let kept = cast(kept, hidden.dtype());
                hidden.clone() + branch(hidden.zeros_like()) * kept
            }
        }
    }
}
