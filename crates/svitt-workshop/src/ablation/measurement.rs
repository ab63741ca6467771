//! One result file.

use super::{TestTimeSparsity, TrainingSpec};
use serde::{Deserialize, Serialize};
use std::path::Path;
use svitt::train::StageReport;
use svitt::{Error, Result};

/// A cell, measured with one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The cell's name.
    pub cell: String,
    /// Seed of weights, data and draws.
    pub seed: u64,
    /// A digest of everything it depends on: where that has changed, the cell is measured again.
    pub plan: String,
    /// The trainings behind it, first one first; empty for a model that was given.
    pub chain: Vec<String>,
    /// The last training's stage.
    pub stage: serde_json::Value,
    /// The sparsity at test time, where it is not the trained one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestTimeSparsity>,
    /// Operations of the video encoder for one clip, in millions, as computed (docs/model.md, "Operations").
    pub mflops: f64,
    /// Operations of the video encoder over all training of the chain, forward and backward, in 10¹².
    pub training_tflops: f64,
    /// Seconds of the same training, on CPUs those of the processor, all threads together; 0 for a model that was given.
    #[serde(default)]
    pub training_seconds: f64,
    /// cuda, wgpu, wgpu-wgsl, flex or ndarray.
    pub backend: String,
    /// The scores.
    pub report: StageReport,
}

impl Measurement {
    /// The mean of R@1, 5 and 10 after re-ranking, the paper's "Mean".
    pub fn mean_recall(&self) -> f64 {
        let scores = &self.report.scores;
        (scores.r1_reranked + scores.r5_reranked + scores.r10_reranked) / 3.0
    }

    /// The result of `cell` and `seed` in `file`, if it is one of plan `plan`.
    pub fn read(file: &Path, cell: &str, seed: u64, plan: &str) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        match serde_json::from_str::<Self>(&text) {
            Ok(found) => {
                ((found.cell.as_str(), found.seed, found.plan.as_str()) == (cell, seed, plan)).then_some(found)
            }
            Err(problem) => {
                log::warn!("{}: is no result ({problem}); it is measured again", file.display());
                None
            }
        }
    }
}

/// The trainings behind `training`, first one first.
///
/// # Errors
/// A parent that is not among `all`.
pub fn chain<'a>(all: &'a [TrainingSpec], training: &'a TrainingSpec) -> Result<Vec<&'a TrainingSpec>> {
    let mut chain = vec![training];
    while let Some(parent) = chain.last().and_then(|last| last.parent.as_deref()) {
        let found = super::training::of(all, parent);
        chain
            .push(found.ok_or_else(|| Error::setting("ablations", format!("no training `{parent}`"), "report a bug"))?);
    }
    chain.reverse();
    Ok(chain)
}
