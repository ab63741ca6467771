//! Training: a curriculum of stages on burn-train's learner.

mod accumulate;
mod alone;
mod baselines;
mod checkpoint;
mod expand;
mod feed;
mod finetune;
mod fits;
mod flag;
mod frame_mean;
mod gallery;
#[cfg(all(test, any(feature = "wgpu", feature = "cuda"), feature = "ndarray"))]
mod gpu_tests;
mod input;
mod journal;
mod learner;
#[cfg(all(test, any(feature = "flex", feature = "cuda")))]
mod mixed_precision;
mod optimizer;
mod out;
mod page;
pub mod parallel;
mod progress;
mod report;
mod run;
mod schedule;
mod snapshot;
mod source;
mod start;
mod step;
#[cfg(test)]
mod toy;
mod validate;

pub use accumulate::Accumulator;
pub use alone::{steps_for, train_alone, training_flops};
pub use checkpoint::{Checkpoints, RunState, SavedTensors, write_atomically, write_json};
pub use expand::{FreshStart, expand, fresh_start, trainable};
pub use feed::Feed;
pub use finetune::{
    FinetuneOptions, FinetunePreset, FinetuneReport, Lesson, Quiz, QuizBatch, Trial, TrialReport, finetune,
};
pub use flag::{Skipped, StepFlag};
pub use frame_mean::FrameMean;
pub use gallery::{ReversedTwin, ValidationSet};
pub use input::{Recipe, StepInput, StepKey, StepOutput};
pub use journal::{Journal, LogLine, Losses, clock};
pub use learner::{StageDesk, StageOutcome, StagePlan, Trainee, train_stage};
pub use optimizer::{AdamW, AdamWSettings, AdamWState, Moments, decays};
pub use out::{StopSignal, place};
pub use page::table;
pub use progress::{LogMetric, Progress, Sentence};
pub use report::{ProbeScore, Probes, Report, ReportCeilings, Scores, StageReport};
pub use run::{RunOptions, measure, pretrain};
pub use schedule::WarmupCosine;
pub use source::Source;
pub use start::FirstWeights;
pub use validate::{Encodes, Validator};
