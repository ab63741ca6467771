//! The CPU kernels: rows in parallel, each row once through the cache. Sums over rows are taken per chunk of
//! [`CHUNK`] rows and then in order, so that they do not depend on the number of threads.

use super::op::FusedOps;
use crate::backend::cast_raw;
use crate::backend::host::{HostBackend, write};
use crate::backend::vector::{LANES, erf, exp};
use burn::tensor::TensorMetadata;
use burn::tensor::ops::FloatTensor;
use pulp::Arch;
use rayon::prelude::*;

/// Rows a task takes: 64 rows of 3072 floats are 786 KB, a core's cache.
const CHUNK: usize = 64;

/// `[rows, d]`.
fn shape<B: HostBackend>(x: &FloatTensor<B>) -> [usize; 2] {
    x.shape().dims()
}

/// Runs `body` on every chunk of rows: its first row, its rows of `out`, and `sums`, `sums_per_chunk` floats that are
/// added up over the chunks in order.
fn by_chunk(out: &mut [f32], d: usize, sums: usize, body: impl Fn(usize, &mut [f32], &mut [f32]) + Sync) -> Vec<f32> {
    let partial: Vec<Vec<f32>> = out
        .par_chunks_mut(CHUNK * d)
        .enumerate()
        .map(|(chunk, out)| {
            let mut partial = vec![0f32; sums];
            body(chunk * CHUNK, out, &mut partial);
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

#[inline(always)]
fn lane_sum(row: &[f32], map: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += map(chunk[i]);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&x| map(x)).sum::<f32>()
}

fn norm<B: HostBackend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    epsilon: f32,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let ([rows, d], device, arch) = (shape::<B>(&x), B::float_device(&x), Arch::new());
    let (mut y, mut stats) = (vec![0f32; rows * d], vec![0f32; rows * 2]);
    B::read(&x, |x| {
        B::read(&gamma, |gamma| {
            B::read(&beta, |beta| {
                let chunks =
                    y.par_chunks_mut(CHUNK * d).zip(stats.par_chunks_mut(CHUNK * 2)).zip(x.par_chunks(CHUNK * d));
                chunks.for_each(|((y, stats), x)| {
                    arch.dispatch(
                        #[inline(always)]
                        || {
                            for ((y, stats), x) in
                                y.chunks_exact_mut(d).zip(stats.chunks_exact_mut(2)).zip(x.chunks_exact(d))
                            {
                                let [mean, inverse] = statistics(x, epsilon);
                                stats.copy_from_slice(&[mean, inverse]);
                                for (((y, x), g), b) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                                    *y = (x - mean) * inverse * g + b;
                                }
                            }
                        },
                    );
                });
            });
        });
    });
    (write::<B, 2>(y, [rows, d], &device), write::<B, 2>(stats, [rows, 2], &device))
}

#[inline(always)]
fn norm_backward_row(
    dx: &mut [f32],
    x: &[f32],
    grad: &[f32],
    gamma: &[f32],
    [mean, inverse]: [f32; 2],
    sums: &mut [f32],
) {
    let d = x.len();
    let (dgamma, dbeta) = sums.split_at_mut(d);
    let (dgamma, dbeta) = (&mut dgamma[..d], &mut dbeta[..d]);
    let (dx, grad, gamma) = (&mut dx[..d], &grad[..d], &gamma[..d]);
    let (mut inner, mut along) = ([0f32; LANES], [0f32; LANES]);
    for i in 0..d {
        let normal = (x[i] - mean) * inverse;
        let scaled = grad[i] * gamma[i];
        dgamma[i] += grad[i] * normal;
        dbeta[i] += grad[i];
        dx[i] = scaled;
        inner[i % LANES] += scaled;
        along[i % LANES] += scaled * normal;
    }
    let inner = inner.iter().sum::<f32>() / d as f32;
    let along = along.iter().sum::<f32>() / d as f32;
    for i in 0..d {
        dx[i] = (dx[i] - inner - (x[i] - mean) * inverse * along) * inverse;
    }
}

fn norm_backward<B: HostBackend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    stats: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> [FloatTensor<B>; 3] {
    let ([rows, d], device, arch) = (shape::<B>(&x), B::float_device(&x), Arch::new());
    let mut dx = vec![0f32; rows * d];
    let sums = B::read(&x, |x| {
        B::read(&gamma, |gamma| {
            B::read(&stats, |stats| {
                B::read(&grad, |grad| {
                    by_chunk(&mut dx, d, 2 * d, |first, dx, sums| {
                        arch.dispatch(
                            #[inline(always)]
                            || {
                                for (i, dx) in dx.chunks_exact_mut(d).enumerate() {
                                    let row = first + i;
                                    let at = row * d..(row + 1) * d;
                                    let stats = [stats[2 * row], stats[2 * row + 1]];
                                    norm_backward_row(dx, &x[at.clone()], &grad[at], gamma, stats, sums);
                                }
                            },
                        );
                    })
                })
            })
        })
    });
    let (dgamma, dbeta) = sums.split_at(d);
    [
        write::<B, 2>(dx, [rows, d], &device),
        write::<B, 1>(dgamma.to_vec(), [d], &device),
        write::<B, 1>(dbeta.to_vec(), [d], &device),
    ]
}

