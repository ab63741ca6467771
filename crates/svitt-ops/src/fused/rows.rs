//! The row kernels on slices: rows in parallel, each row once through the cache. Sums over rows are taken per chunk of
//! [`CHUNK`] rows and then in order, so that they do not depend on the number of threads.

use crate::device::bf16::Element;
use crate::device::host::filled;
use crate::device::simd::{LANES, MulAdd, erf, exp, lane_sum, total, vectorized, vectorized_fused};
use rayon::prelude::*;
use std::f32::consts::FRAC_1_SQRT_2;

/// Rows per task: 64 rows of 3072 floats are 786 KB, the size of a core's cache.
const CHUNK: usize = 64;

/// 1/√(2π).
const DENSITY: f32 = 0.398_942_3;

/// Runs `body` on every row of `out` (its number and values) with `sums` floats that are added up over the chunks in
/// order.
pub(super) fn by_row(
    out: &mut [f32],
    d: usize,
    sums: usize,
    body: impl Fn(usize, &mut [f32], &mut [f32], MulAdd) + Sync,
) -> Vec<f32> {
    let partial: Vec<Vec<f32>> = out
        .par_chunks_mut(CHUNK * d)
        .enumerate()
        .map(|(chunk, out)| {
            let mut partial = vec![0f32; sums];
            vectorized_fused(
                #[inline(always)]
                |fma| {
                    for (i, row) in out.chunks_exact_mut(d).enumerate() {
                        body(chunk * CHUNK + i, row, &mut partial, fma);
                    }
                },
            );
            partial
        })
        .collect();
    let mut total = vec![0f32; sums];
    for partial in partial {
        total.iter_mut().zip(partial).for_each(|(t, p)| *t += p);
    }
    total
}

/// Mean and 1/σ of a row, in two passes.
#[inline(always)]
fn statistics(row: &[f32], epsilon: f32) -> [f32; 2] {
    let n = row.len() as f32;
    let mean = lane_sum(row, |x| x) / n;
    let variance = lane_sum(row, |x| (x - mean) * (x - mean)) / n;
    [mean, 1.0 / (variance + epsilon).sqrt()]
}

/// Mean and 1/σ of every row of `x`, `[rows, 2]`.
pub(super) fn norm_statistics(x: &[f32], d: usize, epsilon: f32) -> Vec<f32> {
    let mut stats = vec![0f32; x.len() / d * 2];
    stats.par_chunks_mut(CHUNK * 2).zip(x.par_chunks(CHUNK * d)).for_each(|(stats, x)| {
        vectorized(
            #[inline(always)]
            || {
                for (stats, x) in stats.chunks_exact_mut(2).zip(x.chunks_exact(d)) {
                    stats.copy_from_slice(&statistics(x, epsilon));
                }
            },
        );
    });
    stats
}

/// γ (x − mean)/σ + β of one value; `stats`: mean and 1/σ.
#[inline(always)]
pub(super) fn normed_value(x: f32, stats: &[f32], gamma: f32, beta: f32) -> f32 {
    (x - stats[0]) * stats[1] * gamma + beta
}

/// γ ⊙ (x − mean)/σ + β, in f32 or rounded to bf16.
pub(super) fn normed<T: Element>(x: &[f32], gamma: &[f32], beta: &[f32], stats: &[f32]) -> Vec<T> {
    let d = gamma.len();
    // SAFETY: chunks of rows cover x, and every element of a row is written.
    unsafe {
        filled(x.len(), |y| {
            let chunks = y.par_chunks_mut(CHUNK * d).zip(x.par_chunks(CHUNK * d)).zip(stats.par_chunks(CHUNK * 2));
            chunks.for_each(|((y, x), stats)| {
                vectorized(
                    #[inline(always)]
                    || {
                        for ((y, x), stats) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(stats.chunks_exact(2)) {
                            for (((y, x), g), b) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                                y.write(T::of(normed_value(*x, stats, *g, *b)));
                            }
                        }
                    },
                );
            });
        })
    }
}

/// `grad` becomes the gradient of x, to which `base` is added; returns the gradients of γ and β.
pub(super) fn norm_gradients(
    x: &[f32],
    gamma: &[f32],
    stats: &[f32],
    grad: &mut [f32],
    base: Option<&[f32]>,
) -> (Vec<f32>, Vec<f32>) {
    let d = gamma.len();
    let mut sums = by_row(
        grad,
        d,
        2 * d,
        #[inline(always)]
        |row, grad, sums, _| {
            let at = row * d..(row + 1) * d;
            norm_gradient_row(grad, &x[at.clone()], gamma, [stats[2 * row], stats[2 * row + 1]], sums);
            if let Some(base) = base {
                grad.iter_mut().zip(&base[at]).for_each(|(dx, base)| *dx += base);
            }
        },
    );
    let dbeta = sums.split_off(d);
    (sums, dbeta)
}

