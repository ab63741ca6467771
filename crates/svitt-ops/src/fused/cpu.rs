//! The row kernels as backend operations of the CPU backends.

use super::op::FusedOps;
use super::rows;
use crate::device::cast_raw;
use crate::device::host::{HostBackend, take, write};
use burn::tensor::TensorMetadata;
use burn::tensor::ops::FloatTensor;

/// `[rows, d]`.
fn shape<B: HostBackend>(x: &FloatTensor<B>) -> [usize; 2] {
    x.shape().dims()
}

fn norm<B: HostBackend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    epsilon: f32,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let ([rows, d], device) = (shape::<B>(&x), B::float_device(&x));
    let [x, gamma, beta] = [&x, &gamma, &beta].map(B::values);
    let stats = rows::norm_statistics(&x, d, epsilon);
    let y = rows::normed(&x, &gamma, &beta, &stats);
    (write::<B, 2>(y, [rows, d], &device), write::<B, 2>(stats, [rows, 2], &device))
}

fn norm_backward<B: HostBackend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    stats: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> [FloatTensor<B>; 3] {
    let ([rows, d], device) = (shape::<B>(&x), B::float_device(&x));
    let ([x, gamma, stats], mut grad) = ([&x, &gamma, &stats].map(B::values), take::<B>(grad));
    let (dgamma, dbeta) = rows::norm_gradients(&x, &gamma, &stats, &mut grad, None);
    let [dgamma, dbeta] = [dgamma, dbeta].map(|sums| write::<B, 1>(sums, [d], &device));
    [write::<B, 2>(grad, [rows, d], &device), dgamma, dbeta]
}

fn gelu<B: HostBackend>(x: FloatTensor<B>, bias: FloatTensor<B>) -> FloatTensor<B> {
    let (shape, device) = (shape::<B>(&x), B::float_device(&x));
    let [x, bias] = [&x, &bias].map(B::values);
    write::<B, 2>(rows::biased_gelu(&x, &bias), shape, &device)
}

fn gelu_backward<B: HostBackend>(x: FloatTensor<B>, bias: FloatTensor<B>, grad: FloatTensor<B>) -> [FloatTensor<B>; 2] {
    let ([rows, d], device) = (shape::<B>(&x), B::float_device(&x));
    let ([x, bias], mut grad) = ([&x, &bias].map(B::values), take::<B>(grad));
    let dbias = rows::gelu_gradients(&x, &bias, &mut grad);
    [write::<B, 2>(grad, [rows, d], &device), write::<B, 1>(dbias, [d], &device)]
}

fn residual<B: HostBackend>(
    x: FloatTensor<B>,
    y: FloatTensor<B>,
    bias: FloatTensor<B>,
    scale: FloatTensor<B>,
) -> FloatTensor<B> {
    let (shape, device) = (shape::<B>(&x), B::float_device(&x));
    let [x, y, bias, scale] = [&x, &y, &bias, &scale].map(B::values);
    write::<B, 2>(rows::joined(&x, &y, &bias, &scale), shape, &device)
}

fn residual_backward<B: HostBackend>(
    y: FloatTensor<B>,
    bias: FloatTensor<B>,
    scale: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> [FloatTensor<B>; 3] {
    let ([rows, d], device) = (shape::<B>(&y), B::float_device(&y));
    let ([y, bias, scale], mut grad) = ([&y, &bias, &scale].map(B::values), take::<B>(grad));
    let (dbias, dscale) = rows::branch_scale_gradients(&y, &bias, &scale, &mut grad);
    let [dbias, dscale] = [dbias, dscale].map(|sums| write::<B, 1>(sums, [d], &device));
    [write::<B, 2>(grad, [rows, d], &device), dbias, dscale]
}

// The kernels read and write f32, whatever their tensors hold.
macro_rules! on_the_cpu {
    ($feature:literal, $backend:ty) => {
        #[cfg(feature = $feature)]
        impl FusedOps for $backend {
            fn layer_norm(
                x: FloatTensor<Self>,
                gamma: FloatTensor<Self>,
                beta: FloatTensor<Self>,
                epsilon: f64,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                let dtype = x.dtype();
                let (y, stats) = norm::<Self>(x, gamma, beta, epsilon as f32);
                (cast_raw::<Self>(y, dtype), stats)
            }

            fn layer_norm_backward(
                x: FloatTensor<Self>,
                gamma: FloatTensor<Self>,
                stats: FloatTensor<Self>,
                grad: FloatTensor<Self>,
            ) -> [FloatTensor<Self>; 3] {
                let dtype = x.dtype();
                norm_backward::<Self>(x, gamma, stats, grad).map(|x| cast_raw::<Self>(x, dtype))
            }

            fn bias_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
                let dtype = x.dtype();
                cast_raw::<Self>(gelu::<Self>(x, bias), dtype)
            }

            fn bias_gelu_backward(
                x: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                grad: FloatTensor<Self>,
            ) -> [FloatTensor<Self>; 2] {
                let dtype = x.dtype();
                gelu_backward::<Self>(x, bias, grad).map(|x| cast_raw::<Self>(x, dtype))
            }

            fn scaled_residual(
                x: FloatTensor<Self>,
                y: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                scale: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                let dtype = x.dtype();
                cast_raw::<Self>(residual::<Self>(x, y, bias, scale), dtype)
            }

            fn scaled_residual_backward(
                y: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                scale: FloatTensor<Self>,
                grad: FloatTensor<Self>,
            ) -> [FloatTensor<Self>; 3] {
                let dtype = y.dtype();
                residual_backward::<Self>(y, bias, scale, grad).map(|x| cast_raw::<Self>(x, dtype))
            }
        }
    };
}
on_the_cpu!("ndarray", burn_ndarray::NdArray);
on_the_cpu!("flex", burn_flex::Flex);
