//! Protocols, metrics and reports.

mod authors;
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

pub use authors::Authors;
pub use budget::Budget;
pub use encode::{ClipPlan, Coverage, EncodeOptions, encode_videos};
pub use ensemble::{ClipSampling, Encoded, mean_features};
pub use evaluate::{Evaluation, FINE_TUNED, evaluate};
pub use features::FeatureStore;
pub(crate) use matching::padded;
pub use matching::{ClipSource, MatchScorer, TextBank, VideoBank, encode_clips};
pub use material::{ANSWERS, DATA, Material, shapes_config, shapes_tokenizer, tokenizer};
pub use measure::{Examinee, RetrievalExam, RetrievalOutcome, ScoreOptions, measure_retrieval};
pub use options::EvalOptions;
pub use paper::{Setting, paper_row};
pub use probes::{FrameOrder, rearranged};
pub use report::{EvalReport, Metrics, ProbeFigures, ShapesFigures};
pub use retrieval::{Directions, NOT_RERANKED, Reranked, Truths, dual_scores, rank_dual, rerank};
pub use subject::{Question, QuestionSubject, RetrievalSubject};
pub use ticker::Ticker;
pub use videos::{FileVideos, RenderedVideos, VideoSet};
pub use vqa::{Candidates, Given, QuestionExam, QuestionOutcome, measure_answers};

use burn::tensor::{Tensor, backend::Backend};

/// The elements of `x` in row-major order, on the host.
pub(crate) fn host<B: Backend, const D: usize>(x: Tensor<B, D>) -> Vec<f32> {
    x.into_data().convert::<f32>().into_vec().unwrap_or_default()
}
