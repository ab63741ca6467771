//! The CPU kernel: one task per sample and tile of queries. A tile's scores live in a scratch buffer of rows and are
//! discarded when its output is written. The bias is read from the table, never materialised for all pairs.

use super::cpu_bias::{BiasRuns, BiasTable};
use super::cpu_narrow::{self, Narrow};
use super::cpu_transposed::Transposed;
use crate::device::cpu_gemm::{MatrixView, product};
use crate::device::host::{HostBackend, Results, integers};
use crate::device::simd::{LANES, axpy, exp_sum, max};
use crate::sparse::bias::is_uniform;
use crate::sparse::class;
use crate::sparse::op::{self, SavedAttention};
use crate::sparse::{AttentionPlan, BlockGraph, SparseOps};
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, TensorMetadata};
use rayon::prelude::*;

/// Queries per tile: with 3137 keys the scores of a tile take 785 KB and stay in a core's cache.
pub(super) const TILE: usize = 64;

/// One key block as a query block sees it: columns `from..from + columns` of the score rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyBlock {
    pub from: usize,
    pub columns: usize,
    /// First token of the scored block and how many of its tokens exist.
    pub key: usize,
    pub keys: usize,
    /// First token of the block whose bias and values count, and how many of its tokens exist.
    pub value: usize,
    pub values: usize,
}

/// A run of query tokens of one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    pub block: usize,
    pub first: usize,
    pub rows: usize,
}

/// What all tasks share.
pub(super) struct CpuKernel<'a, T = f32> {
    pub qkv: &'a [T],
    pub table: BiasTable,
    pub coords: &'a [i32],
    pub batch: usize,
    pub s: usize,
    pub heads: usize,
    pub d: usize,
    /// M.
    pub blocks: usize,
    /// Per query block; where blocks are chosen, per sample, head and query block.
    pub entries: Vec<Vec<KeyBlock>>,
    /// Of every sample's [`Self::entries`]; of one sample's where all have the same coordinates.
    runs: Vec<BiasRuns>,
    pub tiles: Vec<Tile>,
    shared_coords: bool,
}

impl<'a, T: Sync> CpuKernel<'a, T> {
    /// `chosen` `[batch, heads, M, chosen]`: the blocks beside those that the graph lists; empty where none are.
    pub(super) fn new(
        qkv: &'a [T],
        shape: [usize; 3],
        table: &[f32],
        coords: &'a [i32],
        chosen: &[i32],
        plan: &AttentionPlan,
    ) -> Self {
        let [batch, s, width] = shape;
        let heads = plan.heads;
        let fits = plan.graph.tokens() + 1 == s && width.is_multiple_of(3 * heads) && qkv.len() == batch * s * width;
        assert!(fits, "the plan is of {} patches and {heads} heads, qkv is {shape:?}", plan.graph.tokens());
        let blocks = plan.graph.blocks();
        let entries = match plan.graph.chosen() {
            0 => (0..blocks).map(|m| entries(&plan.graph, m, &[])).collect(),
            each => chosen.chunks(each).enumerate().map(|(row, own)| entries(&plan.graph, row % blocks, own)).collect(),
        };
        let mut kernel = Self {
            qkv,
            table: BiasTable::new(table, heads, plan.centre as i32),
            coords,
            batch,
            s,
            heads,
            d: width / 3 / heads,
            blocks,
            entries,
            runs: Vec::new(),
            tiles: tiles(&plan.graph),
            shared_coords: coords.len() < batch * (s - 1) || batch == 1,
        };
        kernel.runs = kernel.all_runs();
        kernel
    }

    fn all_runs(&self) -> Vec<BiasRuns> {
        let (rows, uniform) = (self.entries.len(), is_uniform(self.table.rows()));
        let (samples, per_sample) = match self.lists_are_shared() {
            true => (if self.shared_coords { 1 } else { self.batch }, rows),
            false => (self.batch, rows / self.batch.max(1)),
        };
        let of =
            |index: usize| BiasRuns::new(&self.entries[index % rows], self.sample_coords(index / per_sample), uniform);
        (0..samples * per_sample).into_par_iter().map(of).collect()
    }

    /// C.
    pub(super) fn width(&self) -> usize {
        self.heads * self.d
    }

