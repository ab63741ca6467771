//! What the layers of all three encoders share: linear maps and masked softmax.

use burn::nn::{LayerNorm, Linear};
use burn::tensor::{DType, Tensor, activation, backend::Backend};
use svitt_ops::device::{MatmulOps, cast};
use svitt_ops::fused::{flatten_rows, unflatten_rows};

/// Whether dropout and stochastic depth are active. Burn's own dropout is active on every autodiff backend, so
/// gradients of the evaluation forward (parity, saliency) would be impossible; here it is an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// No dropout, no stochastic depth.
    #[default]
    Eval,
    /// Dropout and stochastic depth act.
    Train,
}

/// `layer` applied to the last axis of `x`: `[.., input]` to `[.., output]`.
///
/// All other axes become one first: on three axes Burn 0.21 computes the gradient of the weight once per batch row and
/// sums the `batch` matrices afterwards. The weights are cast to the element type of `x`, which is that of the result.
pub fn linear<B: MatmulOps, const D: usize>(layer: &Linear<B>, x: Tensor<B, D>) -> Tensor<B, D> {
    let shape = x.dims();
    let y = svitt_ops::device::linear(flatten_rows(x), layer.weight.val(), layer.bias.as_ref().map(|bias| bias.val()));
    unflatten_rows(y, shape)
}

/// `norm` over the last axis of `x`, any shape, computed in f32; the result has the element type of `x`.
pub fn norm_f32<B: Backend, const D: usize>(norm: &LayerNorm<B>, x: Tensor<B, D>) -> Tensor<B, D> {
    let dtype = x.dtype();
    cast(norm.forward(cast(x, DType::F32)), dtype)
}

/// The summand that hides what `mask` marks with 0: `(1 − mask) · −penalty`, any shape.
///
/// Finite on purpose: a row of −∞ alone gives NaN in a softmax. 10 000 for text self-attention, 1e9 for
/// cross-attention (docs/model.md, "Attention masks").
pub fn additive_mask<B: Backend, const D: usize>(mask: Tensor<B, D>, penalty: f64) -> Tensor<B, D> {
    mask.sub_scalar(1.0).mul_scalar(penalty)
}

/// Softmax in f32 over the last axis of `scores`, to which `additive` (broadcast, see [`additive_mask`]) is added first.
pub fn masked_softmax<B: Backend, const D: usize>(
    scores: Tensor<B, D>,
    additive: Option<Tensor<B, D>>,
) -> Tensor<B, D> {
    let scores = cast(scores, DType::F32);
    let scores = match additive {
        Some(additive) => scores + additive,
        None => scores,
    };
    activation::softmax(scores, D - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_cpu_backends;

    fn a_fully_masked_row_is_uniform_not_nan<B: Backend>() {
        let device = Default::default();
        let scores = Tensor::<B, 2>::from_floats([[1.0, 2.0, 4.0], [0.5, 0.5, 0.5]], &device);
        let mask = Tensor::<B, 2>::from_floats([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], &device);
        let found: Vec<f32> = masked_softmax(scores, Some(additive_mask(mask, 1e4))).into_data().to_vec().unwrap();
        let e = (-3.0f32).exp();
        let expected = [e / (1.0 + e), 0.0, 1.0 / (1.0 + e), 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    on_cpu_backends!(a_fully_masked_row_is_uniform_not_nan);
}
