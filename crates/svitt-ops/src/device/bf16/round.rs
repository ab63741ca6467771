//! f32 to bf16 and back, slices in parallel.

use crate::device::host::filled;
use crate::device::simd::vectorized;
use burn::tensor::bf16;
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Values a task converts: 128 KB of f32.
const CHUNK: usize = 1 << 15;

/// The nearest bf16, ties to even. Without branches, so that loops over it vectorise.
#[inline(always)]
pub(crate) fn round(x: f32) -> bf16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
    bf16::from_bits(if x.is_nan() { 0x7FC0 } else { rounded as u16 })
}

/// `x` as f32.
#[inline(always)]
pub(crate) fn wide(x: bf16) -> f32 {
    f32::from_bits(u32::from(x.to_bits()) << 16)
}

/// What operands and products are stored as.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    fn of(x: f32) -> Self;

    /// `values`, each as [`Element::of`] has it.
    fn all_of(values: Vec<f32>) -> Vec<Self>;

    fn short(self) -> bf16;

    fn wide(self) -> f32;
}

impl Element for f32 {
    #[inline(always)]
    fn of(x: f32) -> Self {
        x
    }

    fn all_of(values: Vec<f32>) -> Vec<f32> {
        values
    }

    #[inline(always)]
    fn short(self) -> bf16 {
        round(self)
    }

    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn of(x: f32) -> Self {
        round(x)
    }

    fn all_of(values: Vec<f32>) -> Vec<bf16> {
        narrow(&values)
    }

    #[inline(always)]
    fn short(self) -> bf16 {
        self
    }

    #[inline(always)]
    fn wide(self) -> f32 {
        wide(self)
    }
}

fn converted<A: Sync, B: Copy + Send>(x: &[A], convert: impl Fn(&A) -> B + Sync) -> Vec<B> {
    let fill = |y: &mut [MaybeUninit<B>]| {
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
            vectorized(
                #[inline(always)]
                || {
                    for (y, x) in y.iter_mut().zip(x) {
                        y.write(convert(x));
                    }
                },
            );
        });
    };
    // SAFETY: the chunks cover both slices, which are equally long.
    unsafe { filled(x.len(), fill) }
}

/// `x` rounded to bf16.
pub(crate) fn narrow(x: &[f32]) -> Vec<bf16> {
    converted(
        x,
        #[inline(always)]
        |x| round(*x),
    )
}

/// `x` as f32.
#[cfg(any(test, feature = "flex"))]
pub(crate) fn widen(x: &[bf16]) -> Vec<f32> {
    converted(
        x,
        #[inline(always)]
        |x| wide(*x),
    )
}
