//! Training: a curriculum of stages on burn-train's learner.

mod baselines;
mod batch_stream;
mod burn_train;
mod checkpoint;
mod event_file;
#[cfg(feature = "tensorboard")]
mod event_format;
mod events;
mod expand;
mod finetune;
mod follower;
mod frame_mean;
#[cfg(all(test, any(feature = "wgpu", feature = "cuda"), feature = "ndarray"))]
mod gpu_tests;
mod gradient_accumulation;
mod html_report;
mod initial_weights;
mod input;
mod learner;
mod memory_check;
mod metrics_log;
#[cfg(all(test, any(feature = "flex", feature = "cuda")))]
mod mixed_precision;
mod nonfinite;
mod optimizer;
pub mod parallel;
mod pretrain;
mod report;
mod reranking;
mod resume;
mod run_folder;
mod schedule;
mod single_stage;
mod snapshot;
mod stage_plan;
mod step;
#[cfg(test)]
mod toy_model;
mod training_data;
mod validate;
mod validation_set;

pub use batch_stream::BatchStream;
pub use burn_train::Components;
pub use checkpoint::{Checkpoints, RunState, SavedTensors};
pub use events::{TrainEvent, TrainEvents};
pub use expand::{InitOverrides, apply_init_overrides, expand, trainable};
pub use finetune::{
    FinetuneData, FinetuneOptions, FinetunePreset, FinetuneReport, QuestionBatch, TokenizedQuestions, ValidationReport,
    ValidationTask, finetune, follow_finetuning,
};
pub use frame_mean::FrameMean;
pub use gradient_accumulation::GradientAccumulator;
pub use html_report::{stage_ceilings, stage_rows};
pub use initial_weights::InitialWeights;
pub use input::{StepConfig, StepInput, StepKey, StepOutput};
pub use learner::{StageContext, StageOutcome, TrainableModel, train_stage};
pub use metrics_log::{ExchangeLog, LogLine, LossValues, MetricsLog, format_duration};
pub use nonfinite::{NonFiniteCheck, SkippedSteps};
pub use optimizer::{AdamW, AdamWSettings, AdamWState, Moments, decays};
pub use pretrain::{PretrainOptions, follow, pretrain, stage_report};
pub use report::{PretrainReport, ProbeScore, Probes, ReportCeilings, StageReport, ValidationScores};
pub use run_folder::{RunFolder, StopSignal, claim_run_folder};
pub use schedule::WarmupCosine;
pub use single_stage::{steps_for, train_single_stage, training_flops};
pub use stage_plan::StagePlan;
pub use training_data::TrainingData;
pub use validate::{RetrievalModel, Validator};
pub use validation_set::{ReversedTwin, ValidationSet};
