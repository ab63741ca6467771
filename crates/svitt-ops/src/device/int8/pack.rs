//! The right operand: weights of bytes in the order the instruction reads them.

use super::rows::ZERO;
use crate::device::panels::COLUMNS;
use crate::device::simd::{larger, nearest};
use rayon::prelude::*;

/// Lines of a panel per four rows.
pub(super) const LINES: usize = COLUMNS / 16;

/// One register: rows 4q to 4q + 3 of 16 columns.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct ByteLine(pub(super) [[i8; 4]; 16]);

/// `b` `[k, n]`: per panel of 64 columns, per four rows, four [`ByteLine`]s; zeros beyond k and n.
pub(crate) struct PackedBytes {
    lines: Vec<ByteLine>,
    /// Per column, a multiple of 64 of them: its scale.
    scales: Vec<f32>,
    /// Per column: 128 times the sum of its bytes.
    shifts: Vec<i32>,
    k: usize,
    n: usize,
}

/// One panel of it.
pub(super) struct BytePanel<'a> {
    pub(super) lines: &'a [ByteLine],
    pub(super) scales: &'a [f32],
    pub(super) shifts: &'a [i32],
}

impl PackedBytes {
    /// `b` `[k, n]`, row-major.
    pub(crate) fn of_rows(b: &[f32], [k, n]: [usize; 2]) -> Self {
        let (panels, fours) = (n.div_ceil(COLUMNS), k.div_ceil(4));
        let mut lines = vec![ByteLine([[0; 4]; 16]); panels * fours * LINES];
        let (mut scales, mut shifts) = (vec![0f32; panels * COLUMNS], vec![0i32; panels * COLUMNS]);
        let targets = scales.par_chunks_mut(COLUMNS).zip(shifts.par_chunks_mut(COLUMNS));
        lines.par_chunks_mut((fours * LINES).max(1)).zip(targets).enumerate().for_each(
            |(panel, (lines, (scales, shifts)))| {
                let columns = panel * COLUMNS..n.min((panel + 1) * COLUMNS);
                for row in b.chunks_exact(n) {
                    for (scale, x) in scales.iter_mut().zip(&row[columns.clone()]) {
                        *scale = larger(*scale, *x);
                    }
                }
                scales.iter_mut().for_each(|scale| *scale /= 127.0);
                let inverse: Vec<f32> = scales.iter().map(|s| if *s > 0.0 { 1.0 / s } else { 0.0 }).collect();
                for (at, row) in b.chunks_exact(n).enumerate() {
                    let lines = &mut lines[at / 4 * LINES..];
                    for (column, x) in row[columns.clone()].iter().enumerate() {
                        let byte = nearest(x * inverse[column]) as i8;
                        lines[column / 16].0[column % 16][at % 4] = byte;
                        shifts[column] += ZERO * i32::from(byte);
                    }
                }
            },
        );
        Self { lines, scales, shifts, k, n }
    }

    /// k and n.
    pub(crate) fn shape(&self) -> [usize; 2] {
        [self.k, self.n]
    }

    pub(super) fn panel(&self, panel: usize) -> BytePanel<'_> {
        let (size, columns) = (self.k.div_ceil(4) * LINES, panel * COLUMNS..(panel + 1) * COLUMNS);
        BytePanel {
            lines: &self.lines[panel * size..(panel + 1) * size],
            scales: &self.scales[columns.clone()],
            shifts: &self.shifts[columns],
        }
    }
}
