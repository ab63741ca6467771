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
pub(crate) struct Line(pub(super) [u32; 16]);

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

/// Writes two rows of up to 64 columns into four lines. By whole registers: zipped chunks of 16 are not inlined, and
/// their calls took a fifth of a dense backward.
#[inline(always)]
fn interleave<T: Element>(lines: &mut [Line], first: &[T], second: &[T]) {
    let second = &second[..first.len()];
    let ((firsts, first_rest), (seconds, second_rest)) = (first.as_chunks::<16>(), second.as_chunks::<16>());
    for i in 0..firsts.len() {
        lines[i].0 = paired(&firsts[i], &seconds[i]);
    }
    if !first_rest.is_empty() {
        let (mut first, mut second) = ([T::default(); 16], [T::default(); 16]);
        first[..first_rest.len()].copy_from_slice(first_rest);
        second[..second_rest.len()].copy_from_slice(second_rest);
        lines[firsts.len()].0 = paired(&first, &second);
    }
}

/// The pairs of two rows.
#[inline(always)]
pub(super) fn paired<T: Element>(first: &[T; 16], second: &[T; 16]) -> [u32; 16] {
    let mut pairs = [0; 16];
    for i in 0..16 {
        pairs[i] = pair(first[i].short(), second[i].short());
    }
    pairs
}

/// The pairs of a row: processors that have the instruction store numbers with the lower half first, as [`pair`] does.
#[inline(always)]
pub(super) fn pairs(row: [bf16; 32]) -> [u32; 16] {
    // SAFETY: both are 64 bytes, and all bytes are values.
    unsafe { std::mem::transmute(row) }
}

/// The row whose [`pairs`] are given.
#[inline(always)]
pub(super) fn unpaired(pairs: [u32; 16]) -> [bf16; 32] {
    // SAFETY: as above.
    unsafe { std::mem::transmute(pairs) }
}

/// Packs `rows` `[k, n]`, `stride` apart, with k > 0, as [`Packed`] does, into `lines`. Lines beyond n stay as they
/// are.
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
