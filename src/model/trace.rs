//! Intermediates of a forward, recorded on request; there are no hooks.

use burn::tensor::{Int, Tensor, backend::Backend};
use std::sync::Arc;
use svitt_ops::sparse::BlockGraph;

/// A pruning layer's decision.
#[derive(Clone, Debug)]
pub struct Pruned<B: Backend> {
    /// The 0-based layer after which tokens were dropped.
    pub layer: usize,
    /// What the tokens were ranked by, `[batch, tokens entering]`.
    pub scores: Tensor<B, 2>,
    /// Original patch ids of the tokens kept, in sequence order, `[batch, tokens kept]`.
    pub token_ids: Tensor<B, 2, Int>,
}

/// Every intermediate of the video encoder.
#[derive(Clone, Debug, Default)]
pub struct Trace<B: Backend> {
    /// Patch embeddings with the class token, `[batch, 1 + tokens, d]`. Where frames are encoded
    /// one by one, the batch here and of the layers is one of frames.
    pub embeddings: Option<Tensor<B, 3>>,
    /// Output of every layer, after pruning where it prunes, `[batch, 1 + tokens, d]`.
    pub layers: Vec<Tensor<B, 3>>,
    /// Head mean of the class token's attention to the patches that entered every layer, `[batch, tokens]`; without
    /// class token, or where pruning ranks by something else, that ([`crate::config::Selection`]).
    pub class_attention: Vec<Tensor<B, 2>>,
    /// Original ids of the patches that entered every layer, in sequence order, `[1 or batch, tokens]`.
    pub token_ids: Vec<Tensor<B, 2, Int>>,
    /// The block graph of every layer.
    pub graphs: Vec<Arc<BlockGraph>>,
    /// The blocks that every layer chose beside those of its graph, `[batch, heads, blocks, chosen]`; none where the
    /// graph leaves none to be chosen.
    pub chosen: Vec<Option<Tensor<B, 4, Int>>>,
    /// The permutation applied to the patch tokens before layer 0.
    pub token_order: Vec<usize>,
    /// One entry per pruning layer.
    pub pruned: Vec<Pruned<B>>,
}
