//! Matrix products of bytes with exact sums, by AVX512-VNNI: four times the rate of f32.
//!
//! Rows of `a` are scaled to −127..127 by their largest value and stored as unsigned bytes, 128 higher; columns of `b`
//! are scaled by theirs and packed into panels of 64 columns, four rows side by side, as the instruction takes them.
//! What the 128 adds is subtracted from the sums, which are i32 and exact. Call [`crate::device::cpu_computes_int8`]
//! first.

mod pack;
mod rows;
#[cfg(test)]
mod tests;
mod tile;

pub(crate) use pack::PackedBytes;
pub(crate) use rows::ByteRows;

use super::bf16::Element;
use super::cpu_gemm::Epilogue;
use super::panels::{COLUMNS, by_panels};

/// `a · b` over all threads, `[rows, n]`, each stretch of a row finished by `finish` while it is in f32.
pub(crate) fn parallel_product<T: Element>(a: &ByteRows, b: &PackedBytes, finish: Option<Epilogue>) -> Vec<T> {
    let [k, n] = b.shape();
    assert!(a.k() == k, "the operands have {} and {k} values to sum over", a.k());
    let tile = |sums: &mut [f32], [row, height]: [usize; 2], [panel, columns]: [usize; 2]| {
        tile::tile(sums, COLUMNS, a.from(row, height), &b.panel(panel), columns);
    };
    by_panels([a.rows(), n], tile, finish)
}
