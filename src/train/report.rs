//! `report.json` of pretraining.

use super::metrics_log::LossValues;
use crate::data::Unreadable;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// R@1 ceilings of observers that see less than a clip shows, percent. On data of one's own only chance is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReportCeilings {
    /// A guess.
    pub chance: f64,
    /// One frame.
    #[serde(rename = "static", default, skip_serializing_if = "Option::is_none")]
    pub static_frame: Option<f64>,
    /// All frames, order ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unordered: Option<f64>,
    /// All frames in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<f64>,
}

/// Text-to-video R@1 on altered clips, percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbeScore {
    /// R@1.
    pub r1: f64,
}

/// The three frame-order probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    /// Every frame is the first.
    pub freeze: ProbeScore,
    /// Frames in a random order.
    pub shuffle: ProbeScore,
    /// Frames backwards.
    pub reverse: ProbeScore,
}

/// How a model does on the fixed gallery; recalls and accuracies in percent. What a data set cannot measure is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ValidationScores {
    /// Text-to-video recalls of the dual encoder.
    pub r1: f64,
    /// R@5.
    pub r5: f64,
    /// R@10.
    pub r10: f64,
    /// Recalls after re-ranking the best `rerank_k` videos by the matching head.
    pub r1_reranked: f64,
    /// R@5, re-ranked.
    pub r5_reranked: f64,
    /// R@10, re-ranked.
    pub r10_reranked: f64,
    /// R@1 where the same videos are ranked by cosine over temperature plus the matching head's log-odds, which is what
    /// a head trained on negatives drawn by that similarity has learned to add (docs/model.md, "Re-ranking").
    #[serde(default)]
    pub r1_combined: f64,
    /// Videos re-ranked per text.
    pub rerank_k: usize,
    /// Video-to-text R@1 of the dual encoder.
    pub v2t_r1: f64,
    /// R@1 over combinations that training may show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r1_seen: Option<f64>,
    /// R@1 over combinations that training never shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r1_unseen: Option<f64>,
    /// Share of clips closer to their own caption than to the caption of their reverse, percent; 50 for a model without
    /// temporal order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin_accuracy: Option<f64>,
    /// Matching head on true pairs and the hardest false ones; chance is 50.
    pub vtm_accuracy: f64,
    /// Masked direction words named right; chance is 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlm_direction_accuracy: Option<f64>,
    /// What observers that see less can reach.
    pub ceilings: ReportCeilings,
    /// R@1 on altered clips, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
    /// Clips in the gallery.
    pub gallery: usize,
}

/// One row of the table of stages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// The stage's name.
    pub name: String,
    /// T.
    pub frames: usize,
    /// dense, edge, node or hybrid.
    pub mode: String,
    /// q_v.
    pub keep_rate: f64,
    /// Share of the dense model's video attention edges that are gone, 0 to 1.
    pub edges_removed: f64,
    /// Patch tokens entering each layer.
    pub tokens_per_layer: Vec<usize>,
    /// Optimizer steps taken.
    pub steps: usize,
    /// Seconds of training, validation not included.
    pub seconds: f64,
    /// Losses of the last step, unsmoothed.
    pub losses: LossValues,
    /// Updates skipped for a non-finite loss.
    pub skipped_updates: usize,
    /// The model on the gallery.
    #[serde(flatten)]
    pub scores: ValidationScores,
}

/// `report.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PretrainReport {
    /// The preset.
    pub preset: String,
    /// Seed of the run.
    pub seed: u64,
    /// cuda, wgpu, wgpu-wgsl, flex or ndarray.
    pub backend: String,
    /// One entry per stage trained.
    pub stages: Vec<StageReport>,
    /// What `--baselines` trained at equal compute.
    pub baselines: Vec<StageReport>,
    /// Seconds of the whole run, validation included.
    pub seconds: f64,
    /// Largest resident memory, MB.
    pub peak_memory_mb: f64,
    /// Losses of the last step of the last stage, unsmoothed.
    pub final_losses: LossValues,
    /// Videos that could not be read and were replaced.
    pub unreadable: Vec<Unreadable>,
}

impl PretrainReport {
    /// The report as scripts read it: every figure of a stage is there and is a number. Those that the data cannot
    /// tell are 0, ceilings that are not known 100, and `not_measured` lists both.
    ///
    /// # Errors
    /// None; the figures are plain numbers.
    pub fn to_json(&self) -> Result<Value> {
        let fault = |error: serde_json::Error| Error::Fault(error.to_string());
        let mut report = serde_json::to_value(self).map_err(fault)?;
        for list in ["stages", "baselines"] {
            report[list].as_array_mut().into_iter().flatten().for_each(complete);
        }
        Ok(report)
    }
}

/// Figures that only some data can tell.
const OPTIONAL: [&str; 4] = ["r1_seen", "r1_unseen", "twin_accuracy", "mlm_direction_accuracy"];
/// Ceilings that are enumerated for `shapes`.
const CEILINGS: [&str; 3] = ["static", "unordered", "ordered"];

fn complete(stage: &mut Value) {
    let mut absent = Vec::new();
    for name in OPTIONAL.into_iter().filter(|name| stage[*name].is_null()).collect::<Vec<_>>() {
        stage[name] = 0.0.into();
        absent.push(name.to_owned());
    }
    for name in CEILINGS.into_iter().filter(|name| stage["ceilings"][*name].is_null()).collect::<Vec<_>>() {
        stage["ceilings"][name] = 100.0.into();
        absent.push(format!("ceilings.{name}"));
    }
    stage["not_measured"] = absent.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_find_every_figure_as_a_number() {
        let known = ValidationScores { twin_accuracy: Some(91.5), ..ValidationScores::default() };
        let stages = vec![StageReport { scores: known, ..StageReport::default() }];
        let json = PretrainReport { stages, ..PretrainReport::default() }.to_json().unwrap();
        let stage = &json["stages"][0];
        let absent = ["r1_seen", "r1_unseen", "mlm_direction_accuracy"].map(|name| stage[name].as_f64());
        assert_eq!((stage["twin_accuracy"].as_f64(), absent), (Some(91.5), [Some(0.0); 3]));
        assert_eq!(stage["ceilings"]["unordered"].as_f64(), Some(100.0));
        assert_eq!(stage["not_measured"].as_array().unwrap().len(), 6);
        assert!(!json.to_string().contains("null"), "{json}");
    }
}
