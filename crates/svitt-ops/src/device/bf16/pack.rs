//! The right operand of a product, in the order the instruction reads it.

use super::round::{Element, round};
use crate::device::panels::COLUMNS;
use crate::device::simd::vectorized;
use burn::tensor::bf16;
use rayon::prelude::*;

/// Lines of a panel per pair of rows.
pub(crate) const LINES: usize = COLUMNS / 16;

/// Pairs of rows that are packed at a time where columns are read: two cache lines of f32.
const RUN: usize = 16;

/// One register: the pairs (row 2p, row 2p + 1) of 16 columns, see [`pair`].
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line([u32; 16]);

/// Zeros.
pub(crate) const EMPTY: Line = Line([0; 16]);

/// Two values as the instruction takes them, the first in the lower half. One number in place of two, so that loops over
/// pairs vectorise.
#[inline(always)]
fn pair(first: bf16, second: bf16) -> u32 {
    u32::from(first.to_bits()) | u32::from(second.to_bits()) << 16
}

/// `b` `[k, n]`: per panel of 64 columns, per pair of rows, four [`Line`]s; zeros beyond k and n.
pub(crate) struct Packed {
    lines: Vec<Line>,
    k: usize,
    n: usize,
}

impl Packed {
    /// `b` `[k, n]`, row-major.
    pub(crate) fn of_rows<T: Element>(b: &[T], [k, n]: [usize; 2]) -> Self {
        let pair = |panel: usize, p: usize, lines: &mut [Line]| {
            let columns = panel * COLUMNS..n.min((panel + 1) * COLUMNS);
            let first = &b[2 * p * n..][columns.clone()];
            if 2 * p + 1 < k {
                interleave(lines, first, &b[(2 * p + 1) * n..][columns]);
            } else {
                interleave(lines, first, &[T::default(); COLUMNS]);
            }
        };
        Self::new([k, n], pair)
    }

    /// `b` `[k, n]` whose transpose `[n, k]` is given, of f32, row-major. A column is read [`RUN`] pairs at a time: pair by
    /// pair, 64 columns that lie thousands of bytes apart push each other out of the cache.
    pub(crate) fn of_columns(transposed: &[f32], [k, n]: [usize; 2]) -> Self {
        Self::filled([k, n], |panel, lines| {
            for (run, lines) in lines.chunks_mut(RUN * LINES).enumerate() {
                let values = 2 * run * RUN..k.min(2 * (run + 1) * RUN);
                for column in 0..COLUMNS.min(n - panel * COLUMNS) {
                    let own = &transposed[(panel * COLUMNS + column) * k..][values.clone()];
                    for (p, two) in own.chunks(2).enumerate() {
                        let second = two.get(1).map_or(bf16::ZERO, |x| round(*x));
                        lines[p * LINES + column / 16].0[column % 16] = pair(round(two[0]), second);
                    }
                }
            }
        })
    }

    fn new([k, n]: [usize; 2], pair: impl Fn(usize, usize, &mut [Line]) + Sync) -> Self {
        Self::filled([k, n], |panel, lines| {
            vectorized(
                #[inline(always)]
                || {
                    for (p, lines) in lines.chunks_exact_mut(LINES).enumerate() {
                        pair(panel, p, lines);
                    }
                },
            );
        })
    }

    /// Panels that `fill` writes, from their number and into zeros.
    fn filled([k, n]: [usize; 2], fill: impl Fn(usize, &mut [Line]) + Sync) -> Self {
        let pairs = k.div_ceil(2);
        let mut lines = vec![EMPTY; n.div_ceil(COLUMNS) * pairs * LINES];
        let panels = lines.par_chunks_mut((pairs * LINES).max(1)).enumerate();
        panels.for_each(|(panel, lines)| fill(panel, lines));
        Self { lines, k, n }
    }

    /// k and n.
    pub(crate) fn shape(&self) -> [usize; 2] {
        [self.k, self.n]
    }

    /// The lines of one panel.
    pub(crate) fn panel(&self, panel: usize) -> &[Line] {
        let size = self.k.div_ceil(2) * LINES;
        &self.lines[panel * size..(panel + 1) * size]
    }
}

/// Lines of a block of `rows` rows and `columns` columns.
pub(crate) fn lines_of(rows: usize, columns: usize) -> usize {
    columns.div_ceil(COLUMNS) * rows.div_ceil(2) * LINES
}

/// Writes two rows of up to 64 columns into four lines.
#[inline(always)]
fn interleave<T: Element>(lines: &mut [Line], first: &[T], second: &[T]) {
    for (line, (a, b)) in lines.iter_mut().zip(first.chunks(16).zip(second.chunks(16))) {
        for (to, (a, b)) in line.0.iter_mut().zip(a.iter().zip(b)) {
            *to = pair(a.short(), b.short());
        }
    }
}

/// Packs `rows` `[k, n]`, `stride` apart, with k > 0, as [`Packed`] does, into `lines`. What the last line of a pair
/// holds beyond n stays as it is.
pub(crate) fn pack_rows<T: Element>(lines: &mut [Line], rows: &[T], stride: usize, [k, n]: [usize; 2]) {
    vectorized(
        #[inline(always)]
        || {
            for (panel, lines) in lines.chunks_exact_mut(k.div_ceil(2) * LINES).enumerate() {
                let columns = panel * COLUMNS..n.min((panel + 1) * COLUMNS);
                for (p, lines) in lines.chunks_exact_mut(LINES).enumerate() {
                    let first = &rows[2 * p * stride..][columns.clone()];
                    if 2 * p + 1 < k {
                        interleave(lines, first, &rows[(2 * p + 1) * stride..][columns.clone()]);
                    } else {
                        interleave(lines, first, &[T::default(); COLUMNS]);
                    }
                }
            }
        },
    );
}

/// The transpose `[n, k]` of `rows` `[k, n]` of bf16, `stride` apart, into `to`: a left operand, whose rows are made even
/// by a zero.
pub(crate) fn turn_rows(to: &mut Vec<bf16>, rows: &[bf16], stride: usize, [k, n]: [usize; 2]) {
    let width = k.next_multiple_of(2);
    to.resize(n * width, bf16::ZERO);
    for p in 0..k.div_ceil(2) {
        let first = &rows[2 * p * stride..][..n];
        let second = if 2 * p + 1 < k { &rows[(2 * p + 1) * stride..][..n] } else { &[] };
        for (i, (to, x)) in to.chunks_exact_mut(width).zip(first).enumerate() {
            to[2 * p] = *x;
            to[2 * p + 1] = second.get(i).copied().unwrap_or(bf16::ZERO);
        }
    }
}

/// Packs the transpose of `rows` `[n, k]` of bf16, `stride` apart, with k > 0, into `lines`.
pub(crate) fn pack_columns(lines: &mut [Line], rows: &[bf16], stride: usize, [k, n]: [usize; 2]) {
    for (panel, lines) in lines.chunks_exact_mut(k.div_ceil(2) * LINES).enumerate() {
        for column in 0..COLUMNS.min(n - panel * COLUMNS) {
            let row = &rows[(panel * COLUMNS + column) * stride..][..k];
            let (pairs, rest) = row.as_chunks::<2>();
            for (p, [first, second]) in pairs.iter().enumerate() {
                lines[p * LINES + column / 16].0[column % 16] = pair(*first, *second);
            }
            if let [last] = rest {
                lines[pairs.len() * LINES + column / 16].0[column % 16] = pair(*last, bf16::ZERO);
            }
        }
    }
}