    /// The head's vector of one token.
    pub(super) fn vector(&self, part: usize, b: usize, h: usize, token: usize) -> &'a [T] {
        &self.part_slice(part, b, h, token)[..self.d]
    }

    /// Queries (0), keys (1) or values (2) of sample `b` and head `h`, from token `token` on; rows 3C apart.
    pub(super) fn part_slice(&self, part: usize, b: usize, h: usize, token: usize) -> &'a [T] {
        &self.qkv[(b * self.s + token) * 3 * self.width() + part * self.width() + h * self.d..]
    }

    /// Coordinates of the patch tokens of sample `b`.
    pub(super) fn sample_coords(&self, b: usize) -> &'a [i32] {
        let n = self.s - 1;
        if self.shared_coords { &self.coords[..n] } else { &self.coords[b * n..(b + 1) * n] }
    }

    pub(super) fn scale(&self) -> f32 {
        (self.d as f32).powf(-0.5)
    }

    /// Whether all samples and heads see the same blocks.
    fn lists_are_shared(&self) -> bool {
        self.entries.len() == self.blocks
    }

    /// The index in [`Self::entries`] of query block `m` of sample `b` and head `h`.
    pub(super) fn row(&self, b: usize, h: usize, m: usize) -> usize {
        if self.lists_are_shared() { m } else { (b * self.heads + h) * self.blocks + m }
    }

    /// What query block `m` sees.
    pub(super) fn seen(&self, b: usize, h: usize, m: usize) -> &[KeyBlock] {
        &self.entries[self.row(b, h, m)]
    }

    /// The bias of what query block `m` sees.
    pub(super) fn runs(&self, b: usize, h: usize, m: usize) -> &BiasRuns {
        let row = self.row(b, h, m);
        let of_sample = if self.lists_are_shared() { b * self.blocks + row } else { row };
        &self.runs[of_sample % self.runs.len()]
    }

    /// Width of the score rows of query block `m`, the class column included.
    pub(super) fn columns(&self, b: usize, h: usize, m: usize) -> usize {
        self.runs(b, h, m).columns()
    }

    /// Coordinates of the queries of `tile`.
    pub(super) fn tile_coords(&self, b: usize, tile: Tile) -> &'a [i32] {
        &self.sample_coords(b)[tile.first..tile.first + tile.rows]
    }
}

impl<'a> CpuKernel<'a> {
    /// [`Self::part_slice`] as a matrix.
    pub(super) fn part(&self, part: usize, b: usize, h: usize, token: usize) -> MatrixView<'a> {
        MatrixView::rows(self.part_slice(part, b, h, token), 3 * self.width())
    }

    /// Floats that [`Self::scores`] of a tile takes: its rows, and what the last one's bias is written over.
    pub(super) fn score_floats(&self, b: usize, h: usize, tile: Tile) -> usize {
        tile.rows * self.columns(b, h, tile.block) + LANES
    }

    /// Logits of a tile, `[rows, columns]`, class column first: products with the first part of `keys` are added to the
    /// bias.
    pub(super) fn scores(&self, keys: &Transposed, b: usize, h: usize, tile: Tile, to: &mut [f32]) {
        let (runs, table, d, scale) = (self.runs(b, h, tile.block), self.table.head(h), self.d, self.scale());
        let columns = runs.columns();
        for (row, &coord) in self.tile_coords(b, tile).iter().enumerate() {
            runs.write(table, coord, &mut to[row * columns..][..columns + LANES]);
        }
        let queries = self.part(0, b, h, 1 + tile.first);
        product(to, columns, [tile.rows, 1, d], queries, keys.matrix(b, h, 0, 0), scale, true);
        for e in self.seen(b, h, tile.block) {
            let keys = keys.matrix(b, h, 0, 1 + e.key);
            product(&mut to[e.from..], columns, [tile.rows, e.keys.min(e.columns), d], queries, keys, scale, true);
        }
    }

    /// Logits of the class query over all tokens.
    pub(super) fn class_scores(&self, b: usize, h: usize, to: &mut [f32]) {
        let [to_patches, _, to_itself] = self.table.head(h).of_class();
        product(to, self.s, [1, self.s, self.d], self.part(0, b, h, 0), self.part(1, b, h, 0).t(), self.scale(), false);
        to[0] += to_itself;
        to[1..].iter_mut().for_each(|score| *score += to_patches);
    }

    /// The class row: its log-sum-exp, its output into `out`.
    pub(super) fn class_row(&self, b: usize, h: usize, scratch: &mut Vec<f32>, out: &mut [f32]) -> f32 {
        scratch.resize(self.s, 0.0);
        self.class_scores(b, h, scratch);
        let top = max(scratch);
        let sum = exp_sum(scratch, top);
        product(
            out,
            self.width(),
            [1, self.d, self.s],
            MatrixView::rows(scratch, self.s),
            self.part(2, b, h, 0),
            1.0 / sum,
            false,
        );
        top + sum.ln()
    }

    /// A tile of patch rows: log-sum-exps into `lse`, outputs into `out` (rows C apart).
    fn tile_rows(
        &self,
        keys: &Transposed,
        [b, h]: [usize; 2],
        tile: Tile,
        scratch: &mut Vec<f32>,
        out: &mut [f32],
        lse: &mut [f32],
    ) {
        let (columns, width, d) = (self.columns(b, h, tile.block), self.width(), self.d);
        scratch.resize(self.score_floats(b, h, tile), 0.0);
        self.scores(keys, b, h, tile, scratch);
        let class_value = self.vector(2, b, h, 0);
        let mut inverse = [0f32; TILE];
        for (i, row) in scratch.chunks_exact_mut(columns).take(tile.rows).enumerate() {
            let top = max(row);
            let sum = exp_sum(row, top);
            lse[i] = top + sum.ln();
            inverse[i] = 1.0 / sum;
            let out = &mut out[i * width..i * width + d];
            out.fill(0.0);
            axpy(out, row[0], class_value);
        }
        for e in self.seen(b, h, tile.block) {
            let p = MatrixView::rows(&scratch[e.from..], columns);
            product(out, width, [tile.rows, d, e.values], p, self.part(2, b, h, 1 + e.value), 1.0, true);
        }
        for (row, inverse) in out.chunks_mut(width).zip(&inverse[..tile.rows]) {
            row[..d].iter_mut().for_each(|x| *x *= inverse);
        }
    }
}

