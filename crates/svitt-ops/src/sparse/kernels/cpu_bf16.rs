//! The CPU kernel's forward with bf16 operands: scores and outputs are products of bf16 with f32 sums, the softmax
//! between them is f32. Keys and values are packed once per sample and head, block by block.

use super::cpu::{CpuKernel, KeyBlock, TILE, Tile, run};
use crate::device::bf16::{EMPTY, LINES, Line, Segment, lines_of, pack_columns, pack_rows, round, tile_rows, wide};
use crate::device::cpu_computes_bf16;
use crate::device::host::filled;
use crate::device::panels::COLUMNS;
use crate::device::simd::{LANES, exp_sum, max, vectorized, vectorized_fused};
use crate::sparse::AttentionPlan;
use burn::tensor::{DType, bf16};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Whether this kernel computes calls of `dtype`: heads of an odd width would read into their neighbours.
pub(super) fn takes(dtype: DType, head_dim: usize) -> bool {
    dtype == DType::BF16 && head_dim.is_multiple_of(2) && cpu_computes_bf16()
}

/// The key blocks of a run of queries, and where their packed operands lie.
struct Blocks {
    entries: Vec<KeyBlock>,
    /// Width of the score rows, the class column included.
    columns: usize,
    /// Width of the weight rows: every block's columns, made even.
    weights: usize,
    /// Per panel of the head's columns: the packed values of every block.
    values: Vec<Vec<Segment>>,
}

/// A thread's memory.
#[derive(Default)]
struct Scratch {
    scores: Vec<f32>,
    bias: Vec<f32>,
    weights: Vec<bf16>,
    sums: Vec<f32>,
}

struct Bf16Kernel<'a> {
    layout: &'a CpuKernel<'a, bf16>,
    /// G.
    block: usize,
    /// Those of the layout, then of the class query: all blocks in order.
    blocks: Vec<Blocks>,
    /// Per sample and head: keys of every block, the class key, values of every block.
    packed: Vec<Line>,
    per_head: usize,
}

/// The output `[batch, S, C]` and the log-sum-exps `[batch, heads, S]`.
pub(super) fn forward(layout: &CpuKernel<bf16>, plan: &AttentionPlan) -> (Vec<bf16>, Vec<f32>) {
    let kernel = Bf16Kernel::new(layout, plan);
    run(layout, |task, h, scratch: &mut Scratch, out, lse| {
        let (first, rows, blocks) = match task.tile {
            None => (0, 1, layout.entries.len()),
            Some(tile) => (1 + tile.first, tile.rows, layout.row(task.b, h, tile.block)),
        };
        let blocks = &kernel.blocks[blocks];
        kernel.scores([task.b, h], [first, rows], blocks, &mut scratch.scores);
        match task.tile {
            None => kernel.class_bias(h, &mut scratch.scores),
            Some(tile) => kernel.bias([task.b, h], tile, &mut scratch.scores, &mut scratch.bias),
        }
        kernel.outputs([task.b, h], blocks, scratch, out, lse);
    })
}

impl<'a> Bf16Kernel<'a> {
    fn new(layout: &'a CpuKernel<'a, bf16>, plan: &AttentionPlan) -> Self {
        let graph = &plan.graph;
        let (block, count) = (graph.block(), graph.blocks());
        let mut kernel = Self { layout, block, blocks: Vec::new(), packed: Vec::new(), per_head: 0 };
        kernel.per_head = kernel.value_at(count);
        let all = (0..count).map(|m| {
            let (key, keys) = (m * block, kernel.size(m));
            KeyBlock { from: 1 + key, columns: keys, key, keys, value: key, values: keys }
        });
        let entries = layout.entries.iter().cloned().chain([all.collect()]);
        kernel.blocks = entries.map(|entries| kernel.blocks_of(entries)).collect();
        // SAFETY: every task writes all lines of its head.
        let packed = unsafe {
            filled(layout.batch * layout.heads * kernel.per_head, |lines| {
                lines.par_chunks_mut(kernel.per_head).enumerate().for_each(|(task, lines)| {
                    let lines = emptied(lines);
                    kernel.pack([task / layout.heads, task % layout.heads], count, lines);
                });
            })
        };
        kernel.packed = packed;
        kernel
    }

