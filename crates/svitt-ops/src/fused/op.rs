//! The ops as a trait, and the functions a model calls.

use super::portable;
use crate::device::{MatmulOps, cast};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive};

/// Row operations as backend operations. Shapes: `x`, `y`, `grad` `[rows, d]`; vectors `[d]`; `stats` `[rows, 2]`,
/// mean and 1/σ of every row. All tensors of a call have one element type, f32 or bf16, and so has what it returns, but
/// for `stats`, which is f32; whatever the type, sums are f32.
pub trait FusedOps: MatmulOps {
    /// γ ⊙ (x − mean)/σ + β with σ² = var + ε, and the rows' statistics.
    fn layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (y, stats) = portable::layer_norm::<Self>(float(x), float(gamma), float(beta), epsilon);
        (raw(y), raw(stats))
    }

    /// Gradients of x, γ and β.
    fn layer_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        let (dx, dgamma, dbeta) =
            portable::layer_norm_backward::<Self>(float(x), float(gamma), float(stats), float(grad));
        [raw(dx), raw(dgamma), raw(dbeta)]
    }

    /// GELU(x + bias), with the error function.
    fn bias_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        raw(portable::bias_gelu::<Self>(float(x), float(bias)))
    }

    /// Gradients of x and bias.
    fn bias_gelu_backward(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2] {
        let (dx, dbias) = portable::bias_gelu_backward::<Self>(float(x), float(bias), float(grad));
        [raw(dx), raw(dbias)]
    }

    /// residual + scale ⊙ (y + bias).
    fn scaled_residual(
        residual: FloatTensor<Self>,
        y: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        raw(portable::scaled_residual::<Self>(float(residual), float(y), float(bias), float(scale)))
    }

    /// Gradients of y, bias and scale; the residual's is `grad` itself.
    fn scaled_residual_backward(
        y: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        let (dy, dbias, dscale) =
            portable::scaled_residual_backward::<Self>(float(y), float(bias), float(scale), float(grad));
        [raw(dy), raw(dbias), raw(dscale)]
    }
}

/// `norm` with `epsilon` over the last axis of `x`, any shape.
pub fn layer_norm<B: FusedOps, const D: usize>(x: Tensor<B, D>, norm: &LayerNorm<B>, epsilon: f64) -> Tensor<B, D> {
    let (shape, dtype) = (x.shape(), x.dtype());
    let gamma = cast(norm.gamma.val(), dtype);
    let beta = norm.beta.as_ref().map_or_else(|| gamma.zeros_like(), |beta| cast(beta.val(), dtype));
    let (y, _) = <B as FusedOps>::layer_norm(raw(flatten_rows(x)), raw(gamma), raw(beta), epsilon);
    float::<B, 2>(y).reshape(shape)
}

/// GELU(x · W + b), with the error function: `[.., input]` to `[.., output]`.
pub fn linear_gelu<B: FusedOps, const D: usize>(x: Tensor<B, D>, linear: &Linear<B>) -> Tensor<B, D> {
    let (shape, dtype) = (x.dims(), x.dtype());
    let bias = cast(bias(linear), dtype);
    let y = crate::device::linear(flatten_rows(x), linear.weight.val(), None);
    unflatten_rows(float(B::bias_gelu(raw(y), raw(bias))), shape)
}

pub(super) fn bias<B: Backend>(linear: &Linear<B>) -> Tensor<B, 1> {
    let output = linear.weight.dims()[1];
    linear.bias.as_ref().map_or_else(|| Tensor::zeros([output], &linear.weight.device()), |bias| bias.val())
}

/// All axes but the last as one: `[.., width]` to `[rows, width]`.
pub fn flatten_rows<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, 2> {
    let width = x.dims()[D - 1];
    let rows = x.shape().num_elements() / width.max(1);
    x.reshape([rows, width])
}

/// The inverse of [`flatten_rows`] for rows of another width: `[rows, width]` to `shape` with `width` at its end.
pub fn unflatten_rows<B: Backend, const D: usize>(rows: Tensor<B, 2>, mut shape: [usize; D]) -> Tensor<B, D> {
    shape[D - 1] = rows.dims()[1];
    rows.reshape(shape)
}

pub(super) fn float<B: Backend, const D: usize>(tensor: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}

pub(super) fn raw<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}