/// Key blocks of query block `m`, those of `chosen` behind the listed ones. Padded keys get columns only where the graph
/// lets them take attention.
fn entries(graph: &BlockGraph, m: usize, chosen: &[i32]) -> Vec<KeyBlock> {
    let g = graph.block();
    let mut from = 1;
    let listed = graph.key_row(m).iter().zip(graph.value_row(m)).map(|(&key, &value)| (key as usize, value as usize));
    let pairs = listed.chain(chosen.iter().map(|&block| (block as usize, block as usize)));
    pairs
        .map(|(key, value)| {
            let (keys, values) = (graph.size(key), graph.size(value));
            let columns = if graph.padding_attended() { g } else { values };
            let entry = KeyBlock { from, columns, key: key * g, keys, value: value * g, values };
            from += columns;
            entry
        })
        .collect()
}

fn tiles(graph: &BlockGraph) -> Vec<Tile> {
    let (g, n) = (graph.block(), graph.tokens());
    let of_block = |block: usize| {
        let end = ((block + 1) * g).min(n);
        (block * g..end).step_by(TILE).map(move |first| Tile { block, first, rows: TILE.min(end - first) })
    };
    (0..graph.blocks()).flat_map(of_block).collect()
}

/// The kernels compute in f32, and products of bf16 where tensors hold it and the CPU has the instruction.
impl<B: HostBackend> SparseOps for B {
    fn sparse_attention(
        qkv: FloatTensor<B>,
        table: FloatTensor<B>,
        coords: IntTensor<B>,
        chosen: Option<IntTensor<B>>,
        plan: &AttentionPlan,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let (shape, results): ([usize; 3], _) = (qkv.shape().dims(), Results::<B>::like(&qkv));
        let (coords, chosen) = (integers::<B>(&coords), chosen.map_or(Vec::new(), |chosen| integers::<B>(&chosen)));
        let table = B::values(&table);
        let [batch, s, width] = shape;
        let (out, lse) = if super::cpu_bf16::takes(qkv.dtype(), width / 3 / plan.heads) {
            let qkv = B::bf16_values(&qkv);
            let (out, lse) =
                super::cpu_bf16::forward(&CpuKernel::new(&qkv, shape, &table, &coords, &chosen, plan), plan);
            (results.short(out, [batch, s, width / 3]), lse)
        } else {
            let qkv = B::values(&qkv);
            let (out, lse) = forward(&CpuKernel::new(&qkv, shape, &table, &coords, &chosen, plan));
            (results.tensor(out, [batch, s, width / 3]), lse)
        };
        (out, results.wide(lse, [batch, plan.heads, s]))
    }

