//! Metrics: ranks and recalls, twins, accuracy. Plain slices, no model and no tensors.

mod accuracy;
mod rank;
mod retrieval;
mod twins;

pub use accuracy::{Accuracy, AccuracyCounter};
pub use rank::{Rank, rank_of_best, top_k};
pub use retrieval::{RankCounter, RetrievalMetrics, rank_features};
pub use twins::{TwinScores, twin_scores};
