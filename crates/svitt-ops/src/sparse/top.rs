//! The K_r blocks of [`BlockChoice::Top`](super::BlockChoice::Top): in every sample and head those whose mean key has
//! the largest product with the mean query of a block (docs/model.md, "Edge sparsity").
//!
//! Means are over the tokens that exist, the class token is in no block, local blocks are not candidates. Of equal
//! scores the lower block wins; what is not a number ranks last, so that a choice always names existing, different
//! blocks. Sums are f32. The bias takes no part: it would cost a table look-up per pair of tokens.

use super::op::AttentionPlan;
use crate::device::cast;
use crate::tokens::keep_by_rank;
use burn::tensor::{Bool, DType, Int, Tensor, TensorData, backend::Backend};

/// The lowest score of a candidate: that of what is not a number.
pub(super) const LOWEST: f32 = -1e38;
/// The score of a block that must not be chosen.
const EXCLUDED: f32 = -3e38;

/// See [`super::SparseOps::top_blocks`].
pub(super) fn blocks<B: Backend>(qkv: Tensor<B, 3>, plan: &AttentionPlan) -> Tensor<B, 4, Int> {
    let scores = candidates(scores(qkv, plan), plan);
    let [batch, heads, blocks, _] = scores.dims();
    let chosen = plan.graph.chosen();
    keep_by_rank(scores.reshape([batch * heads * blocks, blocks]), chosen).reshape([batch, heads, blocks, chosen])
}

/// Products of the mean queries and the mean keys of all blocks, `[B, H, M, M]`.
fn scores<B: Backend>(qkv: Tensor<B, 3>, plan: &AttentionPlan) -> Tensor<B, 4> {
    let ([batch, s, width], graph, device) = (qkv.dims(), &plan.graph, qkv.device());
    let (c, blocks, size) = (width / 3, graph.blocks(), graph.block());
    let sizes: Vec<f32> = (0..blocks).map(|b| graph.size(b) as f32).collect();
    let sizes = Tensor::<B, 3>::from_data(TensorData::new(sizes, [1, blocks, 1]), &device);
    let means = |part: usize| {
        let patches = cast(qkv.clone().slice([0..batch, 1..s, part * c..(part + 1) * c]), DType::F32);
        let padding = Tensor::zeros([batch, graph.padding(), c], &device);
        let patches = if graph.padding() == 0 { patches } else { Tensor::cat(vec![patches, padding], 1) };
        let sums = patches.reshape([batch, blocks, size, c]).sum_dim(2).reshape([batch, blocks, c]);
        (sums / sizes.clone()).reshape([batch, blocks, plan.heads, c / plan.heads]).swap_dims(1, 2)
    };
    means(0).matmul(means(1).swap_dims(2, 3))
}

/// `scores` `[B, H, M, M]` with those of local blocks below all others, and all finite or +∞.
fn candidates<B: Backend>(scores: Tensor<B, 4>, plan: &AttentionPlan) -> Tensor<B, 4> {
    let ([batch, heads, blocks, _], graph) = (scores.dims(), &plan.graph);
    let local: Vec<bool> =
        (0..blocks).flat_map(|m| (0..blocks).map(move |key| (m, key))).map(|(m, key)| graph.is_local(m, key)).collect();
    let data = TensorData::new(local, [1, 1, blocks, blocks]);
    let local = Tensor::<B, 4, Bool>::from_data(data, &scores.device()).expand([batch, heads, blocks, blocks]);
    // not so of what is not a number, either
    let low = scores.clone().greater_elem(LOWEST).bool_not();
    scores.mask_fill(low, LOWEST).mask_fill(local, EXCLUDED)
}

#[cfg(all(test, any(feature = "ndarray", feature = "flex")))]
mod tests {
    use super::*;
    use crate::sparse::{BlockChoice, BlockGraph, Compat, EdgeSparsity, SparseOps, oracle, top_blocks};
    use crate::testing::{noise, on_every_backend};
    use std::sync::Arc;

    fn plan(tokens: usize, [local, random, block]: [usize; 3], heads: usize) -> AttentionPlan {
        let edge = EdgeSparsity::new(local, random, block).with_blocks(BlockChoice::Top);
        AttentionPlan { graph: Arc::new(BlockGraph::top(tokens, &edge, Compat::Corrected)), heads, centre: 0 }
    }

