//! The backward of narrow heads: per query one pass over its keys, 16 at a time, recomputes probabilities and adds to the
//! gradients of queries, keys and values, so that neither probabilities nor their gradients are read again.

#![allow(clippy::needless_range_loop, reason = "registers by number")]

use super::cpu::{KeyBlock, Tile};
use super::cpu_backward::{Backward, HeadGradients};
use super::cpu_narrow::{Columns, Narrow, Vector, add_weighted, product, scored};
use crate::device::simd::{LANES, MulAdd, exp, total, vectorized_fused};

/// One query's part: its numbers, the gradient of its output, its log-sum-exp and Σ out·grad.
#[derive(Clone, Copy)]
struct Row<const D: usize> {
    query: [f32; D],
    grad: [f32; D],
    lse: f32,
    delta: f32,
}

/// Gradients of one head's keys and values, `[D, stride]` each, and the scores' of one row.
struct Work {
    keys: Vec<f32>,
    values: Vec<f32>,
    bias: Vec<f32>,
    ds: Vec<f32>,
}

/// Adds the gradients of all patch queries of sample `b` and head `h` to `head`.
pub(super) fn patch_rows<const D: usize>(
    backward: &Backward,
    narrow: &Narrow<D>,
    [b, h]: [usize; 2],
    head: &mut HeadGradients,
) {
    let kernel = &backward.kernel;
    let stride = narrow.stride();
    let zeros = || vec![0f32; D * stride];
    let mut work = Work { keys: zeros(), values: zeros(), bias: Vec::new(), ds: Vec::new() };
    for &tile in &kernel.tiles {
        tile_rows(backward, narrow, [b, h], tile, &mut work, head);
    }
    for (of_tokens, columns) in [(&mut head.key, &work.keys), (&mut head.value, &work.values)] {
        for (token, to) in of_tokens.as_chunks_mut::<D>().0.iter_mut().enumerate() {
            (0..D).for_each(|d| to[d] += columns[d * stride + token]);
        }
    }
}

fn tile_rows<const D: usize>(
    backward: &Backward,
    narrow: &Narrow<D>,
    [b, h]: [usize; 2],
    tile: Tile,
    work: &mut Work,
    head: &mut HeadGradients,
) {
    let kernel = &backward.kernel;
    let (runs, table, seen) = (kernel.runs(b, h, tile.block), kernel.table.head(h), kernel.seen(b, h, tile.block));
    let [keys, values] = narrow.of_head(b, h);
    let [class_key, class_value] = [1, 2].map(|part| kernel.vector(part, b, h, 0));
    let scale = kernel.scale();
    work.bias.resize(runs.columns() + LANES, 0.0);
    work.ds.resize(runs.columns() + LANES, 0.0);
    for (i, &coord) in kernel.tile_coords(b, tile).iter().enumerate() {
        let token = 1 + tile.first + i;
        let row = backward.row(narrow, [b, h], token);
        runs.write(table, coord, &mut work.bias);
        let (mut dq, p) = vectorized_fused(
            #[inline(always)]
            |fma| {
                let dq = row_gradients(row, [keys, values], seen, work, fma);
                (dq, exp(work.bias[0] + product(row.query, class_key) - row.lse, fma))
            },
        );
        let ds = p * (product(row.grad, class_value) - row.delta);
        work.ds[0] = ds;
        for d in 0..D {
            dq[d] += ds * class_key[d];
            head.key[d] += ds * row.query[d];
            head.value[d] += p * row.grad[d];
            head.query[token * D + d] = scale * dq[d];
        }
        runs.add_gradients(&work.ds, table, coord, &mut head.table);
    }
}

impl Backward<'_> {
    fn row<const D: usize>(&self, narrow: &Narrow<D>, [b, h]: [usize; 2], token: usize) -> Row<D> {
        let grad = self.rows(self.grad, b, h, token);
        Row {
            query: narrow.query(b, h, token),
            grad: *grad.first_chunk().unwrap_or(&[0.0; D]),
            lse: self.lse[(b * self.kernel.heads + h) * self.kernel.s + token],
            delta: self.delta(b, h, token),
        }
    }
}

