//! The portable implementations of the layer operations, composed of row operations and products.

use super::layer::{BranchScale, FeedForwardSaved, FeedForwardWeights, LinearWeights, NormWeights};
use super::op::{FusedOps, float, raw};
use crate::device::matmul;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorMetadata};

pub(super) fn norm_linear<B: FusedOps>(
    x: FloatTensor<B>,
    norm: NormWeights<FloatTensor<B>>,
    linear: LinearWeights<FloatTensor<B>>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let (normed, stats) = <B as FusedOps>::layer_norm(x, norm.gamma, norm.beta, norm.epsilon);
    (raw(product::<B>(normed, linear.weight) + float::<B, 1>(linear.bias).unsqueeze()), stats)
}

pub(super) fn norm_linear_backward<B: FusedOps>(
    x: FloatTensor<B>,
    norm: NormWeights<FloatTensor<B>>,
    weight: FloatTensor<B>,
    stats: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> [FloatTensor<B>; 5] {
    let (normed, _) = <B as FusedOps>::layer_norm(x.clone(), norm.gamma.clone(), norm.beta, norm.epsilon);
    let grad = float::<B, 2>(grad);
    let dweight = matmul(float::<B, 2>(normed).transpose(), grad.clone());
    let dnormed = matmul(grad.clone(), float::<B, 2>(weight).transpose());
    let [dx, dgamma, dbeta] = <B as FusedOps>::layer_norm_backward(x, norm.gamma, stats, raw(dnormed));
    [dx, dgamma, dbeta, raw(dweight), raw(column_sums(grad))]
}

pub(super) fn linear_residual<B: FusedOps>(
    residual: FloatTensor<B>,
    x: FloatTensor<B>,
    linear: LinearWeights<FloatTensor<B>>,
    join: BranchScale<FloatTensor<B>>,
) -> FloatTensor<B> {
    let y = raw(product::<B>(x, linear.weight));
    joined::<B>(residual, y, linear.bias, join)
}

pub(super) fn linear_residual_backward<B: FusedOps>(
    x: FloatTensor<B>,
    linear: LinearWeights<FloatTensor<B>>,
    join: BranchScale<FloatTensor<B>>,
    grad: FloatTensor<B>,
) -> [FloatTensor<B>; 4] {
    let grad = kept::<B>(float(grad), join.keep);
    let (scale, weight) = (float::<B, 1>(join.scale), float::<B, 2>(linear.weight));
    let (dweight, dbias, dscale) = joined_backward::<B>(float(x), &weight, float(linear.bias), &scale, grad.clone());
    let dx = matmul(grad * scale.unsqueeze(), weight.transpose());
    [raw(dx), raw(dweight), raw(dbias), raw(dscale)]
}

pub(super) fn feed_forward<B: FusedOps>(
    x: FloatTensor<B>,
    weights: FeedForwardWeights<FloatTensor<B>>,
    save: bool,
) -> (FloatTensor<B>, Option<FeedForwardSaved<FloatTensor<B>>>) {
    let FeedForwardWeights { norm, up, down, join } = weights;
    let (normed, stats) = <B as FusedOps>::layer_norm(x.clone(), norm.gamma, norm.beta, norm.epsilon);
    let inner = raw(product::<B>(normed, up.weight));
    let y = raw(product::<B>(B::bias_gelu(inner.clone(), up.bias), down.weight));
    (joined::<B>(x, y, down.bias, join), save.then_some(FeedForwardSaved { stats, inner }))
}

pub(super) fn feed_forward_backward<B: FusedOps>(
    x: FloatTensor<B>,
    weights: FeedForwardWeights<FloatTensor<B>>,
    saved: FeedForwardSaved<FloatTensor<B>>,
    grad: FloatTensor<B>,
) -> [FloatTensor<B>; 8] {
    let FeedForwardWeights { norm, up, down, join } = weights;
    let outer = float::<B, 2>(grad);
    let grad = kept::<B>(outer.clone(), join.keep);
    let hidden = float::<B, 2>(B::bias_gelu(saved.inner.clone(), up.bias.clone()));
    let (scale, weight) = (float::<B, 1>(join.scale), float::<B, 2>(down.weight));
    let (dw2, db2, dscale) = joined_backward::<B>(hidden, &weight, float(down.bias), &scale, grad.clone());
    let dhidden = matmul(grad * scale.unsqueeze(), weight.transpose());
    let [dinner, db1] = B::bias_gelu_backward(saved.inner, up.bias, raw(dhidden));
    let [dx, dgamma, dbeta, dw1, _] = norm_linear_backward::<B>(x, norm, up.weight, saved.stats, dinner);
    [raw(float::<B, 2>(dx) + outer), dgamma, dbeta, dw1, db1, raw(dw2), raw(db2), raw(dscale)]
}

fn product<B: FusedOps>(x: FloatTensor<B>, weight: FloatTensor<B>) -> Tensor<B, 2> {
    matmul(float(x), float(weight))
}

fn column_sums<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 1> {
    x.sum_dim(0).squeeze_dim(0)
}

/// residual + keep ⊙ λ ⊙ (y + b).
fn joined<B: FusedOps>(
    residual: FloatTensor<B>,
    y: FloatTensor<B>,
    bias: FloatTensor<B>,
    join: BranchScale<FloatTensor<B>>,
) -> FloatTensor<B> {
    if join.keep.is_none() {
        return B::scaled_residual(residual, y, bias, join.scale);
    }
    let residual = float::<B, 2>(residual);
    let branch = B::scaled_residual(raw(residual.zeros_like()), y, bias, join.scale);
    raw(residual + kept::<B>(float(branch), join.keep))
}

/// Every sample's rows of `x` times its factor.
fn kept<B: Backend>(x: Tensor<B, 2>, keep: Option<FloatTensor<B>>) -> Tensor<B, 2> {
    let Some(keep) = keep else { return x };
    let ([rows, d], batch) = (x.dims(), keep.shape().num_elements());
    (x.reshape([batch, rows / batch, d]) * float::<B, 1>(keep).reshape([batch, 1, 1])).reshape([rows, d])
}

/// Gradients of W, b and λ of λ ⊙ (x·W + b). λ's needs x·W only through Σ grad ⊙ (x·W) = Σ W ⊙ (xᵀ·grad), whose right
/// side the gradient of W has already.
fn joined_backward<B: FusedOps>(
    x: Tensor<B, 2>,
    weight: &Tensor<B, 2>,
    bias: Tensor<B, 1>,
    scale: &Tensor<B, 1>,
    grad: Tensor<B, 2>,
) -> (Tensor<B, 2>, Tensor<B, 1>, Tensor<B, 1>) {
    let unscaled = matmul(x.transpose(), grad.clone());
    let sums = column_sums(grad);
    let dscale = column_sums(weight.clone() * unscaled.clone()) + bias * sums.clone();
    (unscaled * scale.clone().unsqueeze(), sums * scale.clone(), dscale)
}