    fn chosen<B: SparseOps>(qkv: Tensor<B, 3>, plan: &AttentionPlan) -> Vec<u32> {
        let chosen = top_blocks(&qkv, plan.heads, &plan.graph).unwrap();
        assert_eq!(chosen.dims()[1..], [plan.heads, plan.graph.blocks(), plan.graph.chosen()]);
        chosen.into_data().convert::<u32>().into_vec().unwrap()
    }

    fn portable<B: SparseOps>(qkv: Tensor<B, 3>, plan: &AttentionPlan) -> Vec<u32> {
        blocks(qkv, plan).into_data().convert::<u32>().into_vec().unwrap()
    }

    /// Padding, no local block, all but one chosen, blocks of one token, more blocks than a cube of a GPU has units, and
    /// heads whose width no vector divides.
    fn all_implementations_choose_the_same_blocks<B: SparseOps>() {
        let cases = [
            (50, [1, 2, 7], 3, 5),
            (48, [0, 3, 5], 2, 4),
            (29, [3, 4, 4], 1, 8),
            (17, [1, 4, 1], 2, 3),
            (131, [1, 5, 1], 2, 6),
        ];
        for (n, (tokens, edge, heads, d)) in cases.into_iter().enumerate() {
            let plan = plan(tokens, edge, heads);
            let qkv = noise::<B, 3>(n as u64, [3, tokens + 1, 3 * heads * d]);
            let expected = oracle::top_blocks(&qkv, heads, &plan.graph);
            assert_eq!(chosen(qkv.clone(), &plan), expected, "case {n}");
            assert_eq!(portable(qkv, &plan), expected, "case {n}, portable");
            let per_sample = expected.len() / 3;
            assert_ne!(expected[..per_sample], expected[per_sample..2 * per_sample], "case {n}: samples differ");
        }
    }

    /// Queries and keys of `tokens` tokens of width 1, one head; the class token's would win everywhere.
    fn one_wide<B: SparseOps>(queries: &[f32], keys: &[f32]) -> Tensor<B, 3> {
        let patches = queries.iter().zip(keys).flat_map(|(&q, &k)| [q, k, 0.0]);
        let values: Vec<f32> = [1e4, 1e4, 0.0].into_iter().chain(patches).collect();
        Tensor::from_data(TensorData::new(values, [1, queries.len() + 1, 3]), &Default::default())
    }

    /// Means of 1, 1, 2, 1, 2 in blocks of two tokens, the last of one: sums would make 4 of the third and 2 of the last.
    fn ties_go_to_the_lower_block<B: SparseOps>() {
        let plan = plan(9, [1, 2, 2], 1);
        let keys = [0.0, 2.0, 1.0, 1.0, 1.0, 3.0, 2.0, 0.0, 2.0];
        let qkv = one_wide::<B>(&[1.0; 9], &keys);
        let expected = [2, 4, 2, 4, 0, 4, 2, 4, 0, 2];
        assert_eq!(oracle::top_blocks(&qkv, 1, &plan.graph), expected);
        assert_eq!(chosen(qkv.clone(), &plan), expected);
        assert_eq!(portable(qkv, &plan), expected);
        // products of −0 and 0 are equal, too
        let qkv = one_wide::<B>(&[0.0; 9], &[-1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0, 1.0]);
        let expected = [1, 2, 0, 2, 0, 1, 0, 1, 0, 1];
        assert_eq!(chosen(qkv.clone(), &plan), expected);
        assert_eq!(portable(qkv, &plan), expected);
    }

    /// A training that diverges still names blocks that exist, each once, none of them local.
    fn what_is_no_number_is_chosen_last<B: SparseOps>() {
        let plan = plan(10, [1, 3, 2], 1);
        let infinite = f32::INFINITY;
        let keys = [f32::NAN, 1.0, -infinite, 0.0, 2.0, 2.0, infinite, 0.0, 3.0, 3.0];
        let qkv = one_wide::<B>(&[1.0; 10], &keys);
        let expected = [2, 3, 4, 2, 3, 4, 0, 3, 4, 0, 2, 4, 0, 2, 3];
        assert_eq!(chosen(qkv.clone(), &plan), expected);
        assert_eq!(portable(qkv, &plan), expected);
        let qkv = one_wide::<B>(&[f32::NAN; 10], &[1.0; 10]);
        let expected = [1, 2, 3, 0, 2, 3, 0, 1, 3, 0, 1, 2, 0, 1, 2];
        assert_eq!(chosen(qkv.clone(), &plan), expected);
        assert_eq!(portable(qkv, &plan), expected);
    }

    on_every_backend!(
        all_implementations_choose_the_same_blocks,
        ties_go_to_the_lower_block,
        what_is_no_number_is_chosen_last,
    );
}
