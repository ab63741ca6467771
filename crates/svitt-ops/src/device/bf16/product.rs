//! Products over all threads.

use super::pack::{COLUMNS, Packed};
use super::round::{Element, round};
use super::tile::{ROWS, Segment, tile_rows};
use crate::device::cpu_gemm::Epilogue;
use crate::device::simd::vectorized;
use burn::tensor::bf16;
use rayon::prelude::*;
use std::borrow::Cow;
use std::mem::MaybeUninit;

/// Rows a task takes at a time between two looks at its panel: with k = 3072 they take 295 KB of cache.
const RUN: usize = 48;

/// The left operand: rows of an even number of values, so that they can be read in pairs.
pub(crate) struct PairRows<'a> {
    values: Cow<'a, [bf16]>,
    stride: usize,
    rows: usize,
    k: usize,
}

impl<'a> PairRows<'a> {
    /// `values` `[rows, k]`, row-major; copied only if k is odd.
    pub(crate) fn new(values: &'a [bf16], k: usize) -> Self {
        let rows = values.len() / k.max(1);
        if k.is_multiple_of(2) {
            return Self { values: Cow::Borrowed(values), stride: k, rows, k };
        }
        let padded = values.chunks_exact(k).flat_map(|row| row.iter().copied().chain([bf16::ZERO])).collect();
        Self { values: Cow::Owned(padded), stride: k + 1, rows, k }
    }

    /// The transpose of `values` `[k, rows]` of f32, rounded.
    pub(crate) fn transposed(values: &[f32], k: usize) -> Self {
        let (rows, stride) = (values.len() / k.max(1), k.next_multiple_of(2));
        let mut turned = vec![bf16::ZERO; rows * stride];
        // 16 rows of the result read 64 bytes of a row of `values`: each cache line is read once
        turned.par_chunks_mut(16 * stride).enumerate().for_each(|(run, to)| {
            let width = to.len() / stride;
            for (at, from) in values.chunks_exact(rows).enumerate() {
                for (i, x) in from[16 * run..][..width].iter().enumerate() {
                    to[i * stride + at] = round(*x);
                }
            }
        });
        Self { values: Cow::Owned(turned), stride, rows, k }
    }
}

/// `a · b` over all threads, `[rows, n]`, each stretch of a row finished by `finish` while it is in f32.
pub(crate) fn parallel_product<T: Element>(a: &PairRows, b: &Packed, finish: Option<Epilogue>) -> Vec<T> {
    let ([k, n], m) = (b.shape(), a.rows);
    assert!(a.k == k, "the operands have {} and {k} values to sum over", a.k);
    let mut out = Vec::with_capacity(m * n);
    let target = OutputPtr(out.spare_capacity_mut().as_mut_ptr());
    let (panels, rows) = (n.div_ceil(COLUMNS), rows_per_task(m, n));
    let tasks = if m == 0 { 0 } else { panels * m.div_ceil(rows) };
    (0..tasks).into_par_iter().with_max_len(1).for_each(|task| {
        let (panel, first) = (task % panels, task / panels * rows);
        let columns = COLUMNS.min(n - panel * COLUMNS);
        let (lines, segment) = (b.panel(panel), [Segment { a: 0, b: 0, pairs: k.div_ceil(2) }]);
        let mut sums = [0f32; ROWS * COLUMNS];
        for row in (first..m.min(first + rows)).step_by(ROWS) {
            let height = ROWS.min(m - row);
            let a_rows = &a.values[row * a.stride..];
            tile_rows(&mut sums, COLUMNS, [height, columns], a_rows, a.stride, lines, &segment);
            for (i, sums) in sums.chunks_exact_mut(COLUMNS).take(height).enumerate() {
                let sums = &mut sums[..columns];
                if let Some(finish) = finish {
                    finish(row + i, panel * COLUMNS, sums);
                }
                // SAFETY: tasks have different panels or rows, all inside [m, n].
                let to = unsafe { target.row((row + i) * n + panel * COLUMNS, columns) };
                store(to, sums);
            }
        }
    });
    // SAFETY: the tasks cover every row and column.
    unsafe { out.set_len(m * n) };
    out
}

/// All rows if there are panels enough for every thread, else part of them.
fn rows_per_task(m: usize, n: usize) -> usize {
    let tasks = 4 * rayon::current_num_threads();
    let parts = tasks.div_ceil(n.div_ceil(COLUMNS).max(1));
    m.div_ceil(parts).next_multiple_of(RUN)
}

fn store<T: Element>(to: &mut [MaybeUninit<T>], sums: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (to, sum) in to.iter_mut().zip(sums) {
                to.write(T::of(*sum));
            }
        },
    );
}

/// The target of all tasks.
#[derive(Clone, Copy)]
struct OutputPtr<T>(*mut MaybeUninit<T>);

// SAFETY: tasks write disjoint pieces of it.
unsafe impl<T: Send> Sync for OutputPtr<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for OutputPtr<T> {}

impl<T> OutputPtr<T> {
    /// # Safety
    /// The stretch lies inside the allocation, and nobody else has it.
    unsafe fn row<'a>(self, offset: usize, length: usize) -> &'a mut [MaybeUninit<T>] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(offset), length) }
    }
}
