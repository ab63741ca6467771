//! The register tile: up to 6 rows by 64 columns of sums.

use super::pack::Line;
use crate::device::panels::{COLUMNS, ROWS};
use burn::tensor::bf16;

/// A stretch of k: values `a..a + 2 · pairs` of every row of a, and the lines of one panel of b for them, from `b` on.
/// An odd stretch ends with a zero in both operands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) pairs: usize,
}

/// `to` `[rows, columns]`, rows `to_stride` apart, becomes the product of `a` `[rows, ..]`, rows `a_stride` apart, with
/// panels of b in `lines`: the sum over `segments`, with ADD in addition to what `to` holds. `columns` is at most 64.
///
/// # Panics
/// If an operand reaches beyond its slice, or the CPU lacks the instruction.
pub(crate) fn tile_rows<const ADD: bool>(
    to: &mut [f32],
    to_stride: usize,
    [rows, columns]: [usize; 2],
    a: &[bf16],
    a_stride: usize,
    lines: &[Line],
    segments: &[Segment],
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!((rows - 1) * to_stride + columns <= to.len() && columns <= COLUMNS, "the target is too short");
    for s in segments {
        assert!((rows - 1) * a_stride + s.a + 2 * s.pairs <= a.len(), "a is too short");
        assert!(s.b + s.pairs * super::pack::LINES <= lines.len(), "b is too short");
    }
    assert!(super::super::cpu_computes_bf16(), "this CPU has no products of bf16");
    #[cfg(target_arch = "x86_64")]
    for first in (0..rows).step_by(ROWS) {
        let (to, a) = (&mut to[first * to_stride..], &a[first * a_stride..]);
        // SAFETY: the instruction exists, and the assertions above bound every access.
        unsafe {
            x86::tile::<ADD>(
                to.as_mut_ptr(),
                to_stride,
                [(rows - first).min(ROWS), columns],
                a.as_ptr(),
                a_stride,
                lines.as_ptr(),
                segments,
            )
        };
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::pack::LINES;
    use super::{Line, Segment, bf16};
    use std::arch::x86_64::*;

    type Tile = unsafe fn(*mut f32, usize, usize, *const bf16, usize, *const Line, &[Segment]);

    /// By rows − 1 and registers of columns − 1.
    const TILES: [[Tile; 4]; 6] = crate::device::panels::tiles!(fixed, false);
    /// Of those that add to the target.
    const ADDING: [[Tile; 4]; 6] = crate::device::panels::tiles!(fixed, true);

    /// # Safety
    /// The CPU has AVX512-BF16; `rows` is 1 to 6, `columns` 1 to 64; both operands and the target hold their sizes.
    pub(super) unsafe fn tile<const ADD: bool>(
        to: *mut f32,
        to_stride: usize,
        [rows, columns]: [usize; 2],
        a: *const bf16,
        a_stride: usize,
        lines: *const Line,
        segments: &[Segment],
    ) {
        let tiles = if ADD { &ADDING } else { &TILES };
        // SAFETY: the caller's promise.
        unsafe { tiles[rows - 1][columns.div_ceil(16) - 1](to, to_stride, columns, a, a_stride, lines, segments) }
    }

    /// # Safety
    /// As [`tile`], for R rows and 16 · V columns, the last register of which may be partly used.
    #[target_feature(enable = "avx512f,avx512bf16")]
    #[allow(clippy::needless_range_loop, reason = "registers by number")]
    unsafe fn fixed<const R: usize, const V: usize, const ADD: bool>(
        to: *mut f32,
        to_stride: usize,
        columns: usize,
        a: *const bf16,
        a_stride: usize,
        lines: *const Line,
        segments: &[Segment],
    ) {
        let mut sums = [[_mm512_setzero_ps(); V]; R];
        for s in segments {
            // SAFETY: the caller's promise: 2 · pairs values from `s.a` on in every row, `pairs` times four lines from
            // `s.b` on.
            unsafe {
                let mut b = lines.add(s.b).cast::<__m512bh>();
                let mut from = a.add(s.a);
                for _ in 0..s.pairs {
                    let mut panel = [std::mem::transmute::<__m512, __m512bh>(_mm512_setzero_ps()); V];
                    for v in 0..V {
                        panel[v] = b.add(v).read();
                    }
                    for r in 0..R {
                        let pair = from.add(r * a_stride).cast::<i32>().read_unaligned();
                        let pair = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(pair));
                        for v in 0..V {
                            sums[r][v] = _mm512_dpbf16_ps(sums[r][v], pair, panel[v]);
                        }
                    }
                    (b, from) = (b.add(LINES), from.add(2));
                }
            }
        }
        // SAFETY: the caller's promise.
        unsafe { store::<R, V, ADD>(to, to_stride, columns, sums) }
    }

    /// # Safety
    /// As [`fixed`].
    #[inline]
    #[target_feature(enable = "avx512f")]
    #[allow(clippy::needless_range_loop, reason = "registers by number")]
    unsafe fn store<const R: usize, const V: usize, const ADD: bool>(
        to: *mut f32,
        to_stride: usize,
        columns: usize,
        sums: [[__m512; V]; R],
    ) {
        let last = 0xFFFF >> (16 * V - columns);
        for r in 0..R {
            for v in 0..V {
                let mask = if v + 1 == V { last } else { 0xFFFF };
                // SAFETY: the caller's promise: `columns` floats in every row.
                unsafe {
                    let to = to.add(r * to_stride + 16 * v);
                    let sum = if ADD { _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), sums[r][v]) } else { sums[r][v] };
                    _mm512_mask_storeu_ps(to, mask, sum);
                }
            }
        }
    }
}
