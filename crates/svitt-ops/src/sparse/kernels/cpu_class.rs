//! The class token's attention of bf16 queries and keys, which are read where they lie: one task per sample and head.
//! Casting all keys to f32 first took 2 % of a sparse forward on two threads.

use crate::device::bf16::wide;
use crate::device::simd::{dot, exp_sum, max, vectorized};
use burn::tensor::bf16;
use rayon::prelude::*;

/// See [`crate::sparse::SparseOps::class_attention`]: of `qkv` `[batch, S, 3C]` and `table` `[R, heads]` to `[batch, N]`.
/// Heads are averaged in order.
pub(super) fn attention(qkv: &[bf16], [batch, s, width]: [usize; 3], table: &[f32], heads: usize) -> Vec<f32> {
    let (patches, sample) = (s - 1, s * width);
    let of_head =
        |task: usize| probabilities(&qkv[task / heads * sample..][..sample], width, table, [task % heads, heads]);
    let each: Vec<Vec<f32>> = (0..batch * heads).into_par_iter().map(of_head).collect();
    let mut mean = vec![0f32; batch * patches];
    for (mean, each) in mean.chunks_mut(patches.max(1)).zip(each.chunks(heads)) {
        for probabilities in each {
            mean.iter_mut().zip(&probabilities[1..]).for_each(|(sum, p)| *sum += p / heads as f32);
        }
    }
    mean
}

/// Of the class query of one head of a sample over all tokens.
fn probabilities(qkv: &[bf16], width: usize, table: &[f32], [h, heads]: [usize; 2]) -> Vec<f32> {
    let (c, d) = (width / 3, width / 3 / heads);
    let (scale, bias) = ((d as f32).powf(-0.5), |row: usize| table[table.len() - row * heads + h]);
    let (to_class, to_patch) = (bias(1), bias(3));
    let query: Vec<f32> = qkv[h * d..(h + 1) * d].iter().map(|x| wide(*x)).collect();
    let mut scores = vec![0f32; qkv.len() / width];
    vectorized(
        #[inline(always)]
        || {
            for (token, (score, qkv)) in scores.iter_mut().zip(qkv.chunks_exact(width)).enumerate() {
                *score = dot(&query, &qkv[c + h * d..][..d]) * scale + if token == 0 { to_class } else { to_patch };
            }
        },
    );
    let top = max(&scores);
    let inverse = 1.0 / exp_sum(&mut scores, top);
    scores.iter_mut().for_each(|p| *p *= inverse);
    scores
}
