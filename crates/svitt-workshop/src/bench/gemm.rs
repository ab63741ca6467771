//! The backend's own matrix product: the peak that other figures are related to.

use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Distribution, Tensor};
use std::time::Instant;
use svitt_ops::device::{Arithmetic, cast, matmul};
use svitt_ops::fused::{LayerOps, linear_residual};

/// GFLOP/s of the best of ten 1536³ products in `arithmetic`: a plain one in f32, a residual branch of one product in
/// others, whose weights are packed by then.
pub(super) fn peak_gflops<B: LayerOps>(arithmetic: Arithmetic, device: &B::Device) -> f64 {
    const N: usize = 1536;
    let random = || Tensor::<B, 2>::random([N, N], Distribution::Uniform(-1.0, 1.0), device);
    let (a, b) = (random(), random());
    let linear: Linear<B> = LinearConfig::new(N, N).init(device);
    let (x, scale) = (cast(a.clone(), arithmetic.dtype()), Tensor::ones([N], device));
    let residual = cast(b.clone(), B::residual_dtype(arithmetic));
    let once = || {
        let start = Instant::now();
        let product = match arithmetic {
            Arithmetic::F32 => matmul(a.clone(), b.clone()),
            _ => linear_residual(residual.clone(), x.clone(), &linear, scale.clone(), None, arithmetic),
        };
        // a device error would show in the timed work as well; here only its end matters
        let _ = B::sync(device);
        drop(product);
        start.elapsed().as_secs_f64()
    };
    // weights are packed in the first two calls
    once();
    once();
    let best = (0..10).map(|_| once()).fold(f64::INFINITY, f64::min);
    2.0 * (N as f64).powi(3) / best / 1e9
}
