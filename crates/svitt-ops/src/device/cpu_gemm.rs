//! Matrix products on strided slices: one on the calling thread, one over all threads.

use super::simd::vectorized;
use super::{Arithmetic, bf16};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Below this many multiplications one thread is faster than waking the others (about 10 µs of work).
const ALONE: usize = 1 << 20;

/// Columns and rows per piece are multiples of these: the register tiles of `gemm` are 64 × 6 with AVX-512 and
/// 16 × 6 with AVX2, columns first.
const COLUMNS: usize = 64;
const ROWS: usize = 6;

/// A matrix inside a slice.
#[derive(Clone, Copy)]
pub(crate) struct MatrixView<'a> {
    values: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

impl<'a> MatrixView<'a> {
    /// Rows `stride` apart, columns beside each other.
    pub(crate) fn rows(values: &'a [f32], stride: usize) -> Self {
        Self { values, row_stride: stride, column_stride: 1 }
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        Self { row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }

    /// The submatrix from `row` and `column` on.
    fn from(self, row: usize, column: usize) -> Self {
        Self { values: &self.values[row * self.row_stride + column * self.column_stride..], ..self }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        (rows - 1) * self.row_stride + (columns - 1) * self.column_stride < self.values.len()
    }
}

/// `to (+)= scale · a · b` for `a` `[m, k]`, `b` `[k, n]` and `to` `[m, n]` with rows `stride` apart; `add` keeps what
/// `to` holds.
pub(crate) fn product(
    to: &mut [f32],
    stride: usize,
    [m, n, k]: [usize; 3],
    a: MatrixView,
    b: MatrixView,
    scale: f32,
    add: bool,
) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(a.holds(m, k) && b.holds(k, n) && (m - 1) * stride + n <= to.len(), "a matrix reaches beyond its slice");
    // SAFETY: the assertion above bounds every address the strided product reads or writes by its slice.
    unsafe { strided(to.as_mut_ptr(), stride, [m, n, k], a, b, scale, add) }
}

