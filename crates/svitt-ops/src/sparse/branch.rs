//! Attention with what stands in front of it in a pre-norm layer, in parts of the batch that fit the device.

use super::{
    BlockGraph, RelativeBias, SparseOps, class_attention, mean_query_attention, received_attention, sparse_attention,
};
use crate::device::{Arithmetic, BufferLimit, batch_parts, concat_batch, slice_batch};
use crate::fused::{LayerOps, norm_linear};
use burn::nn::LayerNorm;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};
use std::sync::Arc;

/// LN and the linear map to queries, keys and values.
#[derive(Clone, Debug)]
pub struct QkvProjection<'a, B: Backend> {
    /// γ and β `[d]`.
    pub norm: &'a LayerNorm<B>,
    /// What is added to the variance.
    pub epsilon: f64,
    /// `[d, 3C]`: queries, keys and values side by side.
    pub weight: Tensor<B, 2>,
    /// `[3C]`.
    pub bias: Tensor<B, 1>,
    /// What it computes in, and with its element type the attention.
    pub arithmetic: Arithmetic,
}

/// What patches are ranked by for pruning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchRanking {
    /// [`class_attention`].
    ClassAttention,
    /// [`received_attention`].
    Received,
    /// [`mean_query_attention`].
    MeanQuery,
}

/// What [`self_attention`] returns.
#[derive(Clone, Debug)]
pub struct SelfAttention<B: Backend> {
    /// `[batch, S, C]`, heads side by side, before the output projection.
    pub out: Tensor<B, 3>,
    /// What patches are ranked by, `[batch, N]`, if it was asked for.
    pub ranking: Option<Tensor<B, 2>>,
    /// The blocks that were chosen, `[batch, heads, M, chosen]`, if the graph leaves any.
    pub chosen: Option<Tensor<B, 4, Int>>,
}

/// Attention over `graph` of the tokens of `x` `[batch, S, d]`, normalised and projected; class token first. The
/// projection, the widest tensor of it, is made for as many samples at a time as the device has room for.
///
/// # Panics
/// If the shapes contradict each other, see [`sparse_attention`].
pub fn self_attention<B: SparseOps + LayerOps + BufferLimit>(
    x: &Tensor<B, 3>,
    projection: &QkvProjection<B>,
    bias: &RelativeBias<B>,
    graph: &Arc<BlockGraph>,
    ranking: Option<PatchRanking>,
) -> SelfAttention<B> {
    let [batch, s, _] = x.dims();
    let parts = batch_parts::<B>(&x.device(), batch, s * projection.weight.dims()[1]);
    let of_part = |part| {
        let QkvProjection { norm, epsilon, weight, bias: qkv_bias, arithmetic } = projection;
        let qkv = norm_linear(slice_batch(x, part), norm, *epsilon, weight.clone(), qkv_bias.clone(), *arithmetic);
        let bias = bias.slice_batch(part);
        let attended = sparse_attention(qkv.clone(), &bias, graph);
        let ranking = ranking.map(|ranking| match ranking {
            PatchRanking::ClassAttention => class_attention(&qkv, &bias),
            PatchRanking::Received => received_attention(&qkv, &attended, &bias, graph),
            PatchRanking::MeanQuery => mean_query_attention(&qkv, bias.table.dims()[1]),
        });
        (attended.out, (ranking, attended.chosen))
    };
    let (out, (ranking, chosen)): (Vec<_>, (Vec<_>, Vec<_>)) = parts.iter().map(of_part).unzip();
    let ranking = ranking.into_iter().collect::<Option<Vec<_>>>().map(concat_batch);
    let chosen = chosen.into_iter().collect::<Option<Vec<_>>>().map(|chosen| Tensor::cat(chosen, 0));
    SelfAttention { out: concat_batch(out), ranking, chosen }
}
