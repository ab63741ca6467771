//! What the layers of all three encoders share: linear maps, masked softmax and dropout that is asked for.

use burn::nn::Linear;
use burn::tensor::{Distribution, Tensor, activation, backend::Backend};

/// Whether random layers act. Burn's own dropout acts on every autodiff backend, which makes gradients of the
/// evaluation forward (parity, saliency) impossible; here it is an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// No dropout, no stochastic depth.
    #[default]
    Eval,
    /// Dropout and stochastic depth act.
    Train,
}

/// `layer` applied to the last axis of `x` `[batch, tokens, input]`: `[batch, tokens, output]`.
///
/// Batch and tokens become one axis first: on three axes Burn 0.21 computes the gradient of the weight once per batch
/// row and sums the `batch` matrices afterwards.
pub fn linear<B: Backend>(layer: &Linear<B>, x: Tensor<B, 3>) -> Tensor<B, 3> {
    let [batch, tokens, width] = x.dims();
    let y = layer.forward(x.reshape([batch * tokens, width]));
    let output = y.dims()[1];
    y.reshape([batch, tokens, output])
}

/// The summand that hides what `mask` marks with 0: `(1 − mask) · −penalty`, any shape.
///
/// Finite on purpose: a row of −∞ alone gives NaN in a softmax. SPEC §3: 10 000 for text self-attention, 1e9 for
/// cross-attention.
pub fn additive_mask<B: Backend, const D: usize>(mask: Tensor<B, D>, penalty: f64) -> Tensor<B, D> {
    mask.sub_scalar(1.0).mul_scalar(penalty)
}

/// Softmax over the last axis of `scores`, to which `additive` (broadcast, see [`additive_mask`]) is added first.
pub fn masked_softmax<B: Backend, const D: usize>(
    scores: Tensor<B, D>,
    additive: Option<Tensor<B, D>>,
) -> Tensor<B, D> {
    let scores = match additive {
        Some(additive) => scores + additive,
        None => scores,
    };
    activation::softmax(scores, D - 1)
}

/// In [`Mode::Train`], zeroes each element with probability `p` and scales the others by `1 / (1 − p)`, any shape.
/// Draws come from the backend's generator: seed it (`Backend::seed`) for a repeatable step.
pub fn dropout<B: Backend, const D: usize>(x: Tensor<B, D>, p: f64, mode: Mode) -> Tensor<B, D> {
    if mode == Mode::Eval || p == 0.0 {
        return x;
    }
    let keep = x.random_like(Distribution::Bernoulli(1.0 - p));
    x * keep.mul_scalar(1.0 / (1.0 - p))
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

    fn dropout_acts_in_training_alone<B: Backend>() {
        let device = Default::default();
        let x = Tensor::<B, 2>::ones([57, 91], &device);
        assert_eq!(dropout(x.clone(), 0.4, Mode::Eval).sum().into_scalar_f32(), 5187.0);
        let kept = dropout(x, 0.4, Mode::Train);
        let mean = kept.clone().mean().into_scalar_f32();
        assert!((mean - 1.0).abs() < 0.06, "{mean}");
        assert!((kept.max().into_scalar_f32() - 1.0 / 0.6).abs() < 1e-6);
    }

    trait ScalarF32 {
        fn into_scalar_f32(self) -> f32;
    }
    impl<B: Backend> ScalarF32 for Tensor<B, 1> {
        fn into_scalar_f32(self) -> f32 {
            use burn::tensor::ElementConversion;
            self.into_scalar().elem()
        }
    }

    on_cpu_backends!(a_fully_masked_row_is_uniform_not_nan, dropout_acts_in_training_alone);
}
