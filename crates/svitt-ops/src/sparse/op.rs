//! The op as a trait with a portable body, and the functions a model calls.

use super::{BlockGraph, RelativeBias, class, gathered, top};
use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Int, Tensor, TensorPrimitive};
use std::sync::Arc;

/// What is fixed in one call: the graph, the number of heads, the table's middle row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionPlan {
    /// Which blocks see which.
    pub graph: Arc<BlockGraph>,
    /// H.
    pub heads: usize,
    /// The table row of coordinate difference 0.
    pub centre: usize,
}

/// Attention over a block graph as a backend operation. The float tensors of a call have one element type, f32 or bf16,
/// and so has what it returns, but for the log-sum-exp, which is f32. Every body has a portable default; backends with kernels
/// override it, and `Autodiff` differentiates it by [`Self::sparse_attention_backward`], which recomputes the
/// probabilities from `lse` instead of storing them.
pub trait SparseOps: Backend {
    /// `qkv` `[batch, S, 3C]`, `table` `[R, heads]`, `coords` `[1 | batch, N]`, `chosen` [`Self::top_blocks`] where the
    /// graph leaves blocks to be chosen, to the output `[batch, S, C]` and the log-sum-exp of every row,
    /// `[batch, heads, S]`.
    fn sparse_attention(
        qkv: FloatTensor<Self>,
        table: FloatTensor<Self>,
        coords: IntTensor<Self>,
        chosen: Option<IntTensor<Self>>,
        plan: &AttentionPlan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (coords, chosen) = (Tensor::from_primitive(coords), chosen.map(Tensor::from_primitive));
        let (out, lse) = gathered::forward::<Self>(float(qkv), float(table), coords, chosen, plan);
        (out.into_primitive().tensor(), lse.into_primitive().tensor())
    }

    /// The gradients of `qkv` and `table` for the gradient `grad` `[batch, S, C]` of the output.
    fn sparse_attention_backward(
        saved: SavedAttention<Self>,
        grad: FloatTensor<Self>,
        plan: &AttentionPlan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (qkv, table) = gathered::backward::<Self>(saved, float(grad), plan);
        (qkv.into_primitive().tensor(), table.into_primitive().tensor())
    }

    /// The blocks of a graph that are left to be chosen, of `qkv` `[batch, S, 3C]`: `[batch, heads, M, chosen]`, ascending
    /// and different; a constant to `Autodiff`. See [`super::BlockChoice::Top`].
    fn top_blocks(qkv: FloatTensor<Self>, plan: &AttentionPlan) -> IntTensor<Self> {
        top::blocks::<Self>(float(qkv), plan).into_primitive()
    }

    /// `qkv` `[batch, S, 3C]`, `table` `[R, heads]` to the class token's attention to every patch, averaged over heads,
    /// `[batch, N]`; a constant to `Autodiff`.
    fn class_attention(qkv: FloatTensor<Self>, table: FloatTensor<Self>) -> FloatTensor<Self> {
        class::attention::<Self>(float(qkv), float(table)).into_primitive().tensor()
    }
}

/// What the forward saves for the backward.
#[derive(Clone, Debug)]
pub struct SavedAttention<B: Backend> {
    /// `[batch, S, 3C]`.
    pub qkv: FloatTensor<B>,
    /// `[R, heads]`.
    pub table: FloatTensor<B>,
    /// `[1 | batch, N]`.
    pub coords: IntTensor<B>,
    /// `[batch, heads, M, chosen]`, where the graph leaves blocks to be chosen.
    pub chosen: Option<IntTensor<B>>,
    /// `[batch, S, C]`.
    pub out: FloatTensor<B>,
    /// `[batch, heads, S]`.
    pub lse: FloatTensor<B>,
}

/// What [`sparse_attention`] returns.
#[derive(Clone, Debug)]
pub struct AttentionOutput<B: Backend> {
    /// `[batch, S, C]`, heads side by side.
    pub out: Tensor<B, 3>,
    /// Log-sum-exp of every softmax row, `[batch, heads, S]`; carries no gradient.
    pub lse: Tensor<B, 3>,
    /// The blocks that were chosen beside those the graph lists, `[batch, heads, M, chosen]`, if it leaves any.
    pub chosen: Option<Tensor<B, 4, Int>>,
}