    /// The keys of all `count` blocks, the class key and the values of all blocks of one sample and head, into lines of
    /// zeros.
    fn pack(&self, [b, h]: [usize; 2], count: usize, lines: &mut [Line]) {
        let (layout, d, stride) = (self.layout, self.layout.d, 3 * self.layout.width());
        for m in 0..count {
            let (token, size) = (1 + m * self.block, self.size(m));
            let keys = &mut lines[self.key_at(m)..][..lines_of(d, size)];
            pack_columns(keys, layout.part_slice(1, b, h, token), stride, [d, size]);
            let values = &mut lines[self.value_at(m)..][..lines_of(size, d)];
            pack_rows(values, layout.part_slice(2, b, h, token), stride, [size, d]);
        }
        let class = &mut lines[self.key_at(count)..][..lines_of(d, 1)];
        pack_columns(class, layout.part_slice(1, b, h, 0), stride, [d, 1]);
    }

    /// Tokens of block `m`.
    fn size(&self, m: usize) -> usize {
        self.block.min(self.layout.s - 1 - m * self.block)
    }

    /// First line of the keys of block `m`; the class key follows the last block's.
    fn key_at(&self, m: usize) -> usize {
        m * lines_of(self.layout.d, self.block)
    }

    /// First line of the values of block `m`.
    fn value_at(&self, m: usize) -> usize {
        let (d, count) = (self.layout.d, (self.layout.s - 1).div_ceil(self.block));
        self.key_at(count) + lines_of(d, 1) + m * lines_of(self.block, d)
    }

    fn blocks_of(&self, entries: Vec<KeyBlock>) -> Blocks {
        let columns = entries.last().map_or(1, |e| e.from + e.columns);
        let panel = |panel: usize| {
            let mut at = 0;
            let segment = |e: &KeyBlock| {
                let pairs = e.values.div_ceil(2);
                let from = at;
                at += 2 * pairs;
                Segment { a: from, b: self.value_at(e.value / self.block) + panel * pairs * LINES, pairs }
            };
            entries.iter().map(segment).collect()
        };
        let values = (0..self.layout.d.div_ceil(COLUMNS)).map(panel).collect();
        let weights = entries.iter().map(|e| e.values.next_multiple_of(2)).sum();
        Blocks { entries, columns, weights, values }
    }

    fn lines(&self, [b, h]: [usize; 2]) -> &[Line] {
        &self.packed[(b * self.layout.heads + h) * self.per_head..][..self.per_head]
    }

    /// Products of `rows` queries from token `first` on with their keys, `[rows, columns]`, class column first.
    fn scores(&self, [b, h]: [usize; 2], [first, rows]: [usize; 2], blocks: &Blocks, to: &mut Vec<f32>) {
        let (layout, columns) = (self.layout, blocks.columns);
        let (pairs, stride, lines) = (layout.d / 2, 3 * layout.width(), self.lines([b, h]));
        let queries = layout.part_slice(0, b, h, first);
        to.resize(rows * columns, 0.0);
        let class = Segment { a: 0, b: self.key_at(layout.blocks), pairs };
        tile_rows(to, columns, [rows, 1], queries, stride, lines, &[class]);
        for e in &blocks.entries {
            for row in to.chunks_mut(columns) {
                row[e.from + e.keys..e.from + e.columns].fill(0.0);
            }
            let keys = self.key_at(e.key / self.block);
            for panel in 0..e.keys.div_ceil(COLUMNS) {
                let width = COLUMNS.min(e.keys - panel * COLUMNS);
                let segment = Segment { a: 0, b: keys + panel * pairs * LINES, pairs };
                let to = &mut to[e.from + panel * COLUMNS..];
                tile_rows(to, columns, [rows, width], queries, stride, lines, &[segment]);
            }
        }
    }

