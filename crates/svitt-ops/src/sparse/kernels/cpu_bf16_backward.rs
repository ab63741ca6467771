//! The backward of the CPU kernel with bf16 operands: one task per sample and head. The five products of a tile of
//! queries are products of bf16 with f32 sums; between them, probabilities, their gradients and the table's are f32.
//!
//! Gradients of keys and values are summed transposed: so the probabilities, and their gradients, are a right operand,
//! which is packed by pairs of rows as they lie, and only queries and gradients, a tenth of them, have to be turned.

use super::cpu::{CpuKernel, KeyBlock, TILE, Tile};
use super::cpu_backward::summed_tables;
use super::cpu_bf16_operands::{Bf16Kernel, Blocks, Part};
use super::cpu_transposed::column_stride;
use crate::device::bf16::{
    EMPTY, LINES, Line, SIDE, Segment, Square, pack_rows, round, tile_rows, turn, turn_rows, wide,
};
use crate::device::host::filled;
use crate::device::panels::{COLUMNS, OutputPtr};
use crate::device::simd::{exp_dot, score_gradient, sum, vectorized};
use crate::sparse::AttentionPlan;
use burn::tensor::bf16;
use rayon::prelude::*;

/// The operands, the forward's log-sum-exps and the incoming gradient.
struct Backward<'a> {
    kernel: Bf16Kernel<'a>,
    lse: &'a [f32],
    grad: &'a [bf16],
    /// Floats between two rows of [`Sums::patches`].
    stride: usize,
}

/// A tile of queries of one sample and head, or the class query.
#[derive(Clone, Copy)]
struct Queries<'a> {
    head: [usize; 2],
    tile: Option<Tile>,
    first: usize,
    rows: usize,
    blocks: &'a Blocks,
}

/// Gradients of one head's keys, or of its values.
#[derive(Default)]
struct Sums {
    /// `[D, stride]`: a column per patch.
    patches: Vec<f32>,
    /// `[D]`.
    class: Vec<f32>,
}

/// A thread's memory.
#[derive(Default)]
struct Scratch {
    /// `[rows, columns]`.
    p: Vec<f32>,
    /// `[rows, columns]`: of dO · Vᵀ, then of the scores.
    ds: Vec<f32>,
    /// Of one row.
    bias: Vec<f32>,
    /// `ds`, rounded.
    weights: Vec<bf16>,
    /// `[rows, D]`.
    dq: Vec<f32>,
    /// `[D, rows]`: queries, or gradients of outputs, turned.
    turned: Vec<bf16>,
    /// A panel of `ds` or `p`.
    lines: Vec<Line>,
    keys: Sums,
    values: Sums,
}

/// See [`crate::sparse::SparseOps::sparse_attention_backward`]: of `grad` `[batch, S, C]` and `lse`
/// `[batch, heads, S]` to the gradients of `qkv` and of the table.
pub(super) fn backward(
    layout: &CpuKernel<bf16>,
    plan: &AttentionPlan,
    grad: &[bf16],
    lse: &[f32],
) -> (Vec<bf16>, Vec<f32>) {
    let kernel = Bf16Kernel::new(layout, plan, &[Part::Keys, Part::Values], Part::Keys);
    let stride = column_stride(layout.s);
    let backward = Backward { kernel, lse, grad, stride };
    let mut tables = Vec::new();
    // SAFETY: every head writes its queries, keys and values of all tokens, which are what `qkv` holds: `CpuKernel::new`
    // asserts that the plan is of this sequence.
    let d_qkv = unsafe {
        filled(layout.qkv.len(), |d_qkv| {
            let target = OutputPtr::new(d_qkv);
            let heads = (0..layout.batch * layout.heads).into_par_iter();
            let of_head = |scratch: &mut Scratch, task| {
                backward.head([task / layout.heads, task % layout.heads], scratch, target)
            };
            tables = heads.map_init(Scratch::default, of_head).collect();
        })
    };
    (d_qkv, summed_tables(&tables, [layout.table.rows(), layout.heads]))
}

