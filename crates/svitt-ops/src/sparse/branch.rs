//! Attention with what stands in front of it in a pre-norm layer, in parts of the batch that fit the device.

use super::{BlockGraph, RelativeBias, SparseOps, class_attention, sparse_attention};
use crate::device::{BufferLimit, batch_parts, concat_batch, slice_batch};
use crate::fused::{LayerOps, norm_linear};
use burn::nn::LayerNorm;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
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
}

/// What [`self_attention`] returns.
#[derive(Clone, Debug)]
pub struct SelfAttention<B: Backend> {
    /// `[batch, S, C]`, heads side by side, before the output projection.
    pub out: Tensor<B, 3>,
    /// [`class_attention`] of the same queries and keys, `[batch, N]`, if it was asked for.
    pub class_attention: Option<Tensor<B, 2>>,
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
    want_class_attention: bool,
) -> SelfAttention<B> {
    let [batch, s, _] = x.dims();
    let parts = batch_parts::<B>(&x.device(), batch, s * projection.weight.dims()[1]);
    let of_part = |part| {
        let QkvProjection { norm, epsilon, weight, bias: qkv_bias } = projection;
        let qkv = norm_linear(slice_batch(x, part), norm, *epsilon, weight.clone(), qkv_bias.clone());
        let bias = bias.slice_batch(part);
        let class_attention = want_class_attention.then(|| class_attention(&qkv, &bias));
        (sparse_attention(qkv, &bias, graph).out, class_attention)
    };
    let (out, class_attention): (Vec<_>, Vec<_>) = parts.iter().map(of_part).unzip();
    let class_attention = class_attention.into_iter().collect::<Option<Vec<_>>>().map(concat_batch);
    SelfAttention { out: concat_batch(out), class_attention }
}
