//! The operands that the bf16 kernels of the CPU multiply by: keys and values packed once per sample and head, block by
//! block, and the products of rows with them.

use super::cpu::{CpuKernel, KeyBlock, Tile};
use crate::device::bf16::{EMPTY, LINES, Line, Segment, lines_of, pack_columns, pack_rows, round, tile_rows};
use crate::device::host::filled;
use crate::device::panels::COLUMNS;
use crate::device::simd::vectorized;
use crate::sparse::AttentionPlan;
use burn::tensor::bf16;
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Keys or values: parts of `qkv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Keys = 1,
    Values = 2,
}

impl Part {
    /// The first patch of `e` and the number of its patches.
    pub(super) fn of(self, e: &KeyBlock) -> [usize; 2] {
        match self {
            Self::Keys => [e.key, e.keys],
            Self::Values => [e.value, e.values],
        }
    }
}

/// The key blocks of a run of queries, and where their packed operands lie.
pub(super) struct Blocks {
    pub entries: Vec<KeyBlock>,
    /// Width of the score rows, the class column included.
    pub columns: usize,
    /// Width of the weight rows: every block's columns, made even.
    weights: usize,
    /// Per panel of the head's columns: every block's packed rows.
    panels: Vec<Vec<Segment>>,
}

pub(super) struct Bf16Kernel<'a> {
    pub layout: &'a CpuKernel<'a, bf16>,
    /// G.
    block: usize,
    /// Those of the layout, then of the class query: all blocks in order.
    blocks: Vec<Blocks>,
    /// What rows of the head's width are multiplied by: packed by columns.
    by_columns: &'static [Part],
    /// What weights are multiplied by: packed by rows.
    by_rows: Part,
    /// Per sample and head: the blocks of every part of [`Self::by_columns`] with its class vector behind them, then
    /// those of [`Self::by_rows`].
    packed: Vec<Line>,
    per_head: usize,
}

impl<'a> Bf16Kernel<'a> {
    /// Rows can be multiplied by `by_columns` afterwards, weights by `by_rows`.
    pub(super) fn new(
        layout: &'a CpuKernel<'a, bf16>,
        plan: &AttentionPlan,
        by_columns: &'static [Part],
        by_rows: Part,
    ) -> Self {
        let graph = &plan.graph;
        let (block, count) = (graph.block(), graph.blocks());
        let (blocks, packed) = (Vec::new(), Vec::new());
        let mut kernel = Self { layout, block, blocks, by_columns, by_rows, packed, per_head: 0 };
        kernel.per_head = kernel.rows_at(count);
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

    /// Packs all `count` blocks of one sample and head into lines of zeros.
    fn pack(&self, [b, h]: [usize; 2], count: usize, lines: &mut [Line]) {
        let (layout, d, stride) = (self.layout, self.layout.d, 3 * self.layout.width());
        let vectors = |part: Part, token: usize| layout.part_slice(part as usize, b, h, token);
        for m in 0..count {
            let (token, size) = (1 + m * self.block, self.size(m));
            for &part in self.by_columns {
                let to = &mut lines[self.columns_at(part, m)..][..lines_of(d, size)];
                pack_columns(to, vectors(part, token), stride, [d, size]);
            }
            let to = &mut lines[self.rows_at(m)..][..lines_of(size, d)];
            pack_rows(to, vectors(self.by_rows, token), stride, [size, d]);
        }
        for &part in self.by_columns {
            let to = &mut lines[self.columns_at(part, count)..][..lines_of(d, 1)];
            pack_columns(to, vectors(part, 0), stride, [d, 1]);
        }
    }

    /// Tokens of block `m`.
    fn size(&self, m: usize) -> usize {
        self.block.min(self.layout.s - 1 - m * self.block)
    }

    /// First line of the columns of block `m`; the class vector follows the last block's.
    fn columns_at(&self, part: Part, m: usize) -> usize {
        let before = self.by_columns.iter().position(|own| *own == part).unwrap_or(0);
        before * self.lines_by_columns() + m * lines_of(self.layout.d, self.block)
    }

    /// Lines of one part that is packed by columns.
    fn lines_by_columns(&self) -> usize {
        self.layout.blocks * lines_of(self.layout.d, self.block) + lines_of(self.layout.d, 1)
    }

    /// First line of the rows of block `m`.
    fn rows_at(&self, m: usize) -> usize {
        self.by_columns.len() * self.lines_by_columns() + m * lines_of(self.block, self.layout.d)
    }

    fn blocks_of(&self, entries: Vec<KeyBlock>) -> Blocks {
        let columns = entries.last().map_or(1, |e| e.from + e.columns);
        let panel = |panel: usize| {
            let mut at = 0;
            let segment = |e: &KeyBlock| {
                let [first, count] = self.by_rows.of(e);
                let pairs = count.div_ceil(2);
                let from = at;
                at += 2 * pairs;
                Segment { a: from, b: self.rows_at(first / self.block) + panel * pairs * LINES, pairs }
            };
            entries.iter().map(segment).collect()
        };
        let panels = (0..self.layout.d.div_ceil(COLUMNS)).map(panel).collect();
        let weights = entries.iter().map(|e| self.by_rows.of(e)[1].next_multiple_of(2)).sum();
        Blocks { entries, columns, weights, panels }
    }

    /// First token, number of tokens and key blocks of a tile of sample `b` and head `h`, or of the class query.
    pub(super) fn queries(&self, [b, h]: [usize; 2], tile: Option<Tile>) -> ([usize; 2], &Blocks) {
        match tile {
            None => ([0, 1], &self.blocks[self.layout.entries.len()]),
            Some(tile) => ([1 + tile.first, tile.rows], &self.blocks[self.layout.row(b, h, tile.block)]),
        }
    }

    fn lines(&self, [b, h]: [usize; 2]) -> &[Line] {
        &self.packed[(b * self.layout.heads + h) * self.per_head..][..self.per_head]
    }

    /// Products of the first `rows` rows of `a`, `stride` apart, with the keys or values of `blocks`: `[rows, columns]`,
    /// class column first, 0 where a column has no vector.
    pub(super) fn products(
        &self,
        [b, h]: [usize; 2],
        (part, blocks): (Part, &Blocks),
        (a, stride): (&[bf16], usize),
        rows: usize,
        to: &mut Vec<f32>,
    ) {
        let (columns, pairs, lines) = (blocks.columns, self.layout.d / 2, self.lines([b, h]));
        to.resize(rows * columns, 0.0);
        let class = Segment { a: 0, b: self.columns_at(part, self.layout.blocks), pairs };
        tile_rows::<false>(to, columns, [rows, 1], a, stride, lines, &[class]);
        for e in &blocks.entries {
            let [first, count] = part.of(e);
            if count < e.columns {
                to.chunks_mut(columns).for_each(|row| row[e.from + count..e.from + e.columns].fill(0.0));
            }
            let at = self.columns_at(part, first / self.block);
            for panel in 0..count.div_ceil(COLUMNS) {
                let width = COLUMNS.min(count - panel * COLUMNS);
                let segment = Segment { a: 0, b: at + panel * pairs * LINES, pairs };
                let to = &mut to[e.from + panel * COLUMNS..];
                tile_rows::<false>(to, columns, [rows, width], a, stride, lines, &[segment]);
            }
        }
    }

    /// The columns of `row` that have a vector, rounded, every block's made even by a zero: row `index` of `weights`.
    pub(super) fn write_weights(&self, row: &[f32], blocks: &Blocks, weights: &mut [bf16], index: usize) {
        let mut to = &mut weights[index * blocks.weights..][..blocks.weights];
        for e in &blocks.entries {
            let [_, count] = self.by_rows.of(e);
            let (own, rest) = to.split_at_mut(count.next_multiple_of(2));
            to = rest;
            let (own, pad) = own.split_at_mut(count);
            pad.fill(bf16::ZERO);
            vectorized(
                #[inline(always)]
                || {
                    for (to, x) in own.iter_mut().zip(&row[e.from..e.from + count]) {
                        *to = round(*x);
                    }
                },
            );
        }
    }

    /// Room for the weights of `rows` rows.
    pub(super) fn resize_weights(blocks: &Blocks, rows: usize, weights: &mut Vec<bf16>) {
        weights.resize(rows * blocks.weights, bf16::ZERO);
    }

    /// `weights` times the rows of `blocks`: `[rows, D]`, without the class token's.
    pub(super) fn weighted(
        &self,
        [b, h]: [usize; 2],
        blocks: &Blocks,
        weights: &[bf16],
        rows: usize,
        to: &mut Vec<f32>,
    ) {
        let d = self.layout.d;
        to.resize(rows * d, 0.0);
        for (panel, segments) in blocks.panels.iter().enumerate() {
            let width = COLUMNS.min(d - panel * COLUMNS);
            let to = &mut to[panel * COLUMNS..];
            tile_rows::<false>(to, d, [rows, width], weights, blocks.weights, self.lines([b, h]), segments);
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
