//! Metrics: ranks and recalls, twins, accuracy, choices. Plain slices, no model and no tensors.

mod accuracy;
mod average_precision;
mod choice;
mod rank;
mod retrieval;
mod twins;

pub use accuracy::{Accuracy, AccuracyCounter};
pub use average_precision::average_precision;
pub use choice::{ChoiceAccuracy, ChoiceFigures, ChoiceOutcome, TIE};
pub use rank::{Rank, rank_of_best, top_k};
pub use retrieval::{RankCounter, RetrievalMetrics, rank_features};
pub use twins::{TwinScores, twin_scores};
