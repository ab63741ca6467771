//! The left operand: rows of bytes, each with its scale.

use crate::device::bf16::Element;
use crate::device::simd::{magnitude, nearest, vectorized};
use rayon::prelude::*;

/// Rows per task.
const CHUNK: usize = 32;

/// What a stored byte is above the value it stands for.
pub(super) const ZERO: i32 = 128;

/// `[rows, k]`: value = scale · (byte − 128). Rows are a multiple of four bytes apart.
pub(crate) struct ByteRows {
    bytes: Vec<u8>,
    scales: Vec<f32>,
    stride: usize,
    k: usize,
}

/// Some rows of it.
#[derive(Clone, Copy)]
pub(super) struct ByteTile<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) scales: &'a [f32],
    pub(super) stride: usize,
}

impl ByteRows {
    /// `values` `[rows, k]`, row-major.
    pub(crate) fn of<T: Element>(values: &[T], k: usize) -> Self {
        let fill = |row: usize, to: &mut [f32]| {
            for (to, x) in to.iter_mut().zip(&values[row * k..]) {
                *to = x.wide();
            }
        };
        Self::filled(values.len() / k.max(1), k, fill)
    }

    /// Rows that `fill` writes, from their numbers.
    pub(crate) fn filled(rows: usize, k: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let stride = k.next_multiple_of(4);
        let (mut bytes, mut scales) = (vec![0u8; rows * stride], vec![0f32; rows]);
        let chunks = bytes.par_chunks_mut(CHUNK * stride.max(1)).zip(scales.par_chunks_mut(CHUNK)).enumerate();
        chunks.for_each(|(chunk, (bytes, scales))| {
            let mut row = vec![0f32; k];
            vectorized(
                #[inline(always)]
                || {
                    for (i, (bytes, scale)) in bytes.chunks_exact_mut(stride).zip(scales.iter_mut()).enumerate() {
                        fill(chunk * CHUNK + i, &mut row);
                        *scale = magnitude(&row) / 127.0;
                        quantize(bytes, &row, if *scale > 0.0 { 1.0 / *scale } else { 0.0 });
                    }
                },
            );
        });
        Self { bytes, scales, stride, k }
    }

    pub(crate) fn rows(&self) -> usize {
        self.scales.len()
    }

    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// `height` rows from `row` on.
    pub(super) fn from(&self, row: usize, height: usize) -> ByteTile<'_> {
        let scales = &self.scales[row..row + height];
        ByteTile { bytes: &self.bytes[row * self.stride..], scales, stride: self.stride }
    }
}

#[inline(always)]
fn quantize(bytes: &mut [u8], row: &[f32], inverse: f32) {
    for (to, x) in bytes.iter_mut().zip(row) {
        *to = (nearest(x * inverse) + ZERO) as u8;
    }
}