    fn class_attention(qkv: FloatTensor<B>, table: FloatTensor<B>) -> FloatTensor<B> {
        if qkv.dtype() != DType::BF16 {
            return class::attention::<B>(op::float(qkv), op::float(table)).into_primitive().tensor();
        }
        let ([batch, s, width], [_, heads]) = (qkv.shape().dims(), table.shape().dims());
        let results = Results::<B>::like(&qkv);
        let scores = super::cpu_class::attention(&B::bf16_values(&qkv), [batch, s, width], &B::values(&table), heads);
        results.wide(scores, [batch, s - 1])
    }

    fn top_blocks(qkv: FloatTensor<B>, plan: &AttentionPlan) -> IntTensor<B> {
        super::cpu_top::blocks::<B>(&qkv, plan)
    }

    fn sparse_attention_backward(
        saved: SavedAttention<B>,
        grad: FloatTensor<B>,
        plan: &AttentionPlan,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        super::cpu_backward::backward::<B>(saved, grad, plan)
    }
}

fn forward(kernel: &CpuKernel) -> (Vec<f32>, Vec<f32>) {
    match kernel.d {
        4 if cpu_narrow::takes(kernel) => return Narrow::<4>::new(kernel).forward(),
        8 if cpu_narrow::takes(kernel) => return Narrow::<8>::new(kernel).forward(),
        16 if cpu_narrow::takes(kernel) => return Narrow::<16>::new(kernel).forward(),
        _ => {}
    }
    let keys = Transposed::new(kernel, &[1]);
    run(kernel, |task, h, scratch: &mut Vec<f32>, out, lse| match task.tile {
        None => lse[0] = kernel.class_row(task.b, h, scratch, out),
        Some(tile) => kernel.tile_rows(&keys, [task.b, h], tile, scratch, out, lse),
    })
}

/// The rows of one tile of one sample, or its class token's.
#[derive(Clone, Copy)]
pub(super) struct TileTask {
    pub b: usize,
    pub tile: Option<Tile>,
}

impl TileTask {
    /// First token and number of tokens.
    fn tokens(&self) -> [usize; 2] {
        self.tile.map_or([0, 1], |tile| [1 + tile.first, tile.rows])
    }
}

/// Runs `rows` for every task and head in parallel, with scratch memory of its own per thread: it writes the outputs
/// of the task's rows (C apart) and their log-sum-exps. Returns the output `[batch, S, C]` and the log-sum-exps
/// `[batch, heads, S]`.
pub(super) fn run<T: Sync, O: Copy + Default + Send, S: Default + Send>(
    kernel: &CpuKernel<T>,
    rows: impl Fn(TileTask, usize, &mut S, &mut [O], &mut [f32]) + Sync,
) -> (Vec<O>, Vec<f32>) {
    let CpuKernel { batch, s, heads, d, .. } = *kernel;
    let mut out = vec![O::default(); batch * s * kernel.width()];
    let sums: Vec<(TileTask, Vec<f32>)> = tasks(kernel, &mut out)
        .into_par_iter()
        .map_init(S::default, |scratch, (task, out)| {
            let count = task.tokens()[1];
            let mut lse = vec![0f32; heads * count];
            for (h, lse) in lse.chunks_mut(count).enumerate() {
                rows(task, h, scratch, &mut out[h * d..], lse);
            }
            (task, lse)
        })
        .collect();
    let mut lse = vec![0f32; batch * heads * s];
    for (task, sums) in sums {
        let [first, count] = task.tokens();
        for (h, sums) in sums.chunks(count).enumerate() {
            lse[(task.b * heads + h) * s + first..][..count].copy_from_slice(sums);
        }
    }
    (out, lse)
}

/// The class token and the tiles follow each other in token order, so each owns a run of the output.
fn tasks<'o, T: Sync, O>(kernel: &CpuKernel<T>, mut out: &'o mut [O]) -> Vec<(TileTask, &'o mut [O])> {
    let tiles = || std::iter::once(None).chain(kernel.tiles.iter().copied().map(Some));
    let all = (0..kernel.batch).flat_map(|b| tiles().map(move |tile| TileTask { b, tile }));
    all.map(|task| {
        let (own, rest) = std::mem::take(&mut out).split_at_mut(task.tokens()[1] * kernel.width());
        out = rest;
        (task, own)
    })
    .collect()
}
