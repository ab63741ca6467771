//! Operands whose transpose is given. They are turned 16 × 16 numbers of 32 bits at a time: one by one, that took
//! more than half as long as all products of a sparse backward.

use super::pack::{LINES, Line, paired, pairs, unpaired};
use crate::device::panels::COLUMNS;
use crate::device::simd::vectorized;
use burn::tensor::bf16;

pub(crate) const SIDE: usize = 16;

/// Numbers of 32 bits: f32, or pairs of bf16.
pub(crate) type Square<T> = [[T; SIDE]; SIDE];

/// The transpose.
pub(crate) fn turn<T: Copy>(square: &mut Square<T>) {
    const { assert!(size_of::<T>() == 4) };
    #[cfg(target_arch = "x86_64")]
    if crate::device::cpu_computes_bf16() {
        // SAFETY: processors with bf16 products have AVX-512; rows have 64 bytes.
        return unsafe { x86::turn(square.as_mut_ptr().cast()) };
    }
    *square = std::array::from_fn(|i| std::array::from_fn(|j| square[j][i]));
}

/// The transpose `[n, k]` of `rows` `[k, n]` of bf16, `stride` apart, into `to`: a left operand, whose rows are made even
/// by a zero.
pub(crate) fn turn_rows(to: &mut Vec<bf16>, rows: &[bf16], stride: usize, [k, n]: [usize; 2]) {
    let width = k.next_multiple_of(2);
    to.resize(n * width, bf16::ZERO);
    let mut square = [[0u32; SIDE]; SIDE];
    for row in (0..k).step_by(2 * SIDE) {
        for column in (0..n).step_by(SIDE) {
            let (height, count) = ((k - row).min(2 * SIDE), (n - column).min(SIDE));
            read_pairs(&mut square, &rows[row * stride + column..], stride, [height, count]);
            turn(&mut square);
            let length = height.next_multiple_of(2);
            for (i, pairs) in square[..count].iter().enumerate() {
                let (to, pairs) = (&mut to[(column + i) * width + row..][..length], unpaired(*pairs));
                match to.first_chunk_mut() {
                    Some(to) => *to = pairs,
                    None => to.copy_from_slice(&pairs[..length]),
                }
            }
        }
    }
}

/// Packs the transpose of `rows` `[n, k]` of bf16, `stride` apart, with k > 0, into `lines`, as [`super::pack_rows`] does.
pub(crate) fn pack_columns(lines: &mut [Line], rows: &[bf16], stride: usize, [k, n]: [usize; 2]) {
    let mut square = [[0u32; SIDE]; SIDE];
    for (panel, lines) in lines.chunks_exact_mut(k.div_ceil(2) * LINES).enumerate() {
        let columns = panel * COLUMNS..n.min((panel + 1) * COLUMNS);
        for (v, column) in columns.clone().step_by(SIDE).enumerate() {
            let count = (columns.end - column).min(SIDE);
            for first in (0..k).step_by(2 * SIDE) {
                let length = (k - first).min(2 * SIDE);
                split_pairs(&mut square[..count], &rows[column * stride + first..], stride, length);
                turn(&mut square);
                for (p, pairs) in square[..length.div_ceil(2)].iter().enumerate() {
                    lines[(first / 2 + p) * LINES + v].0 = *pairs;
                }
            }
        }
    }
}

/// The first `length` values of every row, at most 32, in pairs; a missing second value is 0, and what is beyond is
/// anything.
fn split_pairs(square: &mut [[u32; SIDE]], from: &[bf16], stride: usize, length: usize) {
    for (i, to) in square.iter_mut().enumerate() {
        let row = &from[i * stride..][..length];
        if let Some(all) = row.first_chunk() {
            *to = pairs(*all);
            continue;
        }
        let mut values = [bf16::ZERO; 2 * SIDE];
        values[..length].copy_from_slice(row);
        *to = pairs(values);
    }
}

/// Pairs of `[rows, columns]`, at most 32 × 16; a missing second row is 0, and what is beyond is anything.
fn read_pairs(square: &mut Square<u32>, from: &[bf16], stride: usize, [rows, columns]: [usize; 2]) {
    vectorized(
        #[inline(always)]
        || {
            for p in 0..rows.div_ceil(2) {
                let mut pair = [[bf16::ZERO; SIDE]; 2];
                for i in 0..2.min(rows - 2 * p) {
                    let row = &from[(2 * p + i) * stride..];
                    match row.first_chunk() {
                        Some(all) => pair[i] = *all,
                        None => pair[i][..columns].copy_from_slice(&row[..columns]),
                    }
                }
                square[p] = paired(&pair[0], &pair[1]);
            }
        },
    );
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::SIDE;
    use std::arch::x86_64::*;

    /// Exchanges the blocks beside the diagonal, of 8 × 8, 4 × 4, 2 × 2 and 1 × 1.
    ///
    /// # Safety
    /// The CPU has AVX-512; `square` has 16 rows of 64 bytes.
    #[target_feature(enable = "avx512f")]
    #[allow(clippy::needless_range_loop, reason = "registers by number")]
    pub(super) unsafe fn turn(square: *mut __m512i) {
        let mut rows = [_mm512_setzero_si512(); SIDE];
        for i in 0..SIDE {
            // SAFETY: the caller's promise.
            rows[i] = unsafe { square.add(i).read_unaligned() };
        }
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        exchange::<8>(&mut rows, lanes);
        exchange::<4>(&mut rows, lanes);
        exchange::<2>(&mut rows, lanes);
        exchange::<1>(&mut rows, lanes);
        for i in 0..SIDE {
            // SAFETY: as above.
            unsafe { square.add(i).write_unaligned(rows[i]) };
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn exchange<const STEP: usize>(rows: &mut [__m512i; SIDE], lanes: __m512i) {
        let step = _mm512_set1_epi32(STEP as i32);
        let lower = _mm512_testn_epi32_mask(lanes, step);
        // 16 and above are lanes of the second operand
        let second = _mm512_or_si512(lanes, _mm512_set1_epi32(16));
        let first_row = _mm512_mask_blend_epi32(lower, _mm512_sub_epi32(second, step), lanes);
        let second_row = _mm512_mask_blend_epi32(lower, second, _mm512_add_epi32(lanes, step));
        for i in 0..SIDE {
            if i & STEP == 0 {
                let (a, b) = (rows[i], rows[i + STEP]);
                rows[i] = _mm512_permutex2var_epi32(a, first_row, b);
                rows[i + STEP] = _mm512_permutex2var_epi32(a, second_row, b);
            }
        }
    }
}
