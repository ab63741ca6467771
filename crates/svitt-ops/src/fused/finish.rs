//! What is done to stretches of a product's rows while they are in the cache: row, first column, values.

use super::rows;
use crate::device::simd::{vectorized, vectorized_fused};

/// GELU(· + bias).
pub(super) fn activate(bias: &[f32]) -> impl Fn(usize, usize, &mut [f32]) + Sync {
    |_, first, to| {
        let bias = &bias[first..];
        vectorized_fused(
            #[inline(always)]
            |fma| {
                for (z, b) in to.iter_mut().zip(bias) {
                    *z = rows::gelu(*z + b, fma);
                }
            },
        );
    }
}

/// residual + keep ⊙ λ ⊙ (· + bias); `residual` `[rows, d]`, `bias` and `scale` `[d]`.
pub(super) fn join_branch(
    residual: &[f32],
    [bias, scale]: [&[f32]; 2],
    kept: &DropPathFactors,
) -> impl Fn(usize, usize, &mut [f32]) + Sync {
    let d = bias.len();
    move |row, first, to| {
        let residual = &residual[row * d + first..][..to.len()];
        let factor = kept.of(row);
        vectorized(
            #[inline(always)]
            || {
                for (((y, r), b), s) in to.iter_mut().zip(residual).zip(&bias[first..]).zip(&scale[first..]) {
                    *y = r + (*y + b) * s * factor;
                }
            },
        );
    }
}

/// How a sample's rows are scaled by stochastic depth.
pub(super) struct DropPathFactors<'a> {
    factors: Option<&'a [f32]>,
    rows_per_sample: usize,
}

impl<'a> DropPathFactors<'a> {
    pub(super) fn new(factors: Option<&'a [f32]>, rows: usize) -> Self {
        Self { factors, rows_per_sample: factors.map_or(rows, |factors| rows / factors.len()) }
    }

    /// Whether rows are scaled at all.
    pub(super) fn any(&self) -> bool {
        self.factors.is_some()
    }

    #[inline(always)]
    pub(super) fn of(&self, row: usize) -> f32 {
        self.factors.map_or(1.0, |factors| factors[row / self.rows_per_sample])
    }
}
