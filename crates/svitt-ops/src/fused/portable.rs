//! The portable siblings, in tensor operations of f32; also what the kernels are tested against.

use crate::device::cast;
use burn::tensor::{DType, Tensor, backend::Backend};
use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Casts to f32: sums and error functions lose too much in bf16.
fn wide<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    cast(x, DType::F32)
}

pub(super) fn layer_norm<B: Backend>(
    x: Tensor<B, 2>,
    gamma: Tensor<B, 1>,
    beta: Tensor<B, 1>,
    epsilon: f64,
) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let dtype = x.dtype();
    let (x, gamma, beta) = (wide(x), wide(gamma), wide(beta));
    let mean = x.clone().mean_dim(1);
    let centred = x - mean.clone();
    let inverse = centred.clone().powi_scalar(2).mean_dim(1).add_scalar(epsilon).sqrt().recip();
    let y = centred * inverse.clone() * gamma.unsqueeze() + beta.unsqueeze();
    (cast(y, dtype), Tensor::cat(vec![mean, inverse], 1))
}

pub(super) fn layer_norm_backward<B: Backend>(
    x: Tensor<B, 2>,
    gamma: Tensor<B, 1>,
    stats: Tensor<B, 2>,
    grad: Tensor<B, 2>,
) -> (Tensor<B, 2>, Tensor<B, 1>, Tensor<B, 1>) {
    let dtype = x.dtype();
    let (x, gamma, grad) = (wide(x), wide(gamma), wide(grad));
    let (mean, inverse) = (stats.clone().narrow(1, 0, 1), stats.narrow(1, 1, 1));
    let normal = (x - mean) * inverse.clone();
    let dgamma = (grad.clone() * normal.clone()).sum_dim(0).squeeze_dim(0);
    let dbeta = grad.clone().sum_dim(0).squeeze_dim(0);
    let inner = grad * gamma.unsqueeze();
    let along = (inner.clone() * normal.clone()).mean_dim(1);
    let dx = (inner.clone() - inner.mean_dim(1) - normal * along) * inverse;
    (cast(dx, dtype), cast(dgamma, dtype), cast(dbeta, dtype))
}

pub(super) fn bias_gelu<B: Backend>(x: Tensor<B, 2>, bias: Tensor<B, 1>) -> Tensor<B, 2> {
    let dtype = x.dtype();
    let z = wide(x) + wide(bias).unsqueeze();
    cast(z.clone().mul_scalar(FRAC_1_SQRT_2).erf().add_scalar(1.0) * z.mul_scalar(0.5), dtype)
}

pub(super) fn bias_gelu_backward<B: Backend>(
    x: Tensor<B, 2>,
    bias: Tensor<B, 1>,
    grad: Tensor<B, 2>,
) -> (Tensor<B, 2>, Tensor<B, 1>) {
    let dtype = x.dtype();
    let z = wide(x) + wide(bias).unsqueeze();
    let cumulative = z.clone().mul_scalar(FRAC_1_SQRT_2).erf().add_scalar(1.0).mul_scalar(0.5);
    let density = z.clone().powi_scalar(2).mul_scalar(-0.5).exp().mul_scalar((2.0 * PI).sqrt().recip());
    let dx = wide(grad) * (cumulative + z * density);
    (cast(dx.clone(), dtype), cast(dx.sum_dim(0).squeeze_dim(0), dtype))
}

pub(super) fn scaled_residual<B: Backend>(
    residual: Tensor<B, 2>,
    y: Tensor<B, 2>,
    bias: Tensor<B, 1>,
    scale: Tensor<B, 1>,
) -> Tensor<B, 2> {
    let dtype = residual.dtype();
    cast(wide(residual) + (wide(y) + wide(bias).unsqueeze()) * wide(scale).unsqueeze(), dtype)
}

pub(super) fn scaled_residual_backward<B: Backend>(
    y: Tensor<B, 2>,
    bias: Tensor<B, 1>,
    scale: Tensor<B, 1>,
    grad: Tensor<B, 2>,
) -> (Tensor<B, 2>, Tensor<B, 1>, Tensor<B, 1>) {
    let dtype = y.dtype();
    let (y, bias, scale, grad) = (wide(y), wide(bias), wide(scale), wide(grad));
    let dscale = (grad.clone() * (y + bias.unsqueeze())).sum_dim(0).squeeze_dim(0);
    let dy = grad * scale.unsqueeze();
    (cast(dy.clone(), dtype), cast(dy.sum_dim(0).squeeze_dim(0), dtype), cast(dscale, dtype))
}
