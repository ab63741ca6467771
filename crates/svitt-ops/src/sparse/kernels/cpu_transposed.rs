//! Keys and values of every head, transposed once. Products with them read their columns, and a matrix product that finds
//! columns 3C numbers apart copies them for every tile of queries: scores of 64 wide heads run at 160 GFLOP/s a thread
//! then, and at 222 like this, where other products have 260 (Zen 4).

use super::cpu::CpuKernel;
use crate::device::cpu_gemm::MatrixView;
use crate::device::simd::LANES;
use rayon::prelude::*;

/// `[batch, heads, parts, D, stride]`, tokens beside each other.
pub(super) struct Transposed {
    values: Vec<f32>,
    heads: usize,
    parts: usize,
    d: usize,
    stride: usize,
}

impl Transposed {
    /// The `parts` (1: keys, 2: values) of `kernel`.
    pub(super) fn new(kernel: &CpuKernel, parts: &[usize]) -> Self {
        let CpuKernel { batch, s, heads, d, .. } = *kernel;
        // Vectors may begin at any token and reach behind the last.
        let stride = column_stride(s + LANES);
        let mut values = vec![0f32; batch * heads * parts.len() * d * stride];
        values.par_chunks_mut(d * stride).enumerate().for_each(|(index, to)| {
            let (task, part) = (index / parts.len(), parts[index % parts.len()]);
            turn(to, stride, kernel.part_slice(part, task / heads, task % heads, 0), 3 * kernel.width(), [s, d]);
        });
        Self { values, heads, parts: parts.len(), d, stride }
    }

    /// Floats between two numbers of a token.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// The part at `place` of sample `b` and head `h`, `[D, stride]`.
    pub(super) fn of_head(&self, b: usize, h: usize, place: usize) -> &[f32] {
        let size = self.d * self.stride;
        &self.values[((b * self.heads + h) * self.parts + place) * size..][..size]
    }

    /// [`Self::of_head`] from token `token` on, as the right operand of a product.
    pub(super) fn matrix(&self, b: usize, h: usize, place: usize, token: usize) -> MatrixView<'_> {
        MatrixView::rows(&self.of_head(b, h, place)[token..], self.stride)
    }
}

/// Floats between two rows of `tokens` columns: an odd number of cache lines, since rows at multiples of 4 KB would push
/// each other out of the cache.
pub(super) fn column_stride(tokens: usize) -> usize {
    (tokens.div_ceil(LANES) | 1) * LANES
}

/// Writes the transpose of `from` `[tokens, d]`, rows `from_stride` apart, to `to`, rows `stride` apart; 16 tokens at a
/// time, whose rows stay in the nearest cache.
fn turn(to: &mut [f32], stride: usize, from: &[f32], from_stride: usize, [tokens, d]: [usize; 2]) {
    for first in (0..tokens).step_by(LANES) {
        let last = (first + LANES).min(tokens);
        for i in 0..d {
            for token in first..last {
                to[i * stride + token] = from[token * from_stride + i];
            }
        }
    }
}
