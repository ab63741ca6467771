//! One layer of the video encoder: pre-norm attention and feed-forward, layer scale, stochastic depth
//! (docs/model.md, "Encoder layer").

use super::init::Init;
use crate::config::VideoConfig;
use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use std::sync::Arc;
use svitt_ops::SvittBackend;
use svitt_ops::device::cast;
use svitt_ops::fused::{feed_forward, linear_residual};
use svitt_ops::rng::Rng;
use svitt_ops::sparse::{BlockGraph, QkvProjection, RelativeBias, self_attention};
use svitt_ops::tokens::TokenMap;

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
    /// The relative position table, `[rows, heads]` (docs/model.md, "Relative position bias").
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

/// A layer's output and, on request, the class token's attention.
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
        Some(Tensor::from_data(TensorData::new(kept, [batch]), &self.lambda_1.device()))
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
        let (batch, bias) = (hidden.dims()[0], self.bias(map, hidden.dtype()));
        let (norm, epsilon) = (&self.norm_before, self.epsilon);
        let projection = QkvProjection { norm, epsilon, weight: self.qkv.val(), bias: self.qkv_bias() };
        let attended = self_attention(&hidden, &projection, &bias, graph, want_class_attention);
        let keep = |path| self.drop_path(batch, drop_path_seed, path);
        let hidden = linear_residual(hidden, attended.out, &self.attention_out, self.lambda_1.val(), keep(0));
        let (norm, linear) = ((&self.norm_after, epsilon), [&self.up, &self.down]);
        let hidden = feed_forward(hidden, norm, linear, self.lambda_2.val(), keep(1));
        LayerOutput { hidden, class_attention: attended.class_attention }
    }
}
