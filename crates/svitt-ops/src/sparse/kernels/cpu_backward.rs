//! The backward of the CPU kernel: one task per sample and head; probabilities are recomputed tile by tile.

use super::cpu::{CpuKernel, Tile};
use super::cpu_bias::mirrored;
use super::cpu_narrow::{self, Narrow};
use super::cpu_narrow_backward;
use super::cpu_transposed::Transposed;
use crate::device::cpu_gemm::{MatrixView, product};
use crate::device::host::{HostBackend, Results, integers};
use crate::device::simd::{axpy, dot, exp_sum, score_gradient};
use crate::sparse::AttentionPlan;
use crate::sparse::op::SavedAttention;
use burn::tensor::TensorMetadata;
use burn::tensor::ops::FloatTensor;
use rayon::prelude::*;

/// The forward's results and the incoming gradient.
pub(super) struct Backward<'a> {
    pub kernel: CpuKernel<'a>,
    out: &'a [f32],
    pub lse: &'a [f32],
    pub grad: &'a [f32],
}

/// One head's gradients and work space.
#[derive(Default)]
pub(super) struct HeadGradients {
    /// `[S, D]` each, contiguous.
    pub query: Vec<f32>,
    pub key: Vec<f32>,
    pub value: Vec<f32>,
    /// `[R]`, laid out as [`super::cpu_bias::HeadTable`].
    pub table: Vec<f32>,
    p: Vec<f32>,
    dp: Vec<f32>,
}

