//! Evaluation: protocols, metrics, reports.

mod budget;
mod dump;
mod encode;
mod ensemble;
mod evaluate;
mod features;
mod matching;
mod material;
mod measure;
pub mod metrics;
mod options;
mod paper;
mod probes;
mod protocol;
mod report;
mod retrieval;
mod shapes;
mod subject;
mod ticker;
mod videos;
mod vqa;

pub use encode::{ClipPlan, EncodeStats, EncodeOptions, encode_videos};
pub use ensemble::{ClipSampling, EncodedClips, mean_features};
pub use evaluate::{Evaluation, FINE_TUNED, evaluate};
pub use features::FeatureStore;
pub(crate) use matching::padded;
pub use matching::{ClipSource, MatchScorer, TextBank, VideoBank, encode_clips};
pub use material::{ANSWERS_FILE, DATA_DIR, BenchmarkData, shapes_config, shapes_tokenizer, tokenizer};
pub use measure::{EvalModel, RetrievalTask, RetrievalOutcome, ScoreOptions, evaluate_retrieval};
pub use options::EvalOptions;
pub use paper::{PaperSetting, paper_row};
pub use probes::{FrameOrder, reorder_frames};
pub use report::{EvalReport, Metrics, ProbeFigures, ShapesFigures};
pub use retrieval::{BidirectionalMetrics, NOT_RERANKED, Reranked, GroundTruth, dual_scores, rank_dual, rerank};
pub use subject::{Question, QuestionSet, RetrievalSet};
pub use ticker::ProgressReporter;
pub use videos::{FileVideos, RenderedVideos, VideoSet};
pub use vqa::{Candidates, Prediction, QaTask, QuestionOutcome, evaluate_questions};

use burn::tensor::{Tensor, backend::Backend};

/// The elements of `x` in row-major order, on the host.
pub(crate) fn host<B: Backend, const D: usize>(x: Tensor<B, D>) -> Vec<f32> {
    x.into_data().convert::<f32>().into_vec().unwrap_or_default()
}