#[inline(always)]
fn norm_gradient_row(grad: &mut [f32], x: &[f32], gamma: &[f32], [mean, inverse]: [f32; 2], sums: &mut [f32]) {
    let d = x.len();
    let (dgamma, dbeta) = sums.split_at_mut(d);
    let (dgamma, dbeta) = (&mut dgamma[..d], &mut dbeta[..d]);
    let (grad, gamma) = (&mut grad[..d], &gamma[..d]);
    let (mut inner, mut along) = ([0f32; LANES], [0f32; LANES]);
    for i in 0..d {
        let normal = (x[i] - mean) * inverse;
        dgamma[i] += grad[i] * normal;
        dbeta[i] += grad[i];
        grad[i] *= gamma[i];
        inner[i % LANES] += grad[i];
        along[i % LANES] += grad[i] * normal;
    }
    let (inner, along) = (total(inner) / d as f32, total(along) / d as f32);
    for i in 0..d {
        grad[i] = (grad[i] - inner - (x[i] - mean) * inverse * along) * inverse;
    }
}

/// GELU of one number, with the error function.
#[inline(always)]
pub(super) fn gelu(z: f32, fma: MulAdd) -> f32 {
    let half = 0.5 * z;
    fma.of(half, erf(z * FRAC_1_SQRT_2, fma), half)
}

/// GELU(x + bias), in f32 or rounded to bf16.
pub(super) fn biased_gelu<T: Element>(x: &[f32], bias: &[f32]) -> Vec<T> {
    let d = bias.len();
    // SAFETY: chunks of rows cover x, and every element of a row is written.
    unsafe {
        filled(x.len(), |y| {
            y.par_chunks_mut(CHUNK * d).zip(x.par_chunks(CHUNK * d)).for_each(|(y, x)| {
                vectorized_fused(
                    #[inline(always)]
                    |fma| {
                        for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                            for ((y, x), b) in y.iter_mut().zip(x).zip(bias) {
                                y.write(T::of(gelu(x + b, fma)));
                            }
                        }
                    },
                );
            });
        })
    }
}

/// `grad` becomes the gradient of x; returns that of the bias.
pub(super) fn gelu_gradients(x: &[f32], bias: &[f32], grad: &mut [f32]) -> Vec<f32> {
    let d = bias.len();
    by_row(
        grad,
        d,
        d,
        #[inline(always)]
        |row, grad, sums, fma| {
            let inputs = x[row * d..(row + 1) * d].iter().zip(bias);
            for ((grad, sum), (x, b)) in grad.iter_mut().zip(sums.iter_mut()).zip(inputs) {
                let z = x + b;
                let cumulative = 0.5 + 0.5 * erf(z * FRAC_1_SQRT_2, fma);
                *grad *= fma.of(z * DENSITY, exp(-0.5 * z * z, fma), cumulative);
                *sum += *grad;
            }
        },
    )
}

/// `x + (y + bias) ⊙ scale`.
pub(super) fn scaled_residual(x: &[f32], y: &[f32], bias: &[f32], scale: &[f32]) -> Vec<f32> {
    let d = bias.len();
    // SAFETY: chunks of rows cover x, and every element of a row is written.
    unsafe {
        filled(x.len(), |out| {
            out.par_chunks_mut(CHUNK * d).zip(x.par_chunks(CHUNK * d)).zip(y.par_chunks(CHUNK * d)).for_each(
                |((out, x), y)| {
                    vectorized(
                        #[inline(always)]
                        || {
                            for ((out, x), y) in out.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(y.chunks_exact(d)) {
                                for ((((out, x), y), b), s) in out.iter_mut().zip(x).zip(y).zip(bias).zip(scale) {
                                    out.write(x + (y + b) * s);
                                }
                            }
                        },
                    );
                },
            );
        })
    }
}

/// `grad` becomes the gradient of y; returns those of bias and scale.
pub(super) fn branch_scale_gradients(y: &[f32], bias: &[f32], scale: &[f32], grad: &mut [f32]) -> (Vec<f32>, Vec<f32>) {
    let d = bias.len();
    let mut sums = by_row(
        grad,
        d,
        2 * d,
        #[inline(always)]
        |row, grad, sums, _| {
            let (dbias, dscale) = sums.split_at_mut(d);
            let inputs = y[row * d..(row + 1) * d].iter().zip(bias).zip(scale);
            let outputs = grad.iter_mut().zip(dbias.iter_mut()).zip(dscale.iter_mut());
            for (((grad, dbias), dscale), ((y, b), s)) in outputs.zip(inputs) {
                *dscale += *grad * (y + b);
                *grad *= s;
                *dbias += *grad;
            }
        },
    );
    let dscale = sums.split_off(d);
    (sums, dscale)
}

/// The sum of every column of `x`, `[d]`.
pub(super) fn sums(x: &[f32], d: usize) -> Vec<f32> {
    let add = |mut sums: Vec<f32>, rows: &[f32]| {
        vectorized(
            #[inline(always)]
            || {
                for row in rows.chunks_exact(d) {
                    for (sum, x) in sums.iter_mut().zip(row) {
                        *sum += x;
                    }
                }
            },
        );
        sums
    };
    let partial: Vec<Vec<f32>> = x.par_chunks(CHUNK * d).map(|rows| add(vec![0f32; d], rows)).collect();
    partial.iter().fold(vec![0f32; d], |total, partial| add(total, partial))
}