fn gelu<B: HostBackend>(x: FloatTensor<B>, bias: FloatTensor<B>) -> FloatTensor<B> {
    let ([rows, d], device, arch) = (shape::<B>(&x), B::float_device(&x), Arch::new());
    let mut y = vec![0f32; rows * d];
    B::read(&x, |x| {
        B::read(&bias, |bias| {
            y.par_chunks_mut(CHUNK * d).zip(x.par_chunks(CHUNK * d)).for_each(|(y, x)| {
                arch.dispatch(
                    #[inline(always)]
                    || {
                        for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                            for ((y, x), b) in y.iter_mut().zip(x).zip(bias) {
                                let z = x + b;
                                *y = 0.5 * z * (1.0 + erf(z * std::f32::consts::FRAC_1_SQRT_2));
                            }
                        }
                    },
                );
            });
        });
    });
    write::<B, 2>(y, [rows, d], &device)
}

fn gelu_backward<B: HostBackend>(x: FloatTensor<B>, bias: FloatTensor<B>, grad: FloatTensor<B>) -> [FloatTensor<B>; 2] {
    const DENSITY: f32 = 0.398_942_3;
    let ([rows, d], device, arch) = (shape::<B>(&x), B::float_device(&x), Arch::new());
    let mut dx = vec![0f32; rows * d];
    let dbias = B::read(&x, |x| {
        B::read(&bias, |bias| {
            B::read(&grad, |grad| {
                by_chunk(&mut dx, d, d, |first, dx, sums| {
                    arch.dispatch(
                        #[inline(always)]
                        || {
                            for (i, dx) in dx.chunks_exact_mut(d).enumerate() {
                                let at = (first + i) * d..(first + i + 1) * d;
                                let inputs = x[at.clone()].iter().zip(&grad[at]).zip(bias);
                                for ((dx, sum), ((x, g), b)) in dx.iter_mut().zip(sums.iter_mut()).zip(inputs) {
                                    let z = x + b;
                                    let cumulative = 0.5 + 0.5 * erf(z * std::f32::consts::FRAC_1_SQRT_2);
                                    *dx = g * (cumulative + z * DENSITY * exp(-0.5 * z * z));
                                    *sum += *dx;
                                }
                            }
                        },
                    );
                })
            })
        })
    });
    [write::<B, 2>(dx, [rows, d], &device), write::<B, 1>(dbias, [d], &device)]
}

fn residual<B: HostBackend>(
    x: FloatTensor<B>,
    y: FloatTensor<B>,
    bias: FloatTensor<B>,
    scale: FloatTensor<B>,
) -> FloatTensor<B> {
    let ([rows, d], device, arch) = (shape::<B>(&x), B::float_device(&x), Arch::new());
    let mut out = vec![0f32; rows * d];
    B::read(&x, |x| {
        B::read(&y, |y| {
            B::read(&bias, |bias| {
                B::read(&scale, |scale| {
                    out.par_chunks_mut(CHUNK * d).zip(x.par_chunks(CHUNK * d)).zip(y.par_chunks(CHUNK * d)).for_each(
                        |((out, x), y)| {
                            arch.dispatch(
                                #[inline(always)]
                                || {
                                    for ((out, x), y) in
                                        out.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(y.chunks_exact(d))
                                    {
                                        for ((((out, x), y), b), s) in out.iter_mut().zip(x).zip(y).zip(bias).zip(scale)
                                        {
                                            *out = x + (y + b) * s;
                                        }
                                    }
                                },
                            );
                        },
                    );
                });
            });
        });
    });
    write::<B, 2>(out, [rows, d], &device)
}

fn residual_backward<B: HostBackend>(
    y: FloatTensor<B>,
    bias: FloatTensor<B>,
    scale: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> [FloatTensor<B>; 3] {
    let ([rows, d], device, arch) = (shape::<B>(&y), B::float_device(&y), Arch::new());
    let mut dy = vec![0f32; rows * d];
    let sums = B::read(&y, |y| {
        B::read(&bias, |bias| {
            B::read(&scale, |scale| {
                B::read(&grad, |grad| {
                    by_chunk(&mut dy, d, 2 * d, |first, dy, sums| {
                        let (dbias, dscale) = sums.split_at_mut(d);
                        arch.dispatch(
                            #[inline(always)]
                            || {
                                for (i, dy) in dy.chunks_exact_mut(d).enumerate() {
                                    let at = (first + i) * d..(first + i + 1) * d;
                                    let inputs = y[at.clone()].iter().zip(&grad[at]).zip(bias).zip(scale);
                                    let outputs = dy.iter_mut().zip(dbias.iter_mut()).zip(dscale.iter_mut());
                                    for (((dy, dbias), dscale), (((y, g), b), s)) in outputs.zip(inputs) {
                                        *dy = g * s;
                                        *dbias += *dy;
                                        *dscale += g * (y + b);
                                    }
                                }
                            },
                        );
                    })
                })
            })
        })
    });
    let (dbias, dscale) = sums.split_at(d);
    [
        write::<B, 2>(dy, [rows, d], &device),
        write::<B, 1>(dbias.to_vec(), [d], &device),
        write::<B, 1>(dscale.to_vec(), [d], &device),
    ]
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
