//! Training: a curriculum of stages on burn-train's learner.

mod accumulate;
mod run_alone;
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

pub use accumulate::GradientAccumulator;
pub use run_alone::{steps_for, train_single_stage, training_flops};
pub use checkpoint::{Checkpoints, RunState, SavedTensors, write_atomically, write_json};
pub use expand::{InitOverrides, expand, apply_init_overrides, trainable};
pub use feed::BatchStream;
pub use finetune::{
    FinetuneOptions, FinetunePreset, FinetuneReport, FinetuneData, TokenizedQuestions, QuestionBatch, ValidationTask, ValidationReport, finetune,
};
pub use flag::{SkippedSteps, NonFiniteCheck};
pub use frame_mean::FrameMean;
pub use gallery::{ReversedTwin, ValidationSet};
pub use input::{StepConfig, StepInput, StepKey, StepOutput};
pub use journal::{MetricsLog, LogLine, LossValues, format_duration};
pub use learner::{StageContext, StageOutcome, StagePlan, TrainableModel, train_stage};
pub use optimizer::{AdamW, AdamWSettings, AdamWState, Moments, decays};
pub use out::{StopSignal, place};
pub use page::table;
pub use progress::{LogMetric, Progress, LogLineMetric};
pub use report::{ProbeScore, Probes, PretrainReport, ReportCeilings, ValidationScores, StageReport};
pub use run::{PretrainOptions, stage_report, pretrain};
pub use schedule::WarmupCosine;
pub use source::TrainingData;
pub use start::InitialWeights;
pub use validate::{RetrievalModel, Validator};
