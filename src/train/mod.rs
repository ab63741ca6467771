//! A curriculum of stages, driven by burn-train's learner.

mod accumulate;
mod checkpoint;
mod flag;
mod input;
mod journal;
mod learner;
mod optimizer;
mod progress;
mod report;
mod schedule;
mod snapshot;
#[cfg(test)]
mod toy;

pub use accumulate::Accumulator;
pub use checkpoint::{Checkpoints, RunState, SavedTensors, write_atomically, write_json};
pub use flag::{Skipped, StepFlag};
pub use input::{StepInput, StepKey, StepOutput};
pub use journal::{Journal, LogLine, Losses, clock};
pub use learner::{StageDesk, StageOutcome, StagePlan, Trainee, train_stage};
pub use optimizer::{AdamW, AdamWSettings, AdamWState, Moments, decays};
pub use progress::{LogMetric, Progress, Sentence};
pub use report::{ProbeScore, Probes, Report, ReportCeilings, Scores, StageReport, Unreadable};
pub use schedule::WarmupCosine;
