//! Matrix products of bf16 operands with f32 sums, by AVX512-BF16: twice the rate of f32.
//!
//! `b` is packed into panels of 64 columns in which the values of two neighbouring rows stand side by side, as the
//! instruction takes them; `a` is read as it lies, two values of a row at a time. A register tile of 6 × 64 sums runs
//! over the whole of k. Call [`crate::device::cpu_computes_bf16`] first.

mod pack;
mod product;
mod round;
#[cfg(test)]
mod tests;
mod tile;
mod turn;

pub(crate) use pack::{EMPTY, LINES, Line, Packed, lines_of, pack_rows};
pub(crate) use product::{PairRows, parallel_product};
#[cfg(feature = "flex")]
pub(crate) use round::widen;
pub(crate) use round::{Element, narrow, round, wide};
pub(crate) use tile::{Segment, tile_rows};
pub(crate) use turn::{SIDE, Square, pack_columns, turn, turn_rows};
