//! One layer of the video encoder: pre-norm attention and feed-forward, layer scale, stochastic depth
//! (docs/model.md, "Encoder layer").

use super::init::Init;
use crate::config::{Positions, Selection, VideoConfig};
use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{DType, Int, Tensor, TensorData, backend::Backend};
use std::sync::Arc;
use svitt_ops::SvittBackend;
use svitt_ops::device::{Arithmetic, cast};
use svitt_ops::fused::{feed_forward, linear_residual};
use svitt_ops::rng::Rng;
use svitt_ops::sparse::{BlockGraph, PatchRanking, QkvProjection, RelativeBias, self_attention};
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
    /// The blocks that samples and heads chose, `[batch, heads, blocks, chosen]`, if the graph leaves any.
    pub chosen: Option<Tensor<B, 4, Int>>,
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
    /// `hidden` `[batch, 1 + tokens, d]` of the residual stream of `arithmetic` through the layer; `drop_path_seed` is the
    /// layer's own, `None` in evaluation; `ranking`: what patches are to be ranked by.
    pub(super) fn forward(
        &self,
        hidden: Tensor<B, 3>,
        map: &TokenMap<B>,
        graph: &Arc<BlockGraph>,
        (arithmetic, drop_path_seed): (Arithmetic, Option<u64>),
        ranking: Option<Selection>,
    ) -> LayerOutput<B> {
        let (batch, bias) = (hidden.dims()[0], self.bias(map, arithmetic.dtype()));
        let (norm, epsilon) = (&self.norm_before, self.epsilon);
        let projection = QkvProjection { norm, epsilon, weight: self.qkv.val(), bias: self.qkv_bias(), arithmetic };
        let attended = self_attention(&hidden, &projection, &bias, graph, self.patch_ranking(ranking));
        let keep = |path| self.drop_path(batch, drop_path_seed, path);
        let (lambda_1, lambda_2) = (self.scale(&self.lambda_1), self.scale(&self.lambda_2));
        let hidden = linear_residual(hidden, attended.out, &self.attention_out, lambda_1, keep(0), arithmetic);
        let (norm, linear) = ((&self.norm_after, epsilon), [&self.up, &self.down]);
        let hidden = feed_forward(hidden, norm, linear, lambda_2, keep(1), arithmetic);
        LayerOutput { hidden, ranking: attended.ranking, chosen: attended.chosen }
    }

    /// The attention that `selection` ranks patches by, if it is one of this layer's.
    fn patch_ranking(&self, selection: Option<Selection>) -> Option<PatchRanking> {
        match selection? {
            Selection::ClassAttention if self.class_token => Some(PatchRanking::ClassAttention),
            Selection::ClassAttention | Selection::Received => Some(PatchRanking::Received),
            Selection::MeanQuery => Some(PatchRanking::MeanQuery),
            Selection::Random | Selection::AverageAttention => None,
        }
    }
}
