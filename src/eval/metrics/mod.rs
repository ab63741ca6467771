//! What scores are worth: ranks and recalls, twins, accuracies. Plain slices, no model and no tensor.

mod accuracy;
mod rank;
mod retrieval;
mod twins;

pub use accuracy::{Accuracy, AccuracyCounter};
pub use rank::{Rank, rank_of_best, top_k};
pub use retrieval::{RankCounter, RetrievalMetrics, rank_features};
pub use twins::{TwinScores, twin_scores};