    /// Scales the scores of a tile's queries and adds their bias, which is written to `biased` row by row.
    fn bias(&self, [b, h]: [usize; 2], tile: Tile, scores: &mut [f32], biased: &mut Vec<f32>) {
        let (layout, scale) = (self.layout, self.layout.scale());
        let (runs, table) = (layout.runs(b, h, tile.block), layout.table.head(h));
        biased.resize(runs.columns() + LANES, 0.0);
        for (row, &coord) in scores.chunks_exact_mut(runs.columns()).zip(layout.tile_coords(b, tile)) {
            runs.write(table, coord, biased);
            vectorized_fused(
                #[inline(always)]
                |fma| {
                    for (score, bias) in row.iter_mut().zip(&*biased) {
                        *score = fma.of(*score, scale, *bias);
                    }
                },
            );
        }
    }

    /// Scales the class query's scores and adds their bias.
    fn class_bias(&self, h: usize, scores: &mut [f32]) {
        let ([to_patches, _, to_itself], scale) = (self.layout.table.head(h).of_class(), self.layout.scale());
        scores[0] = scores[0] * scale + to_itself;
        scores[1..].iter_mut().for_each(|score| *score = *score * scale + to_patches);
    }

    /// From logits to log-sum-exps and outputs, rows C apart.
    fn outputs(&self, [b, h]: [usize; 2], blocks: &Blocks, scratch: &mut Scratch, out: &mut [bf16], lse: &mut [f32]) {
        let (layout, d, rows) = (self.layout, self.layout.d, lse.len());
        let Scratch { scores, weights, sums, .. } = scratch;
        weights.resize(rows * blocks.weights, bf16::ZERO);
        let (mut inverse, mut class) = ([0f32; TILE], [0f32; TILE]);
        for (i, row) in scores.chunks_mut(blocks.columns).enumerate() {
            let top = max(row);
            let sum = exp_sum(row, top);
            (lse[i], inverse[i], class[i]) = (top + sum.ln(), 1.0 / sum, row[0]);
            write_weights(row, blocks, &mut weights[i * blocks.weights..][..blocks.weights]);
        }
        sums.resize(rows * d, 0.0);
        for (panel, segments) in blocks.values.iter().enumerate() {
            let width = COLUMNS.min(d - panel * COLUMNS);
            let to = &mut sums[panel * COLUMNS..];
            tile_rows(to, d, [rows, width], weights, blocks.weights, self.lines([b, h]), segments);
        }
        let class_value = layout.vector(2, b, h, 0);
        for (i, sums) in sums.chunks_exact(d).take(rows).enumerate() {
            let (out, class, inverse) = (&mut out[i * layout.width()..][..d], class[i], inverse[i]);
            vectorized(
                #[inline(always)]
                || {
                    for ((out, sum), value) in out.iter_mut().zip(sums).zip(class_value) {
                        *out = round((sum + class * wide(*value)) * inverse);
                    }
                },
            );
        }
    }
}

/// `lines` as zeros; by the thread that packs them, since one thread alone would take 1 % of a forward for it.
fn emptied(lines: &mut [MaybeUninit<Line>]) -> &mut [Line] {
    for line in lines.iter_mut() {
        line.write(EMPTY);
    }
    // SAFETY: all of them were written.
    unsafe { &mut *(std::ptr::from_mut(lines) as *mut [Line]) }
}

/// The exponentials of the columns that have values, rounded, every block's made even by a zero.
fn write_weights(row: &[f32], blocks: &Blocks, mut to: &mut [bf16]) {
    for e in &blocks.entries {
        let (own, rest) = to.split_at_mut(e.values.next_multiple_of(2));
        to = rest;
        let (own, pad) = own.split_at_mut(e.values);
        pad.fill(bf16::ZERO);
        vectorized(
            #[inline(always)]
            || {
                for (to, x) in own.iter_mut().zip(&row[e.from..e.from + e.values]) {
                    *to = round(*x);
                }
            },
        );
    }
}
