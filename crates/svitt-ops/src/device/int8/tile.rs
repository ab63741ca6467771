//! The register tile: up to 6 rows by 64 columns of exact sums, scaled to f32 as they are stored.

use super::pack::{BytePanel, LINES};
use super::rows::ByteTile;
use crate::device::panels::{COLUMNS, ROWS};

/// `to` `[rows, columns]`, rows `to_stride` apart, becomes the product of up to 6 rows with `b`. `columns` is at most 64.
///
/// # Panics
/// If an operand reaches beyond its slice, or the CPU lacks the instruction.
pub(super) fn tile(to: &mut [f32], to_stride: usize, a: ByteTile, b: &BytePanel, columns: usize) {
    let (rows, fours) = (a.scales.len(), b.lines.len() / LINES);
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(rows <= ROWS && columns <= COLUMNS, "a tile has 6 rows of 64 columns at most");
    assert!((rows - 1) * to_stride + columns <= to.len(), "the target is too short");
    assert!(a.stride == 4 * fours && rows * a.stride <= a.bytes.len(), "a is too short");
    assert!(b.scales.len() == COLUMNS && b.shifts.len() == COLUMNS, "b has a scale for every column");
    assert!(crate::device::cpu_computes_int8(), "this CPU has no products of bytes");
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction exists, and the assertions above bound every access.
    unsafe {
        x86::tile(to.as_mut_ptr(), to_stride, columns, a, b, fours);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{BytePanel, ByteTile, LINES};
    use std::arch::x86_64::*;

    type Tile = unsafe fn(*mut f32, usize, usize, ByteTile, &BytePanel, usize);

    /// By rows − 1 and registers of columns − 1.
    const TILES: [[Tile; 4]; 6] = crate::device::panels::tiles!(fixed);

    /// # Safety
    /// The CPU has AVX512-VNNI; there are 1 to 6 rows and 1 to 64 columns; both operands and the target hold their sizes.
    pub(super) unsafe fn tile(
        to: *mut f32,
        to_stride: usize,
        columns: usize,
        a: ByteTile,
        b: &BytePanel,
        fours: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe { TILES[a.scales.len() - 1][columns.div_ceil(16) - 1](to, to_stride, columns, a, b, fours) }
    }

    /// # Safety
    /// As [`tile`], for R rows and 16 · V columns, the last register of which may be partly used.
    #[target_feature(enable = "avx512f,avx512vnni")]
    #[allow(clippy::needless_range_loop, reason = "registers by number")]
    unsafe fn fixed<const R: usize, const V: usize>(
        to: *mut f32,
        to_stride: usize,
        columns: usize,
        a: ByteTile,
        b: &BytePanel,
        fours: usize,
    ) {
        let mut sums = [[_mm512_setzero_si512(); V]; R];
        let (mut from, mut lines) = (a.bytes.as_ptr(), b.lines.as_ptr().cast::<__m512i>());
        for _ in 0..fours {
            // SAFETY: the caller's promise: four bytes in every row, four lines, `fours` times.
            unsafe {
                let mut panel = [_mm512_setzero_si512(); V];
                for v in 0..V {
                    panel[v] = lines.add(v).read();
                }
                for r in 0..R {
                    let four = _mm512_set1_epi32(from.add(r * a.stride).cast::<i32>().read_unaligned());
                    for v in 0..V {
                        sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], four, panel[v]);
                    }
                }
                (from, lines) = (from.add(4), lines.add(LINES));
            }
        }
        let last = 0xFFFF >> (16 * V - columns);
        for v in 0..V {
            let mask = if v + 1 == V { last } else { 0xFFFF };
            // SAFETY: the caller's promise: a scale and a shift for each of 64 columns, `columns` floats in every row.
            unsafe {
                let scales = _mm512_loadu_ps(b.scales.as_ptr().add(16 * v));
                let shifts = _mm512_loadu_si512(b.shifts.as_ptr().add(16 * v).cast());
                for r in 0..R {
                    let sums = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums[r][v], shifts));
                    let scaled = _mm512_mul_ps(sums, _mm512_mul_ps(scales, _mm512_set1_ps(a.scales[r])));
                    _mm512_mask_storeu_ps(to.add(r * to_stride + 16 * v), mask, scaled);
                }
            }
        }
    }
}
