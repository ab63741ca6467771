//! The CPU kernel's forward with bf16 operands: scores and outputs are products of bf16 with f32 sums, the softmax
//! between them is f32.

use super::cpu::{CpuKernel, TILE, run};
use super::cpu_bf16_operands::{Bf16Kernel, Blocks, Part};
use crate::device::bf16::{round, wide};
use crate::device::cpu_computes_bf16;
use crate::device::simd::{exp_sum, max, vectorized};
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
            Some(tile) => kernel.bias([task.b, h], tile.first, blocks, &mut scratch.scores),
        }
        kernel.outputs([task.b, h], blocks, scratch, out, lse);
    })
}

impl Bf16Kernel<'_> {
    /// Scales the scores of patch queries from patch `first` on and adds their bias.
    pub(super) fn bias(&self, [b, h]: [usize; 2], first: usize, blocks: &Blocks, scores: &mut [f32]) {
        let layout = self.layout;
        let (table, coords, scale) = (layout.head_table(h), layout.sample_coords(b), layout.scale());
        let to_class = table[layout.table_rows - 2];
        for (row, &coord) in scores.chunks_mut(blocks.columns).zip(&coords[first..]) {
            let origin = coord + layout.centre;
            row[0] = row[0] * scale + to_class;
            for e in &blocks.entries {
                let (real, padded) = row[e.from..e.from + e.columns].split_at_mut(e.values);
                for (score, key) in real.iter_mut().zip(&coords[e.value..e.value + e.values]) {
                    *score = *score * scale + table[(origin - key) as usize];
                }
                padded.iter_mut().for_each(|score| *score = *score * scale + to_class);
            }
        }
    }

    /// Scales the class query's scores and adds their bias.
    pub(super) fn class_bias(&self, h: usize, scores: &mut [f32]) {
        let (table, rows, scale) = (self.layout.head_table(h), self.layout.table_rows, self.layout.scale());
        scores[0] = scores[0] * scale + table[rows - 1];
        scores[1..].iter_mut().for_each(|score| *score = *score * scale + table[rows - 3]);
    }

    /// From logits to log-sum-exps and outputs, rows C apart.
    fn outputs(&self, [b, h]: [usize; 2], blocks: &Blocks, scratch: &mut Scratch, out: &mut [bf16], lse: &mut [f32]) {
        let (layout, d, rows) = (self.layout, self.layout.d, lse.len());
        let Scratch { scores, weights, sums } = scratch;
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
