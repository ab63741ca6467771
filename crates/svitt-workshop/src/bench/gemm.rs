//! The backend's own matrix product: the peak that other figures are related to.

use burn::tensor::{DType, Distribution, Tensor};
use std::time::Instant;
use svitt_ops::device::{MatmulOps, cast, matmul};

/// GFLOP/s of the best of ten 1536³ products of `dtype`.
pub(super) fn peak_gflops<B: MatmulOps>(dtype: DType, device: &B::Device) -> f64 {
    const N: usize = 1536;
    let random = || cast(Tensor::<B, 2>::random([N, N], Distribution::Uniform(-1.0, 1.0), device), dtype);
    let (a, b) = (random(), random());
    let once = || {
        let start = Instant::now();
        let product = matmul(a.clone(), b.clone());
        // a device error would show in the timed work as well; here only its end matters
        let _ = B::sync(device);
        drop(product);
        start.elapsed().as_secs_f64()
    };
    once();
    let best = (0..10).map(|_| once()).fold(f64::INFINITY, f64::min);
    2.0 * (N as f64).powi(3) / best / 1e9
}
