//! What ranks patches where no class token does: the attention they receive.

use super::op::{AttentionOutput, AttentionPlan, SparseOps, class_attention};
use super::{BlockGraph, RelativeBias, gathered};
use burn::tensor::Tensor;
use std::sync::Arc;

/// The attention every patch receives, averaged over heads and over all patches as queries, `[batch, tokens]`: what a
/// read-out by the mean of the patches pays to each. Sums to 1 in a model without class token.
///
/// Over a sparse graph only the attended blocks count, so that a patch which few blocks see gets less. `attended` is
/// what [`super::sparse_attention`] returned for the same arguments. One head at a time, so that no more than
/// `[batch, 1, tokens, keys]` is in memory; carries no gradient.
pub fn received_attention<B: SparseOps>(
    qkv: &Tensor<B, 3>,
    attended: &AttentionOutput<B>,
    bias: &RelativeBias<B>,
    graph: &Arc<BlockGraph>,
) -> Tensor<B, 2> {
    let [batch, s, width] = qkv.dims();
    let heads = bias.table.dims()[1];
    let (c, d) = (width / 3, width / 3 / heads);
    let (qkv, lse, table) = (qkv.clone().detach(), attended.lse.clone().detach(), bias.table.clone().detach());
    let plan = AttentionPlan { graph: graph.clone(), heads: 1, centre: bias.centre };
    let of_head = |head: usize| {
        let part = |part: usize| {
            let from = part * c + head * d;
            qkv.clone().slice([0..batch, 0..s, from..from + d])
        };
        let own = Tensor::cat([0, 1, 2].map(part).to_vec(), 2);
        let table = table.clone().narrow(1, head, 1);
        let chosen = attended.chosen.as_ref().map(|chosen| chosen.clone().narrow(1, head, 1));
        gathered::received(own, table, bias.coords.clone(), chosen, lse.clone().narrow(1, head, 1), &plan)
    };
    let first = of_head(0);
    (1..heads).fold(first, |sum, head| sum + of_head(head)).div_scalar(heads as f64)
}

/// The attention that the mean of all patches' queries would pay, averaged over heads, `[batch, tokens]`:
/// [`received_attention`] approximated by one query, at the cost of a class token's. Without position bias, which a
/// mean has none of; the class token is neither query nor key. Carries no gradient.
pub fn mean_query_attention<B: SparseOps>(qkv: &Tensor<B, 3>, heads: usize) -> Tensor<B, 2> {
    let [batch, s, _] = qkv.dims();
    let patches = qkv.clone().slice([0..batch, 1..s]);
    let mean = patches.clone().mean_dim(1);
    let bias = RelativeBias::<B>::without_class(heads, s - 1, &qkv.device());
    let table = crate::device::cast(bias.table, qkv.dtype());
    class_attention(&Tensor::cat(vec![mean, patches], 1), &RelativeBias { table, ..bias })
}

#[cfg(test)]
mod tests {
    use super::super::{oracle, sparse_attention};
    use super::*;
    use crate::rng::Rng;
    use crate::sparse::{Compat, EdgeSparsity};
    use crate::testing::{assert_close, noise, on_cpu_backends};
    use burn::tensor::activation::softmax;

    const HEADS: usize = 3;

    /// Queries and keys of the patches, `[batch, heads, tokens, head_dim]`.
    fn heads_of<B: SparseOps>(qkv: &Tensor<B, 3>) -> [Tensor<B, 4>; 2] {
        let [batch, s, width] = qkv.dims();
        let (c, d) = (width / 3, width / 3 / HEADS);
        [0, 1].map(|part| {
            let part = qkv.clone().slice([0..batch, 1..s, part * c..(part + 1) * c]);
            part.reshape([batch, s - 1, HEADS, d]).swap_dims(1, 2)
        })
    }

    fn patches_receive_what_all_queries_pay<B: SparseOps>() {
        let qkv = noise::<B, 3>(3, [2, 12, 45]).mul_scalar(2.0);
        let bias = RelativeBias::<B>::without_class(HEADS, 11, &Default::default());
        let graph = Arc::new(BlockGraph::dense(11));
        let out = sparse_attention(qkv.clone(), &bias, &graph);
        let [query, key] = heads_of(&qkv);
        let all = softmax(query.clone().matmul(key.clone().swap_dims(2, 3)).mul_scalar(5f64.powf(-0.5)), 3);
        let expected = all.mean_dim(1).mean_dim(2).reshape([2, 11]);
        let found = received_attention(&qkv, &out, &bias, &graph);
        assert_close(found.clone(), expected, 1e-6);
        assert_close(found.sum_dim(1), Tensor::ones([2, 1], &Default::default()), 1e-5);
        let mean = softmax(query.mean_dim(2).matmul(key.swap_dims(2, 3)).mul_scalar(5f64.powf(-0.5)), 3);
        assert_close(mean_query_attention(&qkv, HEADS), mean.mean_dim(1).reshape([2, 11]), 1e-6);
    }

    /// Blocks that nobody sees receive nothing; padded queries pay nothing.
    fn only_attended_blocks_count<B: SparseOps>() {
        let qkv = noise::<B, 3>(4, [2, 12, 45]);
        let bias = RelativeBias::<B>::without_class(HEADS, 11, &Default::default());
        let edge = EdgeSparsity::new(1, 1, 4);
        let table = vec![vec![0, 1], vec![1, 0], vec![1, 0]];
        let graph = Arc::new(BlockGraph::from_table(11, &edge, Compat::Corrected, &table).unwrap());
        let out = sparse_attention(qkv.clone(), &bias, &graph);
        let found = received_attention(&qkv, &out, &bias, &graph);
        assert_close(found.clone().sum_dim(1), Tensor::ones([2, 1], &Default::default()), 1e-5);
        assert_close(found.slice([0..2, 8..11]), Tensor::zeros([2, 3], &Default::default()), 0.0);
        let drawn = Arc::new(BlockGraph::draw(11, &edge, Compat::Corrected, &mut Rng::new(1, &[])));
        assert_close(
            sparse_attention(qkv.clone(), &bias, &drawn).out.slice([0..2, 1..12]),
            oracle::attention(qkv, &bias, &drawn).slice([0..2, 1..12]),
            1e-5,
        );
    }

    on_cpu_backends!(patches_receive_what_all_queries_pay, only_attended_blocks_count);
}