/// Adds a row's part to the gradients of keys and values, writes those of its scores and returns that of its query,
/// before scaling.
#[inline(always)]
fn row_gradients<const D: usize>(
    row: Row<D>,
    [keys, values]: [Columns<D>; 2],
    seen: &[KeyBlock],
    work: &mut Work,
    fma: MulAdd,
) -> [f32; D] {
    let stride = work.keys.len() / D;
    let mut dq = [[0f32; LANES]; D];
    for e in seen {
        let (first, count) = (1 + e.key, e.keys);
        let vectors = count.div_ceil(LANES);
        let columns = e.from..e.from + vectors * LANES;
        let (bias, ds) = (&work.bias[columns.clone()], &mut work.ds[columns]);
        let mut block = Block {
            keys: keys.vectors(first, count),
            values: values.vectors(first, count),
            key_gradients: column_vectors(&mut work.keys, stride, first, vectors),
            value_gradients: column_vectors(&mut work.values, stride, first, vectors),
            bias: bias.as_chunks().0,
            ds: ds.as_chunks_mut().0,
        };
        // The last vector apart: masks in the loop are stores that the next loads wait for.
        let full = count / LANES;
        for c in 0..full {
            let (p, ds) = block.probabilities(row, c, fma);
            block.add(row, c, p, ds, &mut dq, fma);
        }
        if full < vectors {
            let (mut p, mut ds) = block.probabilities(row, full, fma);
            for i in count - full * LANES..LANES {
                // These lanes are of keys that are not seen.
                (p[i], ds[i]) = (0.0, 0.0);
            }
            block.add(row, full, p, ds, &mut dq, fma);
        }
    }
    let mut sums = [0f32; D];
    for d in 0..D {
        sums[d] = total(dq[d]);
    }
    sums
}

/// The vectors from token `first` on of `columns` `[D, stride]`, per number of the head's.
#[inline(always)]
fn column_vectors<const D: usize>(
    columns: &mut [f32],
    stride: usize,
    first: usize,
    vectors: usize,
) -> [&mut [Vector]; D] {
    let mut each = columns.chunks_exact_mut(stride);
    std::array::from_fn(|_| match each.next() {
        Some(column) => column[first..][..vectors * LANES].as_chunks_mut().0,
        None => &mut [],
    })
}

/// What a row reads of one block of keys, and what it adds to, in vectors.
struct Block<'a, const D: usize> {
    keys: [&'a [Vector]; D],
    values: [&'a [Vector]; D],
    key_gradients: [&'a mut [Vector]; D],
    value_gradients: [&'a mut [Vector]; D],
    bias: &'a [Vector],
    ds: &'a mut [Vector],
}

impl<const D: usize> Block<'_, D> {
    /// The probabilities of vector `c` and the gradients of its scores.
    #[inline(always)]
    fn probabilities(&self, row: Row<D>, c: usize, fma: MulAdd) -> (Vector, Vector) {
        let scores = scored(self.bias[c], row.query, self.keys, c, fma);
        let dp = scored([0.0; LANES], row.grad, self.values, c, fma);
        let (mut p, mut ds) = ([0f32; LANES], [0f32; LANES]);
        for i in 0..LANES {
            p[i] = exp(scores[i] - row.lse, fma);
            ds[i] = p[i] * (dp[i] - row.delta);
        }
        (p, ds)
    }

    /// Adds what vector `c` contributes to all gradients.
    #[inline(always)]
    fn add(&mut self, row: Row<D>, c: usize, p: Vector, ds: Vector, dq: &mut [Vector; D], fma: MulAdd) {
        self.ds[c] = ds;
        add_weighted(dq, &ds, self.keys, c, fma);
        for d in 0..D {
            add(&mut self.key_gradients[d][c], &ds, row.query[d], fma);
            add(&mut self.value_gradients[d][c], &p, row.grad[d], fma);
        }
    }
}

/// `to += a · x`.
#[inline(always)]
fn add(to: &mut Vector, x: &Vector, a: f32, fma: MulAdd) {
    let mut sums = *to;
    for i in 0..LANES {
        sums[i] = fma.of(a, x[i], sums[i]);
    }
    *to = sums;
}
