//! Block-sparse attention with a relative position bias (docs/model.md, "Edge sparsity"). Knows no model types: any
//! Burn model can use it.
//!
//! Every query block of G consecutive tokens sees the class token, its local blocks and its random blocks; the class
//! token sees everything. [`BlockGraph::dense`] is the same op with one block. With [`BlockChoice::Top`] the random blocks
//! are those that the data of each sample and head choose. Three implementations compute it, and
//! tests compare them, forward and gradient: [`oracle`] (a dense mask), [`gathered`] (tensor operations, any backend)
//! and the kernels behind [`SparseOps`].
//!
//! Shape legend: B batch, H heads, S tokens with the class token, N = S − 1 patch tokens, D head width, C = H·D,
//! R table rows, M query blocks, G tokens in a block, W key blocks per query block.

mod autodiff;
mod bias;
mod block_list;
mod branch;
mod class;
mod edge;
pub mod gathered;
mod graph;
mod kernels;
mod op;
pub mod oracle;
mod received;
#[cfg(all(test, any(feature = "ndarray", feature = "flex")))]
mod tests;
mod top;

pub use bias::RelativeBias;
pub use branch::{PatchRanking, QkvProjection, SelfAttention, self_attention};
pub use edge::{BlockChoice, Compat, EdgeSparsity};
pub use graph::BlockGraph;
pub use op::{
    AttentionOutput, AttentionPlan, SavedAttention, SparseOps, class_attention, sparse_attention, top_blocks,
};
pub use received::{mean_query_attention, received_attention};
