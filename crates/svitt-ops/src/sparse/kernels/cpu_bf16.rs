//! The CPU kernel's forward with bf16 operands: scores and outputs are products of bf16 with f32 sums, the softmax
//! between them is f32.

use super::cpu::{CpuKernel, TILE, Tile, run};
use super::cpu_bf16_operands::{Bf16Kernel, Blocks, Part};
use crate::device::bf16::{round, wide};
use crate::device::cpu_computes_bf16;
use crate::device::simd::{LANES, exp_sum, max, vectorized, vectorized_fused};
use crate::sparse::AttentionPlan;
use burn::tensor::{DType, bf16};

/// Whether this kernel computes calls of `dtype`: heads of an odd width would read into their neighbours.
pub(super) fn takes(dtype: DType, head_dim: usize) -> bool {
    dtype == DType::BF16 && head_dim.is_multiple_of(2) && cpu_computes_bf16()
}

/// A thread's memory.
#[derive(Default)]
struct Scratch {
    scores: Vec<f32>,
    bias: Vec<f32>,
    weights: Vec<bf16>,
    sums: Vec<f32>,
}

/// The output `[batch, S, C]` and the log-sum-exps `[batch, heads, S]`.
pub(super) fn forward(layout: &CpuKernel<bf16>, plan: &AttentionPlan) -> (Vec<bf16>, Vec<f32>) {
    let kernel = Bf16Kernel::new(layout, plan, &[Part::Keys], Part::Values);
    run(layout, |task, h, scratch: &mut Scratch, out, lse| {
        let ([first, rows], blocks) = kernel.queries([task.b, h], task.tile);
        let queries = (layout.part_slice(0, task.b, h, first), 3 * layout.width());
        kernel.products([task.b, h], (Part::Keys, blocks), queries, rows, &mut scratch.scores);
        match task.tile {
            None => kernel.class_bias(h, &mut scratch.scores),
            Some(tile) => kernel.bias([task.b, h], tile, &mut scratch.scores, &mut scratch.bias),
        }
        kernel.outputs([task.b, h], blocks, scratch, out, lse);
    })
}

impl Bf16Kernel<'_> {
    /// Scales the scores of a tile's queries and adds their bias, which is written to `biased` row by row.
    pub(super) fn bias(&self, [b, h]: [usize; 2], tile: Tile, scores: &mut [f32], biased: &mut Vec<f32>) {
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
    pub(super) fn class_bias(&self, h: usize, scores: &mut [f32]) {
        let ([to_patches, _, to_itself], scale) = (self.layout.table.head(h).of_class(), self.layout.scale());
        scores[0] = scores[0] * scale + to_itself;
        scores[1..].iter_mut().for_each(|score| *score = *score * scale + to_patches);
    }

    /// From logits to log-sum-exps and outputs, rows C apart.
    fn outputs(&self, [b, h]: [usize; 2], blocks: &Blocks, scratch: &mut Scratch, out: &mut [bf16], lse: &mut [f32]) {
        let (layout, d, rows) = (self.layout, self.layout.d, lse.len());
        let Scratch { scores, weights, sums, .. } = scratch;
        Self::resize_weights(blocks, rows, weights);
        let (mut inverse, mut class) = ([0f32; TILE], [0f32; TILE]);
        for (i, row) in scores.chunks_mut(blocks.columns).enumerate() {
            let top = max(row);
            let sum = exp_sum(row, top);
            (lse[i], inverse[i], class[i]) = (top + sum.ln(), 1.0 / sum, row[0]);
            self.write_weights(row, blocks, weights, i);
        }
        self.weighted([b, h], blocks, weights, rows, sums);
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
