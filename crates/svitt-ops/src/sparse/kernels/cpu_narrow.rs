//! The CPU kernel of narrow heads. A product over 4 to 16 numbers is too short for a matrix product's registers: it
//! spends its time on writing scores. Here 16 keys are scored at once by vectors of the transposed keys, one query after
//! the other, so that a query's scores stay in the nearest cache.
//!
//! Loops count and arrays are filled by `for`: the standard library's iterators over arrays are not inlined into code
//! for wider vectors.

#![allow(clippy::needless_range_loop, reason = "registers by number")]

use super::cpu::{CpuKernel, KeyBlock, Tile, run};
use super::cpu_transposed::Transposed;
use crate::device::simd::{LANES, MulAdd, exp_sum, max, total, vectorized_fused};

/// A kernel whose heads are D wide.
pub(super) struct Narrow<'a, const D: usize> {
    kernel: &'a CpuKernel<'a>,
    /// Keys and values.
    columns: Transposed,
}

/// One head's keys or values, `[D, stride]`.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a, const D: usize> {
    values: &'a [f32],
    stride: usize,
}

impl<'a, const D: usize> Columns<'a, D> {
    /// The vectors from token `first` on that hold `keys` tokens, per number of the head's; the last may hold tokens
    /// behind them.
    #[inline(always)]
    pub(super) fn vectors(self, first: usize, keys: usize) -> [&'a [Vector]; D] {
        let length = keys.next_multiple_of(LANES);
        let mut all: [&[Vector]; D] = [&[]; D];
        for d in 0..D {
            all[d] = self.values[d * self.stride + first..][..length].as_chunks().0;
        }
        all
    }
}

/// Numbers of [`LANES`] keys.
pub(super) type Vector = [f32; LANES];

/// Whether `kernel`'s graph can be computed here: no padded keys, no keys beside other blocks' values.
pub(super) fn takes(kernel: &CpuKernel) -> bool {
    let plain = |e: &KeyBlock| e.key == e.value && e.keys == e.columns && e.values == e.columns;
    kernel.entries.iter().flatten().all(plain)
}

impl<'a, const D: usize> Narrow<'a, D> {
    pub(super) fn new(kernel: &'a CpuKernel<'a>) -> Self {
        Self { kernel, columns: Transposed::new(kernel, &[1, 2]) }
    }

    /// Floats between two numbers of a token in transposed keys and values.
    pub(super) fn stride(&self) -> usize {
        self.columns.stride()
    }

    /// The keys and values of sample `b` and head `h`.
    pub(super) fn of_head(&self, b: usize, h: usize) -> [Columns<'_, D>; 2] {
        [0, 1].map(|part| Columns { values: self.columns.of_head(b, h, part), stride: self.stride() })
    }

    /// The output `[batch, S, C]` and the log-sum-exps `[batch, heads, S]`.
    pub(super) fn forward(&self) -> (Vec<f32>, Vec<f32>) {
        run(self.kernel, |task, h, scratch: &mut Vec<f32>, out, lse| match task.tile {
            None => lse[0] = self.kernel.class_row(task.b, h, scratch, out),
            Some(tile) => self.tile_rows(task.b, h, tile, scratch, out, lse),
        })
    }

    fn tile_rows(&self, b: usize, h: usize, tile: Tile, row: &mut Vec<f32>, out: &mut [f32], lse: &mut [f32]) {
        let kernel = self.kernel;
        let (runs, table, seen) = (kernel.runs(b, h, tile.block), kernel.table.head(h), kernel.seen(b, h, tile.block));
        let ([keys, values], class_value) = (self.of_head(b, h), kernel.vector(2, b, h, 0));
        let columns = runs.columns();
        row.resize(columns + LANES, 0.0);
        for (i, &coord) in kernel.tile_coords(b, tile).iter().enumerate() {
            runs.write(table, coord, row);
            let query = self.query(b, h, 1 + tile.first + i);
            row[0] += product(query, kernel.vector(1, b, h, 0));
            vectorized_fused(
                #[inline(always)]
                |fma| add_scores(row, query, keys, seen, fma),
            );
            let top = max(&row[..columns]);
            let sum = exp_sum(&mut row[..columns], top);
            lse[i] = top + sum.ln();
            let sums = vectorized_fused(
                #[inline(always)]
                |fma| weighted(row, values, seen, fma),
            );
            let out = &mut out[i * kernel.width()..][..D];
            for d in 0..D {
                out[d] = (sums[d] + row[0] * class_value[d]) / sum;
            }
        }
    }

