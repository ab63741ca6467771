//! The hand-written backward: probabilities are recomputed from q, k and the saved log-sum-exp, never stored.

use super::op::{AttentionPlan, SavedAttention, SparseOps};
use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::ops::{FloatTensor, IntTensor};

#[derive(Debug)]
struct SparseAttentionBackward;

/// What is kept between the passes; q, k, v and the table are the checkpointer's.
#[derive(Clone, Debug)]
struct State<B: SparseOps> {
    qkv: NodeId,
    table: NodeId,
    coords: IntTensor<B>,
    chosen: Option<IntTensor<B>>,
    out: FloatTensor<B>,
    lse: FloatTensor<B>,
    plan: AttentionPlan,
}

impl<B: SparseOps> Backward<B, 2> for SparseAttentionBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let state = ops.state;
        let qkv = checkpointer.retrieve_node_output::<FloatTensor<B>>(state.qkv);
        let table = checkpointer.retrieve_node_output::<FloatTensor<B>>(state.table);
        let State { coords, chosen, out, lse, .. } = state;
        let saved = SavedAttention { qkv, table, coords, chosen, out, lse };
        let (d_qkv, d_table) = B::sparse_attention_backward(saved, grad, &state.plan);
        let [qkv, table] = ops.parents;
        if let Some(node) = qkv {
            grads.register::<B>(node.id, d_qkv);
        }
        if let Some(node) = table {
            grads.register::<B>(node.id, d_table);
        }
    }
}

impl<B: SparseOps, C: CheckpointStrategy> SparseOps for Autodiff<B, C> {
    fn sparse_attention(
        qkv: FloatTensor<Self>,
        table: FloatTensor<Self>,
        coords: IntTensor<Self>,
        chosen: Option<IntTensor<Self>>,
        plan: &AttentionPlan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (inner, inner_table) = (qkv.primitive.clone(), table.primitive.clone());
        let (out, lse) = B::sparse_attention(inner, inner_table, coords.clone(), chosen.clone(), plan);
        let constant = <Self as AutodiffBackend>::from_inner(lse.clone());
        let prepared = SparseAttentionBackward.prepare::<C>([qkv.node.clone(), table.node.clone()]);
        let tracked = match prepared.compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let (qkv, table) = (prep.checkpoint(&qkv), prep.checkpoint(&table));
                let state = State { qkv, table, coords, chosen, out: out.clone(), lse, plan: plan.clone() };
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        };
        (tracked, constant)
    }

    fn top_blocks(qkv: FloatTensor<Self>, plan: &AttentionPlan) -> IntTensor<Self> {
        B::top_blocks(qkv.primitive, plan)
    }

    fn class_attention(qkv: FloatTensor<Self>, table: FloatTensor<Self>) -> FloatTensor<Self> {
        <Self as AutodiffBackend>::from_inner(B::class_attention(qkv.primitive, table.primitive))
    }
}
