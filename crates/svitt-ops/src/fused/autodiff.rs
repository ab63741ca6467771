//! The hand-written backwards: one node each where Burn's decomposition has five to nine.

use super::op::FusedOps;
use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::ops::FloatTensor;

#[derive(Debug)]
struct LayerNormBackward;
#[derive(Debug)]
struct BiasGeluBackward;
#[derive(Debug)]
struct ScaledResidualBackward;

/// Registers each gradient whose parent wants it.
macro_rules! register {
    ($grads:ident, $parents:expr, $gradients:expr) => {
        for (parent, gradient) in $parents.into_iter().zip($gradients) {
            if let Some(node) = parent {
                $grads.register::<B>(node.id, gradient);
            }
        }
    };
}
pub(super) use register;

impl<B: FusedOps> Backward<B, 3> for LayerNormBackward {
    type State = (NodeId, NodeId, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, gamma, stats) = ops.state;
        let (x, gamma) = (checkpointer.retrieve_node_output(x), checkpointer.retrieve_node_output(gamma));
        register!(grads, ops.parents, <B as FusedOps>::layer_norm_backward(x, gamma, stats, grad));
    }
}

impl<B: FusedOps> Backward<B, 2> for BiasGeluBackward {
    type State = (NodeId, NodeId);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, bias) = ops.state;
        let (x, bias) = (checkpointer.retrieve_node_output(x), checkpointer.retrieve_node_output(bias));
        register!(grads, ops.parents, B::bias_gelu_backward(x, bias, grad));
    }
}

impl<B: FusedOps> Backward<B, 4> for ScaledResidualBackward {
    type State = (NodeId, NodeId, NodeId);

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (y, bias, scale) = ops.state;
        let [y, bias, scale] = [y, bias, scale].map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let [dy, dbias, dscale] = B::scaled_residual_backward(y, bias, scale, grad.clone());
        register!(grads, ops.parents, [grad, dy, dbias, dscale]);
    }
}

impl<B: FusedOps, C: CheckpointStrategy> FusedOps for Autodiff<B, C> {
    fn layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (y, stats) =
            <B as FusedOps>::layer_norm(x.primitive.clone(), gamma.primitive.clone(), beta.primitive.clone(), epsilon);
        let constant = <Self as AutodiffBackend>::from_inner(stats.clone());
        let nodes = [x.node.clone(), gamma.node.clone(), beta.node.clone()];
        let y = match LayerNormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), prep.checkpoint(&gamma), stats);
                prep.finish(state, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        (y, constant)
    }

    fn bias_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let y = B::bias_gelu(x.primitive.clone(), bias.primitive.clone());
        match BiasGeluBackward.prepare::<C>([x.node.clone(), bias.node.clone()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), prep.checkpoint(&bias));
                prep.finish(state, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn scaled_residual(
        residual: FloatTensor<Self>,
        y: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let primitives = [&residual, &y, &bias, &scale].map(|x| x.primitive.clone());
        let [r, v, b, s] = primitives;
        let out = B::scaled_residual(r, v, b, s);
        let nodes = [&residual, &y, &bias, &scale].map(|x| x.node.clone());
        match ScaledResidualBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&y), prep.checkpoint(&bias), prep.checkpoint(&scale));
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}
