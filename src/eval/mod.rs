//! Protocols, metrics and reports.

mod ensemble;
mod matching;
pub mod metrics;
mod retrieval;

pub use ensemble::{ClipSampling, Encoded, mean_features};
pub use matching::{ClipSource, MatchScorer, TextBank, VideoBank, encode_clips};
pub use retrieval::{Directions, Reranked, Truths, dual_scores, rank_dual, rerank};

use burn::tensor::{Tensor, backend::Backend};

/// The elements of `x` in row-major order, on the host.
pub(crate) fn host<B: Backend, const D: usize>(x: Tensor<B, D>) -> Vec<f32> {
    x.into_data().convert::<f32>().into_vec().unwrap_or_default()
}