impl Backward<'_> {
    /// Writes one head's gradients of queries, keys and values to `target` `[batch, S, 3C]` and returns its table's,
    /// `[R]`.
    fn head(&self, head: [usize; 2], scratch: &mut Scratch, target: OutputPtr<bf16>) -> Vec<f32> {
        let layout = self.kernel.layout;
        for sums in [&mut scratch.keys, &mut scratch.values] {
            sums.patches.resize(layout.d * self.stride, 0.0);
            sums.class.clear();
            sums.class.resize(layout.d, 0.0);
        }
        let mut table = vec![0f32; layout.table.rows()];
        // the class query first: it sees every patch, and so its products are what the others are added to
        for tile in std::iter::once(None).chain(layout.tiles.iter().copied().map(Some)) {
            let ([first, rows], blocks) = self.kernel.queries(head, tile);
            let queries = Queries { head, tile, first, rows, blocks };
            self.score_gradients(queries, scratch);
            self.query_gradients(queries, scratch, target);
            self.key_and_value_gradients(queries, scratch);
            self.table_gradient(queries, &scratch.ds, &mut table);
        }
        self.write_columns(head, Part::Keys, &scratch.keys, layout.scale(), target);
        self.write_columns(head, Part::Values, &scratch.values, 1.0, target);
        table
    }

    /// Gradients of one head's outputs, C apart.
    fn gradients(&self, [b, h]: [usize; 2], token: usize) -> &[bf16] {
        let layout = self.kernel.layout;
        &self.grad[(b * layout.s + token) * layout.width() + h * layout.d..]
    }

    /// Probabilities and the gradients of scores.
    fn score_gradients(&self, queries: Queries, scratch: &mut Scratch) {
        let Queries { head, tile, first, rows, blocks } = queries;
        let (kernel, layout, [b, h]) = (&self.kernel, self.kernel.layout, head);
        let Scratch { p, ds, bias, .. } = scratch;
        let left = (layout.part_slice(0, b, h, first), 3 * layout.width());
        kernel.products(head, (Part::Keys, blocks), left, rows, p);
        match tile {
            None => kernel.class_bias(h, p),
            Some(tile) => kernel.bias(head, tile, p, bias),
        }
        let grad = (self.gradients(head, first), layout.width());
        kernel.products(head, (Part::Values, blocks), grad, rows, ds);
        let lse = &self.lse[(b * layout.heads + h) * layout.s + first..];
        let rows = p.chunks_mut(blocks.columns).zip(ds.chunks_mut(blocks.columns)).zip(lse);
        for ((p, ds), lse) in rows {
            // Σ p·dp is Σ out·grad without the rounding of outputs to bf16, by which a row's gradients would not sum to 0
            let delta = exp_dot(p, *lse, ds);
            score_gradient(ds, p, delta);
        }
    }

    /// Those of the tile's queries, which no other tile adds to.
    fn query_gradients(&self, queries: Queries, scratch: &mut Scratch, target: OutputPtr<bf16>) {
        let Queries { head, first, rows, blocks, .. } = queries;
        let Scratch { ds, weights, dq, .. } = scratch;
        let (layout, [b, h]) = (self.kernel.layout, head);
        Bf16Kernel::resize_weights(blocks, rows, weights);
        for (i, row) in ds.chunks(blocks.columns).enumerate() {
            self.kernel.write_weights(row, blocks, weights, i);
        }
        self.kernel.weighted(head, blocks, weights, rows, dq);
        let (class_key, scale, width, d) = (layout.vector(1, b, h, 0), layout.scale(), layout.width(), layout.d);
        for (i, (dq, ds)) in dq.chunks(d).zip(ds.chunks(blocks.columns)).enumerate() {
            // SAFETY: heads have different columns, tiles different rows, all inside [batch, S, 3C].
            let to = unsafe { target.row((b * layout.s + first + i) * 3 * width + h * d, d) };
            let class = ds[0];
            vectorized(
                #[inline(always)]
                || {
                    let (to, dq, key) = (&mut to[..d], &dq[..d], &class_key[..d]);
                    for j in 0..d {
                        to[j].write(round((dq[j] + class * wide(key[j])) * scale));
                    }
                },
            );
        }
    }

    /// Adds those of the tile, keys before scaling.
    fn key_and_value_gradients(&self, queries: Queries, scratch: &mut Scratch) {
        let (layout, [b, h], first) = (self.kernel.layout, queries.head, queries.first);
        let Scratch { p, ds, turned, lines, keys, values, .. } = scratch;
        let query = (layout.part_slice(0, b, h, first), 3 * layout.width());
        let grad = (self.gradients(queries.head, first), layout.width());
        lines.resize(TILE / 2 * LINES, EMPTY);
        for (part, right, (left, stride), sums) in [(Part::Keys, ds, query, keys), (Part::Values, p, grad, values)] {
            turn_rows(turned, left, stride, [queries.rows, layout.d]);
            for e in &queries.blocks.entries {
                self.add_block(queries, (part, e), turned, right, lines, &mut sums.patches);
            }
            add_class(&mut sums.class, (left, stride), right, queries.blocks.columns);
        }
    }

    /// Adds `turned` `[D, rows]` times the columns of `right` that belong to one block to `sums` `[D, stride]`; those of
    /// the class query are written.
    fn add_block(
        &self,
        queries: Queries,
        (part, e): (Part, &KeyBlock),
        turned: &[bf16],
        right: &[f32],
        lines: &mut [Line],
        sums: &mut [f32],
    ) {
        let (d, [patch, count], rows) = (self.kernel.layout.d, part.of(e), queries.rows);
        let pairs = rows.div_ceil(2);
        let multiply = if queries.tile.is_none() { tile_rows::<false> } else { tile_rows::<true> };
        for column in (0..count).step_by(COLUMNS) {
            let width = COLUMNS.min(count - column);
            let lines = &mut lines[..pairs * LINES];
            pack_rows(lines, &right[e.from + column..], queries.blocks.columns, [rows, width]);
            let to = &mut sums[patch + column..];
            multiply(to, self.stride, [d, width], turned, 2 * pairs, lines, &[Segment { a: 0, b: 0, pairs }]);
        }
    }

    /// Adds the tile's part of the table's gradient.
    fn table_gradient(&self, queries: Queries, ds: &[f32], table: &mut [f32]) {
        let (layout, [b, h]) = (self.kernel.layout, queries.head);
        let rows = layout.table.rows();
        let Some(tile) = queries.tile else {
            table[rows - 1] += ds[0];
            table[rows - 3] += sum(&ds[1..]);
            return;
        };
        let (runs, of_head) = (layout.runs(b, h, tile.block), layout.table.head(h));
        for (ds, &coord) in ds.chunks_exact(runs.columns()).zip(layout.tile_coords(b, tile)) {
            runs.add_gradients(ds, of_head, coord, table);
        }
    }

    /// Writes `sums`, scaled, turned and rounded.
    fn write_columns(&self, [b, h]: [usize; 2], part: Part, sums: &Sums, scale: f32, target: OutputPtr<bf16>) {
        let layout = self.kernel.layout;
        let (d, width, patches) = (layout.d, layout.width(), layout.s - 1);
        let of_token = |token: usize, first: usize, length: usize| {
            let from = (b * layout.s + token) * 3 * width + part as usize * width + h * d + first;
            // SAFETY: heads and parts have different columns, all inside [batch, S, 3C].
            unsafe { target.row(from, length) }
        };
        for (to, x) in of_token(0, 0, d).iter_mut().zip(&sums.class) {
            to.write(round(x * scale));
        }
        let mut square = [[0f32; SIDE]; SIDE];
        for patch in (0..patches).step_by(SIDE) {
            for first in (0..d).step_by(SIDE) {
                let (count, length) = ((patches - patch).min(SIDE), (d - first).min(SIDE));
                for (i, row) in square[..length].iter_mut().enumerate() {
                    // there always are 16: the stride is a multiple of that
                    let from = sums.patches[(first + i) * self.stride + patch..].first_chunk();
                    *row = from.copied().unwrap_or_default();
                }
                turn(&mut square);
                for (i, short) in scaled(&square, scale)[..count].iter().enumerate() {
                    let to = of_token(1 + patch + i, first, length);
                    for j in 0..length {
                        to[j].write(short[j]);
                    }
                }
            }
        }
    }
}

/// The values of `square`, scaled and rounded.
fn scaled(square: &Square<f32>, scale: f32) -> [[bf16; SIDE]; SIDE] {
    let mut short = [[bf16::ZERO; SIDE]; SIDE];
    vectorized(
        #[inline(always)]
        || {
            for (to, from) in short.as_flattened_mut().iter_mut().zip(square.as_flattened()) {
                *to = round(from * scale);
            }
        },
    );
    short
}

/// Adds the rows `left`, weighted by the class column of `right` `[rows, columns]`.
fn add_class(sums: &mut [f32], (left, stride): (&[bf16], usize), right: &[f32], columns: usize) {
    vectorized(
        #[inline(always)]
        || {
            for i in 0..right.len() / columns {
                let (weight, row) = (right[i * columns], &left[i * stride..][..sums.len()]);
                for j in 0..sums.len() {
                    sums[j] += weight * wide(row[j]);
                }
            }
        },
    );
}
