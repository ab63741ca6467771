//! One AdamW update of one parameter. In tensor operations it is 14 passes over the parameter and as many temporary
//! copies; on the CPU it is one pass in place, which is what lets the base model train in 4 GB.

use super::op::{float, raw};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Bool, Tensor};

/// What one step uses for every parameter; tensors `[1]` stay on the device.
#[derive(Clone, Debug)]
pub struct AdamWStep<B: Backend> {
    /// What gradients are multiplied with: the clipping factor.
    pub scale: Option<Tensor<B, 1>>,
    /// True where the step must change nothing.
    pub skip: Tensor<B, 1, Bool>,
    /// √(1 − β2ᵗ).
    pub root: Tensor<B, 1>,
    /// learning rate / (1 − β1ᵗ).
    pub size: Tensor<B, 1>,
    /// β1 and β2.
    pub betas: [f64; 2],
    /// ε.
    pub epsilon: f64,
}

/// AdamW as a backend operation.
pub trait AdamWOps: Backend {
    /// The parameter and its moments after `step`, all `[elements]`, from `[parameter, first, second]` and `grad`;
    /// `decay` is learning rate × weight decay.
    fn adamw(
        state: [FloatTensor<Self>; 3],
        grad: FloatTensor<Self>,
        step: &AdamWStep<Self>,
        decay: f64,
    ) -> [FloatTensor<Self>; 3] {
        portable::<Self>(state.map(float), float(grad), step, decay).map(raw)
    }

    /// Σ x², `[1]`.
    fn square_sum(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let x = float::<Self, 1>(x);
        raw((x.clone() * x).sum())
    }
}

/// A skipped step computes with NaN gradients; `mask_where` at the end discards the result.
fn portable<B: Backend>(
    [old, first, second]: [Tensor<B, 1>; 3],
    grad: Tensor<B, 1>,
    step: &AdamWStep<B>,
    decay: f64,
) -> [Tensor<B, 1>; 3] {
    let [beta1, beta2] = step.betas;
    let grad = match &step.scale {
        Some(scale) => grad * scale.clone(),
        None => grad,
    };
    let new_first = first.clone().mul_scalar(beta1) + grad.clone().mul_scalar(1.0 - beta1);
    let new_second = second.clone().mul_scalar(beta2) + (grad.clone() * grad).mul_scalar(1.0 - beta2);
    let denominator = (new_second.clone().sqrt() / step.root.clone()).add_scalar(step.epsilon);
    let new = old.clone().mul_scalar(1.0 - decay) - new_first.clone() / denominator * step.size.clone();
    let keep = |new: Tensor<B, 1>, old| {
        let skip = step.skip.clone().expand(new.dims());
        new.mask_where(skip, old)
    };
    [keep(new, old), keep(new_first, first), keep(new_second, second)]
}

/// [`AdamWOps::adamw`] on plain tensors.
pub fn adamw<B: AdamWOps>(
    state: [Tensor<B, 1>; 3],
    grad: Tensor<B, 1>,
    step: &AdamWStep<B>,
    decay: f64,
) -> [Tensor<B, 1>; 3] {
    B::adamw(state.map(raw), raw(grad), step, decay).map(float)
}

/// [`AdamWOps::square_sum`] on plain tensors.
pub fn square_sum<B: AdamWOps>(x: Tensor<B, 1>) -> Tensor<B, 1> {
    float(B::square_sum(raw(x)))
}

