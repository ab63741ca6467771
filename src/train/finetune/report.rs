//! `report.json` of a fine-tuning.

use crate::data::Unreadable;
use crate::train::LossValues;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A validation during the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ValidationReport {
    /// Optimizer steps taken.
    pub step: usize,
    /// Passes over the data.
    pub epoch: f64,
    /// The score that is compared.
    pub score: f64,
    /// All figures.
    pub figures: Value,
    /// Whether these weights were the best so far, and kept.
    pub kept: bool,
}

/// The result of a fine-tuning.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FinetuneReport {
    /// The benchmark's name.
    pub benchmark: String,
    /// The preset, in full.
    pub preset: Value,
    /// Where the weights came from.
    pub checkpoint: String,
    /// Their hash.
    pub checkpoint_sha256: String,
    /// Where the best weights are.
    pub best_checkpoint: String,
    /// The validation that was best.
    pub best: ValidationReport,
    /// All validations.
    pub validations: Vec<ValidationReport>,
    /// What validation compares.
    pub criterion: String,
    /// What validation asks, in words.
    pub validation: String,
    /// Texts or questions, and videos, of the validation.
    pub validation_counts: [usize; 2],
    /// The one stage, as a pretraining's report lists it.
    pub stages: Vec<FinetuneStageReport>,
    /// Whether clips were mirrored, and why not.
    pub flips: String,
    /// Answers that can be given; 0 for retrieval.
    pub answers: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// The backend's name.
    pub backend: String,
    /// What products were computed in.
    pub arithmetic: String,
    /// Seconds of the whole run.
    pub seconds: f64,
    /// Largest resident memory, MB.
    pub peak_memory_mb: f64,
    /// Losses of the last step.
    pub final_losses: LossValues,
    /// Videos that could not be used.
    pub unreadable: Vec<Unreadable>,
    /// Sentences for the person.
    pub warnings: Vec<String>,
}

/// A trained stage.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FinetuneStageReport {
    /// The stage's name.
    pub name: String,
    /// T.
    pub frames: usize,
    /// dense, edge, node or hybrid.
    pub mode: String,
    /// q_v.
    pub keep_rate: f64,
    /// Optimizer steps taken.
    pub steps: usize,
    /// Seconds of training, validation left out.
    pub seconds: f64,
}