/// # Safety
/// `to` `[m, n]`, rows `stride` apart, must be writable, and readable with `add`; `a` and `b` must hold their sizes.
unsafe fn strided(
    to: *mut f32,
    stride: usize,
    [m, n, k]: [usize; 3],
    a: MatrixView,
    b: MatrixView,
    scale: f32,
    add: bool,
) {
    // SAFETY: the caller's promise.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            to,
            1,
            stride as isize,
            add,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Applied to each finished piece of a row while it is still in the cache: row, first column, values (a GEMM epilogue).
pub(crate) type Epilogue<'a> = &'a (dyn Fn(usize, usize, &mut [f32]) + Sync);

/// An epilogue: `+ bias`.
pub(crate) fn add_bias(bias: &[f32]) -> impl Fn(usize, usize, &mut [f32]) + Sync {
    |_, first, to| {
        vectorized(
            #[inline(always)]
            || {
                for (y, b) in to.iter_mut().zip(&bias[first..]) {
                    *y += b;
                }
            },
        );
    }
}

/// `a · b` over all threads, `[m, n]`, each stretch of a row finished by `finish`.
///
/// Every thread multiplies pieces of its own, columns or rows, and packs what it needs alone. `gemm`'s own threads wait
/// for each other at every block of k: 193 instead of 207 GFLOP/s at 785 × 768 × 3072 on two Zen 4 cores, and 147
/// instead of 183 where b is transposed.
pub(crate) fn parallel_product(shape: [usize; 3], a: MatrixView, b: MatrixView, finish: Option<Epilogue>) -> Vec<f32> {
    let [m, n, k] = shape;
    if m == 0 || n == 0 || k == 0 {
        return vec![0.0; m * n];
    }
    let mut out = Vec::with_capacity(m * n);
    parallel_product_into(&mut out.spare_capacity_mut()[..m * n], shape, a, b, finish);
    // SAFETY: the pieces cover every row and column, and a product without `add` writes all of its target.
    unsafe { out.set_len(m * n) };
    out
}

fn parallel_product_into(
    to: &mut [MaybeUninit<f32>],
    shape: [usize; 3],
    a: MatrixView,
    b: MatrixView,
    finish: Option<Epilogue>,
) {
    let [m, n, k] = shape;
    assert!(a.holds(m, k) && b.holds(k, n) && m * n <= to.len(), "a matrix reaches beyond its slice");
    let target = OutputPtr(to.as_mut_ptr().cast());
    pieces(shape, rayon::current_num_threads()).into_par_iter().with_max_len(1).for_each(|(rows, columns)| {
        let (height, width) = (rows.len(), columns.len());
        let at = |row: usize| target.at(row * n + columns.start);
        let (a, b) = (a.from(rows.start, 0), b.from(0, columns.start));
        // SAFETY: pieces are disjoint and inside [m, n]; the assertion above covers a and b.
        unsafe { strided(at(rows.start), n, [height, width, k], a, b, 1.0, false) };
        if let Some(finish) = finish {
            for row in rows {
                // SAFETY: written by the product above, and no other piece holds these columns of this row.
                finish(row, columns.start, unsafe { std::slice::from_raw_parts_mut(at(row), width) });
            }
        }
    });
}

/// The target of all pieces.
#[derive(Clone, Copy)]
struct OutputPtr(*mut f32);

// SAFETY: threads write disjoint pieces of it.
unsafe impl Sync for OutputPtr {}
// SAFETY: as above.
unsafe impl Send for OutputPtr {}

impl OutputPtr {
    fn at(self, offset: usize) -> *mut f32 {
        self.0.wrapping_add(offset)
    }
}

impl Arithmetic {
    /// [`parallel_product`] of two operands without gaps, row-major or the transpose of that, in f32 or bf16.
    pub(crate) fn product(self, shape: [usize; 3], a: MatrixView, b: MatrixView, finish: Option<Epilogue>) -> Vec<f32> {
        if self.of_gradients() == Self::F32 {
            return parallel_product(shape, a, b, finish);
        }
        let [m, n, k] = shape;
        let short;
        let left = if a.column_stride == 1 {
            short = bf16::narrow(&a.values[..m * k]);
            bf16::PairRows::new(&short, k)
        } else {
            bf16::PairRows::transposed(&a.values[..m * k], k)
        };
        let values = &b.values[..k * n];
        let right = if b.column_stride == 1 {
            bf16::Packed::of_rows(values, [k, n])
        } else {
            bf16::Packed::of_columns(values, [k, n])
        };
        bf16::parallel_product(&left, &right, finish)
    }
}

/// Rows and columns of every piece: two pieces per thread, so that a delayed thread delays half of its share only.
fn pieces([m, n, k]: [usize; 3], threads: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let parts = if m * n * k < ALONE || threads == 1 { 1 } else { 2 * threads };
    let runs = |length: usize, multiple: usize| {
        let step = length.div_ceil(parts).next_multiple_of(multiple);
        (0..length).step_by(step).map(move |first| first..(first + step).min(length))
    };
    // Columns first: a piece of them packs its part of b, the weights, once.
    if m > 2 * n {
        runs(m, ROWS).map(|rows| (rows, 0..n)).collect()
    } else {
        runs(n, COLUMNS).map(|columns| (0..m, columns)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_products() {
        let a: Vec<f32> = (0..20).map(|x| x as f32).collect();
        let mut to = vec![1f32; 12];
        // rows 0..2, columns 0..3 of a 4 × 5 matrix, times the transpose of its rows 2..4
        product(&mut to, 6, [2, 2, 3], MatrixView::rows(&a, 5), MatrixView::rows(&a[10..], 5).t(), 2.0, true);
        let dot = |i: usize, j: usize| (0..3).map(|k| a[i * 5 + k] * a[10 + j * 5 + k]).sum::<f32>();
        assert_eq!(to[..2], [1.0 + 2.0 * dot(0, 0), 1.0 + 2.0 * dot(0, 1)]);
        assert_eq!(to[6..8], [1.0 + 2.0 * dot(1, 0), 1.0 + 2.0 * dot(1, 1)]);
        assert_eq!((to[2], to[8]), (1.0, 1.0), "the rest of a row stays");
    }

    #[test]
    fn products_over_all_threads_are_those_of_one() {
        for [m, n, k] in [[1, 1, 1], [7, 130, 33], [301, 29, 131], [67, 515, 91], [0, 3, 2]] {
            let values = |count: usize| -> Vec<f32> { (0..count).map(|i| ((i * 37) % 23) as f32 - 11.0).collect() };
            let (a, b) = (values(m * k), values(k * n));
            for (a, b) in [
                (MatrixView::rows(&a, k), MatrixView::rows(&b, n)),
                (MatrixView::rows(&a, m).t(), MatrixView::rows(&b, k).t()),
            ] {
                let mut expected = vec![0f32; m * n];
                product(&mut expected, n, [m, n, k], a, b, 1.0, false);
                expected.iter_mut().enumerate().for_each(|(i, x)| *x += (i / n * 100 + i % n) as f32);
                let finish = |row: usize, first: usize, to: &mut [f32]| {
                    to.iter_mut().enumerate().for_each(|(i, x)| *x += (row * 100 + first + i) as f32);
                };
                assert_eq!(parallel_product([m, n, k], a, b, Some(&finish)), expected, "{m} × {n} × {k}");
            }
        }
    }

    #[test]
    fn pieces_cover_a_product_once() {
        for (shape, threads) in [([785, 3072, 768], 2), ([4160, 64, 64], 3), ([5, 5, 5], 2), ([300, 100, 200], 7)] {
            let all = pieces(shape, threads);
            assert_eq!(all.iter().map(|(r, c)| r.len() * c.len()).sum::<usize>(), shape[0] * shape[1]);
        }
    }
}