impl Backward<'_> {
    /// Rows of `x` `[batch, S, C]` of one head, C apart.
    pub(super) fn rows<'x>(&self, x: &'x [f32], b: usize, h: usize, token: usize) -> &'x [f32] {
        &x[(b * self.kernel.s + token) * self.kernel.width() + h * self.kernel.d..]
    }

    /// Σ out·grad of one row.
    pub(super) fn delta(&self, b: usize, h: usize, token: usize) -> f32 {
        let d = self.kernel.d;
        dot(&self.rows(self.out, b, h, token)[..d], &self.rows(self.grad, b, h, token)[..d])
    }

    /// Gradients of sample `b` and head `h`; `patch_rows` adds those of its patch queries.
    fn head(&self, b: usize, h: usize, patch_rows: impl Fn([usize; 2], &mut HeadGradients)) -> HeadGradients {
        let CpuKernel { s, d, .. } = self.kernel;
        let zeros = || vec![0f32; s * d];
        let mut head = HeadGradients {
            query: zeros(),
            key: zeros(),
            value: zeros(),
            table: vec![0.0; self.kernel.table.rows()],
            ..HeadGradients::default()
        };
        self.class_row(b, h, &mut head);
        patch_rows([b, h], &mut head);
        (head.p, head.dp) = Default::default();
        head
    }

    fn class_row(&self, b: usize, h: usize, head: &mut HeadGradients) {
        let k = &self.kernel;
        let (s, d, table_rows) = (k.s, k.d, k.table.rows());
        let grad = &self.rows(self.grad, b, h, 0)[..d];
        head.p.resize(s, 0.0);
        head.dp.resize(s, 0.0);
        k.class_scores(b, h, &mut head.p[..s]);
        exp_sum(&mut head.p[..s], self.lse[(b * k.heads + h) * s]);
        product(&mut head.dp, s, [1, s, d], MatrixView::rows(grad, d), k.part(2, b, h, 0).t(), 1.0, false);
        score_gradient(&mut head.dp[..s], &head.p[..s], self.delta(b, h, 0));
        let (p, ds) = (&head.p[..s], &head.dp[..s]);
        product(&mut head.query, d, [1, d, s], MatrixView::rows(ds, s), k.part(1, b, h, 0), k.scale(), false);
        let query = k.vector(0, b, h, 0);
        for ((key, value), (ds, p)) in head.key.chunks_mut(d).zip(head.value.chunks_mut(d)).zip(ds.iter().zip(p)) {
            axpy(key, ds * k.scale(), query);
            axpy(value, *p, grad);
        }
        head.table[table_rows - 1] += ds[0];
        head.table[table_rows - 3] += ds[1..].iter().sum::<f32>();
    }

    /// Adds the gradients of a tile's queries; `columns` has keys and values.
    fn tile(&self, columns: &Transposed, [b, h]: [usize; 2], tile: Tile, head: &mut HeadGradients) {
        let k = &self.kernel;
        self.probabilities(columns, b, h, tile, head);
        self.score_gradients(columns, b, h, tile, head);
        let (d, columns, scale) = (k.d, k.columns(b, h, tile.block), k.scale());
        let size = tile.rows * columns;
        let (p, ds) = (&head.p[..size], &head.dp[..size]);
        let grad = MatrixView::rows(self.rows(self.grad, b, h, 1 + tile.first), k.width());
        let queries = k.part(0, b, h, 1 + tile.first);
        let dq = &mut head.query[(1 + tile.first) * d..];
        product(dq, d, [tile.rows, d, 1], MatrixView::rows(ds, columns), k.part(1, b, h, 0), scale, true);
        product(&mut head.key, d, [1, d, tile.rows], MatrixView::rows(ds, columns).t(), queries, scale, true);
        product(&mut head.value, d, [1, d, tile.rows], MatrixView::rows(p, columns).t(), grad, 1.0, true);
        for e in k.seen(b, h, tile.block) {
            let (ds, p) = (MatrixView::rows(&ds[e.from..], columns), MatrixView::rows(&p[e.from..], columns));
            product(dq, d, [tile.rows, d, e.keys], ds, k.part(1, b, h, 1 + e.key), scale, true);
            product(&mut head.key[(1 + e.key) * d..], d, [e.keys, d, tile.rows], ds.t(), queries, scale, true);
            product(&mut head.value[(1 + e.value) * d..], d, [e.values, d, tile.rows], p.t(), grad, 1.0, true);
        }
        self.table_gradient(b, h, tile, head);
    }

    fn probabilities(&self, keys: &Transposed, b: usize, h: usize, tile: Tile, head: &mut HeadGradients) {
        let k = &self.kernel;
        let (columns, floats) = (k.columns(b, h, tile.block), k.score_floats(b, h, tile));
        head.p.resize(head.p.len().max(floats), 0.0);
        let p = &mut head.p[..floats];
        k.scores(keys, b, h, tile, p);
        let lse = &self.lse[(b * k.heads + h) * k.s + 1 + tile.first..];
        for (row, lse) in p.chunks_exact_mut(columns).zip(&lse[..tile.rows]) {
            exp_sum(row, *lse);
        }
    }

    fn score_gradients(&self, transposed: &Transposed, b: usize, h: usize, tile: Tile, head: &mut HeadGradients) {
        let k = &self.kernel;
        let (d, columns) = (k.d, k.columns(b, h, tile.block));
        let size = tile.rows * columns;
        head.dp.resize(head.dp.len().max(size), 0.0);
        let dp = &mut head.dp[..size];
        let grad = MatrixView::rows(self.rows(self.grad, b, h, 1 + tile.first), k.width());
        product(dp, columns, [tile.rows, 1, d], grad, transposed.matrix(b, h, 1, 0), 1.0, false);
        for e in k.seen(b, h, tile.block) {
            for row in 0..tile.rows {
                dp[row * columns + e.from + e.values..row * columns + e.from + e.columns].fill(0.0);
            }
            let values = transposed.matrix(b, h, 1, 1 + e.value);
            product(&mut dp[e.from..], columns, [tile.rows, e.values, d], grad, values, 1.0, false);
        }
        for (i, (dp, p)) in dp.chunks_mut(columns).zip(head.p.chunks(columns)).enumerate() {
            score_gradient(dp, p, self.delta(b, h, 1 + tile.first + i));
        }
    }

    /// A histogram over the table rows of the tile. Each task has its own, so no atomics are needed.
    fn table_gradient(&self, b: usize, h: usize, tile: Tile, head: &mut HeadGradients) {
        let k = &self.kernel;
        let (runs, table) = (k.runs(b, h, tile.block), k.table.head(h));
        for (row, &coord) in head.dp.chunks_exact(runs.columns()).zip(k.tile_coords(b, tile)) {
            runs.add_gradients(row, table, coord, &mut head.table);
        }
    }
}