    /// The query of `token`, scaled.
    pub(super) fn query(&self, b: usize, h: usize, token: usize) -> [f32; D] {
        let (vector, scale) = (self.kernel.vector(0, b, h, token), self.kernel.scale());
        let mut query = [0f32; D];
        for d in 0..D {
            query[d] = vector[d] * scale;
        }
        query
    }
}

/// Σ x·y.
#[inline(always)]
pub(super) fn product<const D: usize>(x: [f32; D], y: &[f32]) -> f32 {
    let mut sum = 0.0;
    for d in 0..D {
        sum += x[d] * y[d];
    }
    sum
}

/// Adds the products of `query` with the keys of `seen` to `row`. One plain loop per block: a loop over vectors of
/// [`LANES`] is vectorised again by the compiler where heads have 4 numbers, with gathers that take three times as long.
#[inline(always)]
fn add_scores<const D: usize>(row: &mut [f32], query: [f32; D], keys: Columns<D>, seen: &[KeyBlock], fma: MulAdd) {
    for e in seen {
        let (count, to) = (e.columns, &mut row[e.from..e.from + e.columns]);
        let mut columns: [&[f32]; D] = [&[]; D];
        for d in 0..D {
            columns[d] = &keys.values[d * keys.stride + 1 + e.key..][..count];
        }
        for i in 0..count {
            let mut score = to[i];
            for d in 0..D {
                score = fma.of(query[d], columns[d][i], score);
            }
            to[i] = score;
        }
    }
}

/// `scores` and the products of `query` with vector `c` of the keys.
#[inline(always)]
pub(super) fn scored<const D: usize>(
    mut scores: Vector,
    query: [f32; D],
    keys: [&[Vector]; D],
    c: usize,
    fma: MulAdd,
) -> Vector {
    for d in 0..D {
        let key = &keys[d][c];
        for i in 0..LANES {
            scores[i] = fma.of(query[d], key[i], scores[i]);
        }
    }
    scores
}

/// The sum of the values of `seen`, weighted by `row`.
#[inline(always)]
fn weighted<const D: usize>(row: &[f32], values: Columns<D>, seen: &[KeyBlock], fma: MulAdd) -> [f32; D] {
    let mut sums = [[0f32; LANES]; D];
    for e in seen {
        let (values, weights) = (values.vectors(1 + e.value, e.values), &row[e.from..e.from + e.columns]);
        let (full, rest) = weights.as_chunks::<LANES>();
        for c in 0..full.len() {
            add_weighted(&mut sums, &full[c], values, c, fma);
        }
        if !rest.is_empty() {
            let mut last = [0f32; LANES];
            last[..rest.len()].copy_from_slice(rest);
            add_weighted(&mut sums, &last, values, full.len(), fma);
        }
    }
    let mut all = [0f32; D];
    for d in 0..D {
        all[d] = total(sums[d]);
    }
    all
}

/// Adds vector `c` of `values` times `weights`, lane by lane.
#[inline(always)]
pub(super) fn add_weighted<const D: usize>(
    sums: &mut [Vector; D],
    weights: &Vector,
    values: [&[Vector]; D],
    c: usize,
    fma: MulAdd,
) {
    for d in 0..D {
        let value = &values[d][c];
        for i in 0..LANES {
            sums[d][i] = fma.of(weights[i], value[i], sums[d][i]);
        }
    }
}
