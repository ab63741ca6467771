//! The row kernels as backend operations of the CPU backends. They compute in f32, whatever their tensors hold.

use super::op::FusedOps;
use super::rows;
use crate::device::host::{HostBackend, Results, into_values};
use burn::tensor::TensorMetadata;
use burn::tensor::ops::FloatTensor;

/// `[rows, d]`.
pub(super) fn dims<B: HostBackend>(x: &FloatTensor<B>) -> [usize; 2] {
    x.shape().dims()
}

impl<B: HostBackend> FusedOps for B {
    fn layer_norm(
        x: FloatTensor<B>,
        gamma: FloatTensor<B>,
        beta: FloatTensor<B>,
        epsilon: f64,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let (shape, results) = (dims::<B>(&x), Results::<B>::like(&x));
        let [x, gamma, beta] = [&x, &gamma, &beta].map(B::values);
        let stats = rows::norm_statistics(&x, shape[1], epsilon as f32);
        let y = rows::normed(&x, &gamma, &beta, &stats);
        (results.tensor(y, shape), results.wide(stats, [shape[0], 2]))
    }

    fn layer_norm_backward(
        x: FloatTensor<B>,
        gamma: FloatTensor<B>,
        stats: FloatTensor<B>,
        grad: FloatTensor<B>,
    ) -> [FloatTensor<B>; 3] {
        let (shape, results) = (dims::<B>(&x), Results::<B>::like(&x));
        let ([x, gamma, stats], mut grad) = ([&x, &gamma, &stats].map(B::values), into_values::<B>(grad));
        let (dgamma, dbeta) = rows::norm_gradients(&x, &gamma, &stats, &mut grad, None);
        [results.tensor(grad, shape), results.vector(dgamma), results.vector(dbeta)]
    }

    fn bias_gelu(x: FloatTensor<B>, bias: FloatTensor<B>) -> FloatTensor<B> {
        let (shape, results) = (dims::<B>(&x), Results::<B>::like(&x));
        let [x, bias] = [&x, &bias].map(B::values);
        results.tensor(rows::biased_gelu(&x, &bias), shape)
    }

    fn bias_gelu_backward(x: FloatTensor<B>, bias: FloatTensor<B>, grad: FloatTensor<B>) -> [FloatTensor<B>; 2] {
        let (shape, results) = (dims::<B>(&x), Results::<B>::like(&x));
        let ([x, bias], mut grad) = ([&x, &bias].map(B::values), into_values::<B>(grad));
        let dbias = rows::gelu_gradients(&x, &bias, &mut grad);
        [results.tensor(grad, shape), results.vector(dbias)]
    }

    fn scaled_residual(
        residual: FloatTensor<B>,
        y: FloatTensor<B>,
        bias: FloatTensor<B>,
        scale: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let (shape, results) = (dims::<B>(&residual), Results::<B>::like(&residual));
        let [residual, y, bias, scale] = [&residual, &y, &bias, &scale].map(B::values);
        results.tensor(rows::scaled_residual(&residual, &y, &bias, &scale), shape)
    }

    fn scaled_residual_backward(
        y: FloatTensor<B>,
        bias: FloatTensor<B>,
        scale: FloatTensor<B>,
        grad: FloatTensor<B>,
    ) -> [FloatTensor<B>; 3] {
        let (shape, results) = (dims::<B>(&y), Results::<B>::like(&y));
        let ([y, bias, scale], mut grad) = ([&y, &bias, &scale].map(B::values), into_values::<B>(grad));
        let (dbias, dscale) = rows::branch_scale_gradients(&y, &bias, &scale, &mut grad);
        [results.tensor(grad, shape), results.vector(dbias), results.vector(dscale)]
    }
}