/// See [`crate::sparse::SparseOps::sparse_attention_backward`].
pub(super) fn backward<B: HostBackend>(
    saved: SavedAttention<B>,
    grad: FloatTensor<B>,
    plan: &AttentionPlan,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let (results, of_table) = (Results::<B>::like(&grad), Results::<B>::like(&saved.table));
    let shape: [usize; 3] = saved.qkv.shape().dims();
    let coords = integers::<B>(&saved.coords);
    let chosen = saved.chosen.as_ref().map_or(Vec::new(), integers::<B>);
    let SavedAttention { qkv, table, out, lse, .. } = saved;
    let rows = table.shape().num_elements() / plan.heads;
    if grad.dtype() == qkv.dtype() && super::cpu_bf16::takes(qkv.dtype(), shape[2] / 3 / plan.heads) {
        let [table, lse] = [&table, &lse].map(B::values);
        let [qkv, grad] = [&qkv, &grad].map(B::bf16_values);
        let kernel = CpuKernel::new(&qkv, shape, &table, &coords, &chosen, plan);
        let (d_qkv, d_table) = super::cpu_bf16_backward::backward(&kernel, plan, &grad, &lse);
        return (results.short(d_qkv, shape), of_table.tensor(d_table, [rows, plan.heads]));
    }
    let [qkv, table, out, lse, grad] = [&qkv, &table, &out, &lse, &grad].map(B::values);
    let kernel = CpuKernel::new(&qkv, shape, &table, &coords, &chosen, plan);
    let (d_qkv, d_table) = run(&Backward { kernel, out: &out, lse: &lse, grad: &grad });
    (results.tensor(d_qkv, shape), of_table.tensor(d_table, [rows, plan.heads]))
}

fn run(backward: &Backward) -> (Vec<f32>, Vec<f32>) {
    let kernel = &backward.kernel;
    match kernel.d {
        4 if cpu_narrow::takes(kernel) => narrow(backward, &Narrow::<4>::new(kernel)),
        8 if cpu_narrow::takes(kernel) => narrow(backward, &Narrow::<8>::new(kernel)),
        16 if cpu_narrow::takes(kernel) => narrow(backward, &Narrow::<16>::new(kernel)),
        _ => {
            let columns = Transposed::new(kernel, &[1, 2]);
            all_heads(backward, |which, head| {
                kernel.tiles.iter().for_each(|&tile| backward.tile(&columns, which, tile, head));
            })
        }
    }
}

fn narrow<const D: usize>(backward: &Backward, narrow: &Narrow<D>) -> (Vec<f32>, Vec<f32>) {
    all_heads(backward, |which, head| cpu_narrow_backward::patch_rows(backward, narrow, which, head))
}

fn all_heads(backward: &Backward, patch_rows: impl Fn([usize; 2], &mut HeadGradients) + Sync) -> (Vec<f32>, Vec<f32>) {
    let CpuKernel { batch, s, heads, d, .. } = backward.kernel;
    let (width, table_rows) = (backward.kernel.width(), backward.kernel.table.rows());
    let all: Vec<HeadGradients> =
        (0..batch * heads).into_par_iter().map(|task| backward.head(task / heads, task % heads, &patch_rows)).collect();
    let mut d_qkv = vec![0f32; batch * s * 3 * width];
    d_qkv.par_chunks_mut(3 * width).enumerate().for_each(|(row, to)| {
        let (b, token) = (row / s, row % s);
        for (h, head) in all[b * heads..(b + 1) * heads].iter().enumerate() {
            for (part, rows) in [&head.query, &head.key, &head.value].into_iter().enumerate() {
                to[part * width + h * d..][..d].copy_from_slice(&rows[token * d..(token + 1) * d]);
            }
        }
    });
    let tables: Vec<Vec<f32>> = all.into_iter().map(|head| head.table).collect();
    (d_qkv, summed_tables(&tables, [table_rows, heads]))
}

/// The gradient `[R, heads]` of the table, of those of every sample and head, laid out as [`super::cpu_bias::HeadTable`].
pub(super) fn summed_tables(tables: &[Vec<f32>], [rows, heads]: [usize; 2]) -> Vec<f32> {
    let mut sum = vec![0f32; rows * heads];
    for (task, table) in tables.iter().enumerate() {
        table.iter().enumerate().for_each(|(row, x)| sum[mirrored(row, rows) * heads + task % heads] += x);
    }
    sum
}
