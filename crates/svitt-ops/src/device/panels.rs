//! What the products of bf16 and of int8 share: tiles of 6 × 64 sums, a panel of 64 columns per task.

use super::bf16::Element;
use super::cpu_gemm::Epilogue;
use super::simd::vectorized;
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Columns of a panel: four registers of 16.
pub(crate) const COLUMNS: usize = 64;

/// Rows of a tile: 24 sums, four registers of b and one of a fit the 32 there are.
pub(crate) const ROWS: usize = 6;

/// The function `$fixed::<R, V, $add>` for R rows and V registers of columns, by R − 1 and V − 1; `$add` is whether it
/// adds to its target.
#[cfg(target_arch = "x86_64")]
macro_rules! tiles {
    ($fixed:ident $(, $add:literal)?) => {
        [
            $crate::device::panels::tiles!(@row $fixed, 1 $(, $add)?),
            $crate::device::panels::tiles!(@row $fixed, 2 $(, $add)?),
            $crate::device::panels::tiles!(@row $fixed, 3 $(, $add)?),
            $crate::device::panels::tiles!(@row $fixed, 4 $(, $add)?),
            $crate::device::panels::tiles!(@row $fixed, 5 $(, $add)?),
            $crate::device::panels::tiles!(@row $fixed, 6 $(, $add)?),
        ]
    };
    (@row $fixed:ident, $rows:literal $(, $add:literal)?) => {
        [
            $fixed::<$rows, 1 $(, $add)?>,
            $fixed::<$rows, 2 $(, $add)?>,
            $fixed::<$rows, 3 $(, $add)?>,
            $fixed::<$rows, 4 $(, $add)?>,
        ]
    };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use tiles;

/// Rows a task takes at a time between two looks at its panel: with k = 3072 they take 295 KB of cache as bf16.
const RUN: usize = 48;

/// `[m, n]` over all threads. `tile` writes the products of a tile, rows 64 apart, from its row and height and its panel
/// and width; each stretch of a row is finished by `finish` while it is in f32.
pub(crate) fn by_panels<T: Element>(
    [m, n]: [usize; 2],
    tile: impl Fn(&mut [f32], [usize; 2], [usize; 2]) + Sync,
    finish: Option<Epilogue>,
) -> Vec<T> {
    let mut out = Vec::with_capacity(m * n);
    let target = OutputPtr::new(out.spare_capacity_mut());
    let (panels, rows) = (n.div_ceil(COLUMNS), rows_per_task(m, n));
    let tasks = if m == 0 { 0 } else { panels * m.div_ceil(rows) };
    (0..tasks).into_par_iter().with_max_len(1).for_each(|task| {
        let (panel, first) = (task % panels, task / panels * rows);
        let columns = COLUMNS.min(n - panel * COLUMNS);
        let mut sums = [0f32; ROWS * COLUMNS];
        for row in (first..m.min(first + rows)).step_by(ROWS) {
            let height = ROWS.min(m - row);
            tile(&mut sums, [row, height], [panel, columns]);
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
pub(crate) struct OutputPtr<T>(*mut MaybeUninit<T>);

// SAFETY: tasks write disjoint pieces of it.
unsafe impl<T: Send> Sync for OutputPtr<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for OutputPtr<T> {}

impl<T> OutputPtr<T> {
    pub(crate) fn new(target: &mut [MaybeUninit<T>]) -> Self {
        Self(target.as_mut_ptr())
    }

    /// # Safety
    /// The stretch lies inside the allocation, which still exists, and nobody else has it.
    pub(crate) unsafe fn row<'a>(self, offset: usize, length: usize) -> &'a mut [MaybeUninit<T>] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(offset), length) }
    }
}

/// m, n and k of products: below, at and above the sizes of tiles, panels and instructions, and no rows at all.
#[cfg(test)]
pub(crate) const ODD_SHAPES: [[usize; 3]; 13] = [
    [1, 1, 1],
    [5, 7, 3],
    [6, 64, 2],
    [6, 64, 4],
    [7, 65, 63],
    [63, 63, 65],
    [64, 6, 64],
    [65, 1, 7],
    [1, 65, 129],
    [6, 5, 6],
    [13, 130, 31],
    [97, 64, 100],
    [0, 9, 4],
];
