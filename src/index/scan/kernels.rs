//! Products of a query with the rows of a table: loops over bytes as they lie in the file, compiled for the widest
//! vectors of the machine.
//!
//! A scan is bound by memory (1 GB a query for a million vectors of 256 numbers), so that what counts is that no byte is
//! copied or converted before it is used.

use half::f16;
use svitt_ops::device::{total, vectorized};

/// Sums that run side by side: two AVX-512 registers, four AVX2 registers.
const LANES: usize = 32;

/// The largest whole number of a row.
pub(in super::super) const MOST_INT8: f32 = 127.0;

/// The largest whole number that an 8-bit row's query is rounded to: one rounding error of a query adds to every score,
/// and twelve bits make it a sixteenth of the rows' own.
const MOST_QUERY: i32 = 2047;

/// A query as rows of 8-bit numbers are multiplied with.
pub(super) struct RoundedQuery {
    values: Vec<i16>,
    /// What 1 is worth.
    step: f32,
}

impl RoundedQuery {
    /// `query`, rounded so finely that no sum of products overflows.
    pub fn new(query: &[f32]) -> Self {
        let most = (i32::MAX / 127 / query.len().max(1) as i32).clamp(1, MOST_QUERY) as f32;
        let largest = query.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        let step = largest.max(f32::MIN_POSITIVE) / most;
        Self { values: query.iter().map(|x| (x / step).round() as i16).collect(), step }
    }
}

/// `scores[n]` = row n of `rows` (4-byte numbers) · `query`.
pub(super) fn products_f32(rows: &[u8], query: &[f32], scores: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (row, score) in rows.chunks_exact(4 * query.len()).zip(scores.iter_mut()) {
                let (row, _) = row.as_chunks::<4>();
                let ((row, rest), (factors, more)) = (row.as_chunks::<LANES>(), query.as_chunks::<LANES>());
                let mut lanes = [0f32; LANES];
                for (row, factors) in row.iter().zip(factors) {
                    for i in 0..LANES {
                        lanes[i] += f32::from_le_bytes(row[i]) * factors[i];
                    }
                }
                *score = total(lanes);
                for (x, y) in rest.iter().zip(more) {
                    *score += f32::from_le_bytes(*x) * y;
                }
            }
        },
    );
}

/// `scores[n]` = row n of `rows` (half-precision numbers) · `query`, which [`half_query`] has made.
pub(super) fn products_f16(rows: &[u8], query: &[f32], scores: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (row, score) in rows.chunks_exact(2 * query.len()).zip(scores.iter_mut()) {
                let (row, _) = row.as_chunks::<2>();
                let ((row, rest), (factors, more)) = (row.as_chunks::<LANES>(), query.as_chunks::<LANES>());
                let mut lanes = [0f32; LANES];
                for (row, factors) in row.iter().zip(factors) {
                    for i in 0..LANES {
                        lanes[i] += widened(row[i]) * factors[i];
                    }
                }
                *score = total(lanes);
                for (x, y) in rest.iter().zip(more) {
                    *score += widened(*x) * y;
                }
            }
        },
    );
}

/// `scores[n]` = row n of `rows` (8-bit numbers) · `query` · `scales[n]`.
pub(super) fn products_int8(rows: &[u8], scales: &[u8], query: &RoundedQuery, scores: &mut [f32]) {
    let (values, step) = (&query.values[..], query.step);
    let (scales, _) = scales.as_chunks::<4>();
    vectorized(
        #[inline(always)]
        || {
            for ((row, scale), score) in rows.chunks_exact(values.len()).zip(scales).zip(scores.iter_mut()) {
                let mut sum = 0i32;
                for i in 0..values.len() {
                    sum += i32::from(row[i] as i8) * i32::from(values[i]);
                }
                *score = sum as f32 * (step * f32::from_le_bytes(*scale));
            }
        },
    );
}

/// What a half-precision number is multiplied with after [`widened`].
const HALF_SCALE: f32 = f32::from_bits((127 + 112) << 23);

/// A half-precision number divided by [`HALF_SCALE`]: its bits in the places of a single-precision number's, four
/// operations on a vector of any width. It is neither infinite nor NaN nor, as [`narrowed`] makes them, subnormal.
#[inline(always)]
fn widened(bytes: [u8; 2]) -> f32 {
    // The sign fills everything above the exponent; three of these places belong to the wider exponent.
    f32::from_bits(((i32::from(i16::from_le_bytes(bytes)) << 13) as u32) & 0x8fff_ffff)
}

/// The sum of `bytes` as words: what reading them costs at least.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    // Outside the closure: returned by it, the sum is compiled for four lanes and takes six times as long.
    let mut lanes = [0u64; LANES];
    vectorized(
        #[inline(always)]
        || {
            let (words, _) = bytes.as_chunks::<8>();
            for words in words.as_chunks::<LANES>().0 {
                for i in 0..LANES {
                    lanes[i] = lanes[i].wrapping_add(u64::from_le_bytes(words[i]));
                }
            }
        },
    );
    lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
}

/// `query` for [`products_f16`].
pub(super) fn half_query(query: &[f32]) -> Vec<f32> {
    query.iter().map(|x| x * HALF_SCALE).collect()
}

/// `x` in half precision; 0 where it would be subnormal, below 6.1e-5.
pub(in super::super) fn narrowed(x: f32) -> f16 {
    let narrow = f16::from_f32(x);
    if narrow.is_normal() { narrow } else { f16::ZERO }
}