/// Attention of the tokens of `qkv` over `graph`, class token first. Where the graph leaves blocks to be chosen
/// ([`super::BlockChoice::Top`]), they are chosen first; gradients pass through the attention alone.
///
/// # Shapes
/// - `qkv`: `[batch, 1 + tokens, 3 · heads · head_dim]`, queries, keys and values side by side
/// - `bias.table`: `[rows, heads]`; `bias.coords`: `[1 or batch, tokens]`
/// - output: `[batch, 1 + tokens, heads · head_dim]`
///
/// # Panics
/// If the shapes contradict each other; the message names the tensor and both sizes.
pub fn sparse_attention<B: SparseOps>(
    qkv: Tensor<B, 3>,
    bias: &RelativeBias<B>,
    graph: &Arc<BlockGraph>,
) -> AttentionOutput<B> {
    let plan = AttentionPlan { graph: graph.clone(), heads: bias.table.dims()[1], centre: bias.centre };
    check_shapes(qkv.dims(), bias.coords.dims(), &plan);
    let table = bias.table.clone().into_primitive().tensor();
    let (qkv, coords) = (qkv.into_primitive().tensor(), bias.coords.clone().into_primitive());
    let chosen = (graph.chosen() > 0).then(|| B::top_blocks(qkv.clone(), &plan));
    let (out, lse) = B::sparse_attention(qkv, table, coords, chosen.clone(), &plan);
    AttentionOutput { out: float(out), lse: float(lse), chosen: chosen.map(Tensor::from_primitive) }
}

/// The blocks that `graph` leaves to be chosen, `[batch, heads, M, chosen]`, ascending: what [`sparse_attention`] of `qkv`
/// `[batch, 1 + tokens, 3 · heads · head_dim]` chooses (docs/model.md, "Edge sparsity"). None where it leaves none;
/// carries no gradient.
///
/// # Panics
/// If `qkv` is of another number of tokens than the graph, or `heads` do not divide its width.
pub fn top_blocks<B: SparseOps>(
    qkv: &Tensor<B, 3>,
    heads: usize,
    graph: &Arc<BlockGraph>,
) -> Option<Tensor<B, 4, Int>> {
    let plan = AttentionPlan { graph: graph.clone(), heads, centre: 0 };
    check_shapes(qkv.dims(), [1, graph.tokens()], &plan);
    let qkv = qkv.clone().into_primitive().tensor();
    (graph.chosen() > 0).then(|| Tensor::from_primitive(B::top_blocks(qkv, &plan)))
}

/// Attention of the class token to every patch token, averaged over heads, `[batch, tokens]`: what a pruning layer
/// ranks by. The paper's Eq. 10, but normalised over all tokens, the class token included
/// (docs/model.md, "Token pruning"); carries no gradient.
pub fn class_attention<B: SparseOps>(qkv: &Tensor<B, 3>, bias: &RelativeBias<B>) -> Tensor<B, 2> {
    let (qkv, table) = (qkv.clone().into_primitive().tensor(), bias.table.clone().into_primitive().tensor());
    float(B::class_attention(qkv, table))
}

fn check_shapes(qkv: [usize; 3], coords: [usize; 2], plan: &AttentionPlan) {
    let [batch, s, width] = qkv;
    let tokens = plan.graph.tokens();
    assert!(s == tokens + 1, "qkv holds {s} tokens, the graph {tokens} and the class token");
    assert!(
        width % (3 * plan.heads) == 0,
        "qkv is {width} wide, which {} heads do not divide into queries, keys and values",
        plan.heads
    );
    assert!(coords[1] == tokens, "coords has {} tokens, the graph {tokens}", coords[1]);
    assert!(coords[0] == 1 || coords[0] == batch, "coords has {} samples, qkv {batch}", coords[0]);
}

pub(super) fn float<B: Backend, const D: usize>(tensor: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}
