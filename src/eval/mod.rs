//! Evaluation: protocols, metrics, reports.

mod authors;
mod benchmark_data;
mod budget;
pub mod choice;
pub(crate) mod decode_threads;
mod dump;
mod encode;
mod ensemble;
mod evaluate;
mod feature_store;
mod finite;
mod frame_order;
pub(crate) mod match_scoring;
pub mod metrics;
mod options;
mod paper;
mod protocol;
mod query_sets;
mod question_answering;
mod report;
mod retrieval;
mod retrieval_run;
mod shapes;
mod videos;

pub use authors::Authors;
pub use benchmark_data::{ANSWERS_FILE, BenchmarkData, DATA_DIR, shapes_config, shapes_tokenizer, tokenizer};
pub use budget::Budget;
pub use encode::{ClipPlan, EncodeOptions, EncodeStats, EncodedStore, encode_videos};
pub use ensemble::{ClipSampling, EncodedClips, mean_features};
pub use evaluate::{Evaluation, FINE_TUNED, ShardReport, encode_shard, evaluate};
pub use feature_store::FeatureStore;
pub use frame_order::{FrameOrder, reorder_frames};
pub use match_scoring::{ClipSource, MatchScorer, TextBank, VideoBank, encode_clips};
pub use options::EvalOptions;
pub use paper::{PaperSetting, paper_row};
pub use query_sets::{Question, QuestionSet, RetrievalSet, distinct_videos};
pub use question_answering::{Candidates, Prediction, QuestionOutcome, evaluate_questions};
pub use report::{EvalReport, Metrics, ProbeFigures, ShapesFigures};
pub use retrieval::{BidirectionalMetrics, GroundTruth, NOT_RERANKED, Reranked, dual_scores, rank_dual, rerank};
pub use retrieval_run::{EvalInputs, EvalModel, RetrievalOutcome, ScoreOptions, evaluate_retrieval};
pub(crate) use shapes::{recall_among, reversed_twins};
pub use videos::{FileVideos, RenderedVideos, VideoSet};

pub(crate) use finite::{require_directions, require_finite};

use burn::tensor::{Tensor, backend::Backend};

/// The elements of `x` in row-major order, on the host.
pub(crate) fn host<B: Backend, const D: usize>(x: Tensor<B, D>) -> Vec<f32> {
    x.into_data().convert::<f32>().into_vec().unwrap_or_default()
}