/// The optimizer works on inner tensors; this impl exists only because [`crate::SvittBackend`] requires every operation of
/// every backend.
impl<B: Backend, C: burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy> AdamWOps
    for burn::backend::Autodiff<B, C>
{
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
impl<R, F, I, BT> AdamWOps for burn_cubecl::CubeBackend<R, F, I, BT>
where
    R: burn_cubecl::CubeRuntime,
    F: burn_cubecl::FloatElement,
    I: burn_cubecl::IntElement,
    BT: burn_cubecl::element::BoolElement,
{
}

#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu {
    use super::{AdamWOps, AdamWStep};
    use crate::device::host::{HostBackend, Results, into_values};
    use crate::device::simd::lane_sum;
    use crate::device::simd::vectorized;
    use burn::tensor::Tensor;
    use burn::tensor::ops::FloatTensor;
    use rayon::prelude::*;

    /// Elements a task takes: four slices of them fit a core's cache.
    const CHUNK: usize = 1 << 15;

    fn scalar<B: HostBackend>(x: &Tensor<B, 1>) -> f32 {
        B::values(&x.clone().into_primitive().tensor()).first().copied().unwrap_or(f32::NAN)
    }

    /// A step's numbers on the host.
    struct AdamWScalars {
        scale: f32,
        root: f32,
        size: f32,
        betas: [f32; 2],
        rest: [f32; 2],
        epsilon: f32,
        shrink: f32,
    }

    impl AdamWScalars {
        fn of<B: HostBackend>(step: &AdamWStep<B>, decay: f64) -> Self {
            Self {
                scale: step.scale.as_ref().map_or(1.0, scalar),
                root: scalar(&step.root),
                size: scalar(&step.size),
                betas: step.betas.map(|beta| beta as f32),
                rest: step.betas.map(|beta| (1.0 - beta) as f32),
                epsilon: step.epsilon as f32,
                shrink: (1.0 - decay) as f32,
            }
        }

        #[inline(always)]
        fn update(&self, new: &mut [f32], first: &mut [f32], second: &mut [f32], grad: &[f32]) {
            for (((p, m), v), g) in new.iter_mut().zip(first).zip(second).zip(grad) {
                let g = g * self.scale;
                *m = *m * self.betas[0] + g * self.rest[0];
                *v = *v * self.betas[1] + (g * g) * self.rest[1];
                *p = *p * self.shrink - *m / (v.sqrt() / self.root + self.epsilon) * self.size;
            }
        }
    }

    impl<B: HostBackend> AdamWOps for B {
        fn adamw(
            [old, first, second]: [FloatTensor<B>; 3],
            grad: FloatTensor<B>,
            step: &AdamWStep<B>,
            decay: f64,
        ) -> [FloatTensor<B>; 3] {
            if step.skip.clone().into_data().iter::<bool>().any(|skip| skip) {
                return [old, first, second];
            }
            let results = Results::<B>::like(&old);
            let numbers = AdamWScalars::of(step, decay);
            let ([mut new, mut first, mut second], grad) =
                ([old, first, second].map(into_values::<B>), B::values(&grad));
            let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
            new.par_chunks_mut(CHUNK).zip(moments).zip(grad.par_chunks(CHUNK)).for_each(|((p, (m, v)), g)| {
                vectorized(
                    #[inline(always)]
                    || numbers.update(p, m, v, g),
                );
            });
            [new, first, second].map(|values| results.vector(values))
        }

        /// Chunk by chunk, so that it does not depend on the number of threads.
        fn square_sum(x: FloatTensor<B>) -> FloatTensor<B> {
            let results = Results::<B>::like(&x);
            let values = B::values(&x);
            let squares = |chunk: &[f32]| {
                vectorized(
                    #[inline(always)]
                    || lane_sum(chunk, |x| x * x),
                )
            };
            let partial: Vec<f32> = values.par_chunks(CHUNK).map(squares).collect();
            results.wide(vec![partial.iter().sum()], [1])
        }
    }
}

#[cfg(all(test, any(feature = "ndarray", feature = "flex")))]
mod tests {
    use super::*;
    use crate::testing::{assert_close, noise, on_cpu_backends};

    fn step<B: Backend>(skip: bool, scale: Option<f32>) -> AdamWStep<B> {
        let device = Default::default();
        let one = |x: f32| Tensor::from_floats([x], &device);
        AdamWStep {
            scale: scale.map(one),
            skip: Tensor::from_data([skip], &device),
            root: one(0.2),
            size: one(0.03),
            betas: [0.9, 0.98],
            epsilon: 1e-8,
        }
    }

    /// 70 001 elements: two full chunks of the kernel and a part of one.
    fn one_pass_equals_the_tensor_operations<B: AdamWOps>() {
        let state = || [noise::<B, 1>(1, [70_001]), noise(2, [70_001]), noise::<B, 1>(3, [70_001]).abs()];
        for (skip, scale, decay) in [(false, None, 0.0), (false, Some(0.3), 1e-3), (true, Some(f32::NAN), 1e-3)] {
            let (grad, step) = (noise::<B, 1>(4, [70_001]), step::<B>(skip, scale));
            let expected = portable(state(), grad.clone(), &step, decay);
            for (found, expected) in adamw(state(), grad, &step, decay).into_iter().zip(expected) {
                assert_close(found, expected, 1e-6);
            }
        }
    }

    fn squares_add_up<B: AdamWOps>() {
        let x = noise::<B, 1>(5, [70_001]);
        let expected: f64 = crate::testing::host(x.clone()).iter().map(|x| f64::from(x * x)).sum();
        let found = f64::from(crate::testing::host(square_sum(x))[0]);
        assert!((found / expected - 1.0).abs() < 1e-5, "{found} is not {expected}");
    }

    on_cpu_backends!(one_pass_equals_the_tensor_operations, squares_add_up);
}
