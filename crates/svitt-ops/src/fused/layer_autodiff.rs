//! The backwards of the layer operations: one node per branch.

use super::autodiff::register;
use super::layer::{BranchScale, FeedForwardSaved, FeedForwardWeights, LayerOps, LinearWeights, NormWeights};
use crate::device::Arithmetic;
use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::DType;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::ops::FloatTensor;

#[derive(Debug)]
struct NormLinearBackward;
#[derive(Debug)]
struct LinearResidualBackward;
#[derive(Debug)]
struct FeedForwardBackward;

impl<B: LayerOps> Backward<B, 5> for NormLinearBackward {
    /// x, γ, β, W; ε; statistics.
    type State = ([NodeId; 4], f64, FloatTensor<B>, Arithmetic);

    fn backward(self, ops: Ops<Self::State, 5>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (nodes, epsilon, stats, arithmetic) = ops.state;
        let [x, gamma, beta, weight] = nodes.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        let norm = NormWeights { gamma, beta, epsilon };
        register!(grads, ops.parents, B::norm_linear_backward(x, norm, weight, stats, grad, arithmetic));
    }
}

impl<B: LayerOps> Backward<B, 5> for LinearResidualBackward {
    /// x, W, b, λ; stochastic depth.
    type State = ([NodeId; 4], Option<FloatTensor<B>>, Arithmetic);

    fn backward(self, ops: Ops<Self::State, 5>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (nodes, keep, arithmetic) = ops.state;
        let [x, weight, bias, scale] = nodes.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        let (linear, join) = (LinearWeights { weight, bias }, BranchScale { scale, keep });
        let [dx, dweight, dbias, dscale] = B::linear_residual_backward(x, linear, join, grad.clone(), arithmetic);
        register!(grads, ops.parents, [grad, dx, dweight, dbias, dscale]);
    }
}

impl<B: LayerOps> Backward<B, 8> for FeedForwardBackward {
    /// x, γ, β, W1, b1, W2, b2, λ; ε; stochastic depth; the rest.
    type State = ([NodeId; 8], f64, Option<FloatTensor<B>>, FeedForwardSaved<FloatTensor<B>>, Arithmetic);

    fn backward(self, ops: Ops<Self::State, 8>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (nodes, epsilon, keep, saved, arithmetic) = ops.state;
        let [x, gamma, beta, w1, b1, w2, b2, scale] =
            nodes.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        let weights = FeedForwardWeights {
            norm: NormWeights { gamma, beta, epsilon },
            up: LinearWeights { weight: w1, bias: b1 },
            down: LinearWeights { weight: w2, bias: b2 },
            join: BranchScale { scale, keep },
        };
        register!(grads, ops.parents, B::feed_forward_backward(x, weights, saved, grad, arithmetic));
    }
}

impl<B: LayerOps, C: CheckpointStrategy> LayerOps for Autodiff<B, C> {
    fn parameter_dtype(activations: DType) -> DType {
        B::parameter_dtype(activations)
    }

    fn residual_dtype(arithmetic: Arithmetic) -> DType {
        B::residual_dtype(arithmetic)
    }

    fn norm_linear(
        x: FloatTensor<Self>,
        norm: NormWeights<FloatTensor<Self>>,
        linear: LinearWeights<FloatTensor<Self>>,
        arithmetic: Arithmetic,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let NormWeights { gamma, beta, epsilon } = norm;
        let inner = NormWeights { gamma: gamma.primitive.clone(), beta: beta.primitive.clone(), epsilon };
        let map = LinearWeights { weight: linear.weight.primitive.clone(), bias: linear.bias.primitive.clone() };
        let (y, stats) = B::norm_linear(x.primitive.clone(), inner, map, arithmetic);
        let constant = <Self as AutodiffBackend>::from_inner(stats.clone());
        let nodes = [&x, &gamma, &beta, &linear.weight, &linear.bias].map(|tensor| tensor.node.clone());
        let y = match NormLinearBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let saved = [&x, &gamma, &beta, &linear.weight].map(|tensor| prep.checkpoint(tensor));
                prep.finish((saved, epsilon, stats, arithmetic), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        (y, constant)
    }

    fn linear_residual(
        residual: FloatTensor<Self>,
        x: FloatTensor<Self>,
        linear: LinearWeights<FloatTensor<Self>>,
        join: BranchScale<FloatTensor<Self>>,
        arithmetic: Arithmetic,
    ) -> FloatTensor<Self> {
        let LinearWeights { weight, bias } = linear;
        let keep = join.keep.map(|keep| keep.primitive);
        let map = LinearWeights { weight: weight.primitive.clone(), bias: bias.primitive.clone() };
        let inner = BranchScale { scale: join.scale.primitive.clone(), keep: keep.clone() };
        let out = B::linear_residual(residual.primitive.clone(), x.primitive.clone(), map, inner, arithmetic);
        let nodes = [&residual, &x, &weight, &bias, &join.scale].map(|tensor| tensor.node.clone());
        match LinearResidualBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let saved = [&x, &weight, &bias, &join.scale].map(|tensor| prep.checkpoint(tensor));
                prep.finish((saved, keep, arithmetic), out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn feed_forward(
        x: FloatTensor<Self>,
        weights: FeedForwardWeights<FloatTensor<Self>>,
        _save: bool,
        arithmetic: Arithmetic,
    ) -> (FloatTensor<Self>, Option<FeedForwardSaved<FloatTensor<Self>>>) {
        let FeedForwardWeights { norm, up, down, join } = weights;
        let keep = join.keep.map(|keep| keep.primitive);
        let primitive = |tensor: &FloatTensor<Self>| tensor.primitive.clone();
        let inner = FeedForwardWeights {
            norm: NormWeights { gamma: primitive(&norm.gamma), beta: primitive(&norm.beta), epsilon: norm.epsilon },
            up: LinearWeights { weight: primitive(&up.weight), bias: primitive(&up.bias) },
            down: LinearWeights { weight: primitive(&down.weight), bias: primitive(&down.bias) },
            join: BranchScale { scale: primitive(&join.scale), keep: keep.clone() },
        };
        let all = [&x, &norm.gamma, &norm.beta, &up.weight, &up.bias, &down.weight, &down.bias, &join.scale];
        let prepared = FeedForwardBackward.prepare::<C>(all.map(|tensor| tensor.node.clone()));
        let out = match prepared.compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => match B::feed_forward(primitive(&x), inner, true, arithmetic) {
                (out, Some(saved)) => {
                    let nodes = all.map(|tensor| prep.checkpoint(tensor));
                    prep.finish((nodes, norm.epsilon, keep, saved, arithmetic), out)
                }
                (_, None) => unreachable!("asked to save"),
            },
            OpsKind::UnTracked(prep) => prep.finish(B::feed_forward(primitive(&x), inner, false, arithmetic).0),
        };
        (out, None)
    }
}
