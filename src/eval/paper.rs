//! The paper's row for an evaluation, where it was made in the same setting.

use crate::config::{EdgeSparsity, Family, ModelConfig, VideoConfig};
use crate::data::{Benchmark, Split, published};
use serde_json::{Value, json};

/// The printed tables.
const TABLES: &str = include_str!("../../data/paper-tables.json");

/// What must be equal for the paper's row to be comparable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PaperSetting<'a> {
    /// Of the seven benchmarks.
    pub benchmark: Benchmark,
    /// Sizes and sparsity of the model that was evaluated.
    pub model: &'a ModelConfig,
    /// Whether the checkpoint was fine-tuned on the benchmark.
    pub fine_tuned: bool,
    /// Videos and texts that were asked for.
    pub counts: [usize; 2],
    /// Whether frame order, re-ranking and ensemble are the published ones and nothing was missing.
    pub published_protocol: bool,
}

/// The row, with the table it stands in; none where no printed row is known to have this setting.
///
/// Zero-shot retrieval has rows by clip length and sparsity: Table 2 for DiDeMo, Table 4 (8 frames) for MSR-VTT.
/// Tables 5 and 6 print one row beside two settings, so nobody can say which one it was.
pub fn paper_row(setting: &PaperSetting<'_>) -> Option<Value> {
    let split = published(setting.benchmark, Split::Test)?;
    if !setting.published_protocol || setting.fine_tuned || setting.counts != [split.videos, split.texts] {
        return None;
    }
    let mode = published_mode(setting.model)?;
    let tables: Value = serde_json::from_str(TABLES).ok()?;
    let frames = setting.model.video.frames;
    match setting.benchmark {
        Benchmark::Didemo => {
            let row = tables["table2"][frames.to_string()][mode].as_array()?;
            let [r1, r5, r10, mean] = [2, 3, 4, 5].map(|column| row.get(column).and_then(Value::as_f64));
            let recalls = json!({"r1": r1?, "r5": r5?, "r10": r10?, "mean": mean?});
            Some(json!({"source": "Table 2", "setting": label(mode, frames), "t2v": recalls}))
        }
        Benchmark::Msrvtt if frames == 8 => {
            let row = tables["table4"][format!("SViTT_{mode}")].as_array()?;
            let [r1, mean] = [2, 3].map(|column| row.get(column).and_then(Value::as_f64));
            Some(json!({"source": "Table 4", "setting": label(mode, frames), "t2v": {"r1": r1?, "mean": mean?}}))
        }
        _ => None,
    }
}

fn label(mode: &str, frames: usize) -> String {
    format!("zero-shot, {mode}, {frames} frames, 2M pretraining pairs")
}

/// The paper's name for the sparsity of `model`, if model and sparsity are the paper's (docs/model.md, "Operations").
fn published_mode(model: &ModelConfig) -> Option<&'static str> {
    if model.video.family() != Family::Svitt {
        return None;
    }
    let VideoConfig { image_size, patch_size, hidden, layers, frames, sparsity, .. } = &model.video;
    if [*image_size, *patch_size, *hidden, *layers, model.text.hidden, model.text.layers] != [224, 16, 768, 12, 768, 12]
    {
        return None;
    }
    let mode = match (sparsity.edge, sparsity.node.as_ref()) {
        (Some(edge), _) if edge != EdgeSparsity::new(1, 3, 56) => return None,
        (None, None) => "dense",
        (Some(_), None) => "edge",
        (None, Some(_)) => "node",
        (Some(_), Some(_)) => "hybrid",
    };
    let rates = if mode == "hybrid" { [0.7, 0.6, 0.5] } else { [0.7, 0.7, 0.6] };
    let rate = [4, 8, 16].iter().position(|length| length == frames).map(|at| rates[at])?;
    let pruned = sparsity.node.as_ref().is_none_or(|node| node.keep_rate == rate && node.layers == [3, 6, 9]);
    pruned.then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BlockChoice, NodeSparsity, Sparsity};

    fn hybrid(frames: usize, keep_rate: f64) -> ModelConfig {
        let mut model = ModelConfig::base(frames);
        let node = NodeSparsity::by_class(keep_rate, &[3, 6, 9]);
        model.video.sparsity = Sparsity { edge: Some(EdgeSparsity::new(1, 3, 56)), node: Some(node) };
        model
    }

    fn row(benchmark: Benchmark, model: &ModelConfig, counts: [usize; 2]) -> Option<Value> {
        paper_row(&PaperSetting { benchmark, model, fine_tuned: false, counts, published_protocol: true })
    }

    #[test]
    fn rows_are_given_for_the_same_setting_alone() {
        let model = hybrid(8, 0.6);
        let didemo = row(Benchmark::Didemo, &model, [1004, 1004]).unwrap();
        assert_eq!(didemo["t2v"], json!({"r1": 31.0, "r5": 57.2, "r10": 66.3, "mean": 51.5}));
        let msrvtt = row(Benchmark::Msrvtt, &model, [1000, 1000]).unwrap();
        assert_eq!((&msrvtt["t2v"]["r1"], &msrvtt["source"]), (&json!(25.4), &json!("Table 4")));
        assert_eq!(row(Benchmark::Msrvtt, &model, [10, 10]), None, "part of the split");
        assert_eq!(row(Benchmark::Msrvtt, &hybrid(8, 0.7), [1000, 1000]), None, "another keep rate");
        let mut chosen = hybrid(8, 0.6);
        chosen.video.sparsity.edge = Some(EdgeSparsity::new(1, 3, 56).with_blocks(BlockChoice::Top));
        assert_eq!(row(Benchmark::Msrvtt, &chosen, [1000, 1000]), None, "other blocks");
        assert_eq!(row(Benchmark::Msrvtt, &ModelConfig::small(8), [1000, 1000]), None, "another model");
        assert_eq!(row(Benchmark::Msrvtt, &hybrid(4, 0.7), [1000, 1000]), None, "Table 4 has 8 frames");
        assert_eq!(row(Benchmark::Didemo, &ModelConfig::base(16), [1004, 1004]), None, "not legible");
        assert_eq!(row(Benchmark::AnetQa, &model, [800, 8000]), None);
        let tuned = PaperSetting {
            benchmark: Benchmark::Didemo,
            model: &model,
            fine_tuned: true,
            counts: [1004, 1004],
            published_protocol: true,
        };
        assert_eq!(paper_row(&tuned), None);
    }
}
