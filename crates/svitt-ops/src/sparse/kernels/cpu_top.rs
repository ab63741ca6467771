//! The choice of blocks on the CPU: one task per sample and head; queries and keys are read once, where they lie.

use crate::device::bf16::wide;
use crate::device::host::HostBackend;
use crate::device::simd::dot;
use crate::sparse::op::AttentionPlan;
use crate::sparse::top::LOWEST;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, Int, Tensor, TensorData, TensorMetadata};
use rayon::prelude::*;

/// See [`crate::sparse::SparseOps::top_blocks`].
pub(super) fn blocks<B: HostBackend>(qkv: &FloatTensor<B>, plan: &AttentionPlan) -> IntTensor<B> {
    let (shape, graph): ([usize; 3], _) = (qkv.shape().dims(), &plan.graph);
    let chosen = match qkv.dtype() {
        DType::BF16 => choose(&B::bf16_values(qkv), shape, plan, |x| wide(*x)),
        _ => choose(&B::values(qkv), shape, plan, |x| *x),
    };
    let data = TensorData::new(chosen, [shape[0], plan.heads, graph.blocks(), graph.chosen()]);
    Tensor::<B, 4, Int>::from_data(data, &B::float_device(qkv)).into_primitive()
}

/// The chosen blocks of `qkv` `[B, S, 3C]`, whose elements `value` makes f32 of: `[B, H, M, chosen]`.
fn choose<T: Sync>(qkv: &[T], shape: [usize; 3], plan: &AttentionPlan, value: impl Fn(&T) -> f32 + Sync) -> Vec<i64> {
    let [_, s, width] = shape;
    let (graph, d) = (&plan.graph, width / 3 / plan.heads);
    let (blocks, each) = (graph.blocks(), graph.chosen());
    let mut chosen = vec![0i64; shape[0] * plan.heads * blocks * each];
    chosen.par_chunks_mut(blocks * each).enumerate().for_each(|(task, to)| {
        let (b, h) = (task / plan.heads, task % plan.heads);
        let means = |part: usize| {
            let mut means = vec![0f32; blocks * d];
            for (m, mean) in means.chunks_mut(d).enumerate() {
                for token in m * graph.block()..m * graph.block() + graph.size(m) {
                    let from = (b * s + 1 + token) * width + part * width / 3 + h * d;
                    mean.iter_mut().zip(&qkv[from..from + d]).for_each(|(sum, x)| *sum += value(x));
                }
                let inverse = 1.0 / graph.size(m) as f32;
                mean.iter_mut().for_each(|x| *x *= inverse);
            }
            means
        };
        let (queries, keys) = (means(0), means(1));
        let mut scored = Vec::with_capacity(blocks);
        for (m, (query, to)) in queries.chunks(d).zip(to.chunks_mut(each)).enumerate() {
            scored.clear();
            let others = (0..blocks).filter(|&key| !graph.is_local(m, key));
            // `max` takes the number where one of two is none; 0 is added because −0 and 0 are one score
            scored.extend(others.map(|key| (dot(query, &keys[key * d..(key + 1) * d]).max(LOWEST) + 0.0, key)));
            scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            to.iter_mut().zip(&scored).for_each(|(to, &(_, key))| *to = key as i64);
            to.sort_unstable();
        }
    });
    chosen
}
