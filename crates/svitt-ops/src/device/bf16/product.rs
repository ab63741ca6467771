//! Products of bf16 over all threads.

use super::pack::Packed;
use super::round::{Element, round};
use super::tile::{Segment, tile_rows};
use crate::device::cpu_gemm::Epilogue;
use crate::device::panels::{COLUMNS, by_panels};
use burn::tensor::bf16;
use rayon::prelude::*;
use std::borrow::Cow;

/// The left operand: rows of an even number of values, so that they can be read in pairs.
pub(crate) struct PairRows<'a> {
    values: Cow<'a, [bf16]>,
    stride: usize,
    rows: usize,
    k: usize,
}

impl<'a> PairRows<'a> {
    /// `values` `[rows, k]`, row-major; copied only if k is odd.
    pub(crate) fn new(values: impl Into<Cow<'a, [bf16]>>, k: usize) -> Self {
        let values = values.into();
        let rows = values.len() / k.max(1);
        if k.is_multiple_of(2) {
            return Self { values, stride: k, rows, k };
        }
        let padded = values.chunks_exact(k).flat_map(|row| row.iter().copied().chain([bf16::ZERO])).collect();
        Self { values: Cow::Owned(padded), stride: k + 1, rows, k }
    }

    /// The transpose of `values` `[k, rows]` of f32, rounded.
    pub(crate) fn transposed(values: &[f32], k: usize) -> Self {
        let (rows, stride) = (values.len() / k.max(1), k.next_multiple_of(2));
        let mut turned = vec![bf16::ZERO; rows * stride];
        // 16 rows of the result read 64 bytes of a row of `values`: each cache line is read once
        turned.par_chunks_mut(16 * stride).enumerate().for_each(|(run, to)| {
            let width = to.len() / stride;
            for (at, from) in values.chunks_exact(rows).enumerate() {
                for (i, x) in from[16 * run..][..width].iter().enumerate() {
                    to[i * stride + at] = round(*x);
                }
            }
        });
        Self { values: Cow::Owned(turned), stride, rows, k }
    }
}

/// `a · b` over all threads, `[rows, n]`, each stretch of a row finished by `finish` while it is in f32.
pub(crate) fn parallel_product<T: Element>(a: &PairRows, b: &Packed, finish: Option<Epilogue>) -> Vec<T> {
    let [k, n] = b.shape();
    assert!(a.k == k, "the operands have {} and {k} values to sum over", a.k);
    let segment = [Segment { a: 0, b: 0, pairs: k.div_ceil(2) }];
    let tile = |sums: &mut [f32], [row, height]: [usize; 2], [panel, columns]: [usize; 2]| {
        let rows = &a.values[row * a.stride..];
        tile_rows::<false>(sums, COLUMNS, [height, columns], rows, a.stride, b.panel(panel), &segment);
    };
    by_panels([a.rows, n], tile, finish)
}
