//! Presets of fine-tuning: the settings of docs/model.md, "Published settings", one file each.

use crate::config::{Curriculum, ModelConfig, Stage, StepsOrEpochs, check_duration, toml_problem};
use crate::data::Benchmark;
use crate::{Error, Result, limits};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Every preset, embedded from `data/presets`.
const EMBEDDED: [&str; 9] = [
    include_str!("../../../data/presets/finetune-msrvtt.toml"),
    include_str!("../../../data/presets/finetune-didemo.toml"),
    include_str!("../../../data/presets/finetune-charades.toml"),
    include_str!("../../../data/presets/finetune-ssv2.toml"),
    include_str!("../../../data/presets/finetune-msrvtt-qa.toml"),
    include_str!("../../../data/presets/finetune-anet-qa.toml"),
    include_str!("../../../data/presets/finetune-agqa.toml"),
    include_str!("../../../data/presets/finetune-shapes.toml"),
    include_str!("../../../data/presets/finetune-shapes-qa.toml"),
];

/// How a benchmark is fine-tuned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinetunePreset {
    /// What it shows.
    pub description: String,
    /// The command that runs it.
    #[serde(default)]
    pub command: String,
    /// The benchmarks it is for.
    pub benchmarks: Vec<Benchmark>,
    /// Mirror half of the training clips: not where texts speak of left and right.
    pub flip: bool,
    /// Keep the checkpoint's frames and sparsity instead of the stage's.
    #[serde(default)]
    pub keep_checkpoint_sparsity: bool,
    /// Share of the training videos that is held out for validation where a data set has no validation split.
    pub hold_out: f64,
    /// Texts or questions that a validation asks, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_limit: Option<usize>,
    /// Training between two validations.
    pub validate_every: StepsOrEpochs,
    /// Questions about one clip that a step asks at most: the clip is encoded once for all of them. The published
    /// setup asks one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub questions_per_clip: usize,
    /// Candidates that validation re-ranks.
    pub rerank_k: usize,
    /// Frames, sparsity, and the optimizer's schedule.
    pub stage: Stage,
}

fn one() -> usize {
    1
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

impl FinetunePreset {
    /// The preset of `benchmark`, or the one in the file `name` if it is given.
    ///
    /// # Errors
    /// A file that cannot be read, a key that does not exist, or a preset for another benchmark.
    pub fn load(benchmark: Benchmark, name: Option<&Path>) -> Result<Self> {
        let Some(path) = name else {
            let found = EMBEDDED.iter().filter_map(|text| toml::from_str::<Self>(text).ok());
            return found.into_iter().find(|preset| preset.benchmarks.contains(&benchmark)).ok_or_else(|| {
                Error::setting(
                    "BENCHMARK",
                    format!("{benchmark} has no preset"),
                    "give one with option `preset` FILE.toml",
                )
            });
        };
        let text = crate::input::read_text(path, 1 << 20)?;
        let preset: Self = toml::from_str(&text)
            .map_err(|e| Error::file(path, toml_problem(&text, &e), "see data/presets/finetune-*.toml for examples"))?;
        preset.check()?;
        if preset.benchmarks.contains(&benchmark) {
            return Ok(preset);
        }
        let names: Vec<_> = preset.benchmarks.iter().map(|known| known.name()).collect();
        let problem = format!("is a preset for {}, not for {benchmark}", names.join(", "));
        Err(Error::file(path, problem, "add the benchmark to `benchmarks`, or give another preset"))
    }

    /// Ranges of its own keys, and its stage.
    fn check(&self) -> Result<()> {
        let counts =
            [("validation_limit", self.validation_limit.unwrap_or(1)), ("questions_per_clip", self.questions_per_clip)];
        for (key, count) in counts {
            limits::check(key, count, 1, limits::ITEMS)?;
        }
        limits::check("rerank_k", self.rerank_k, 0, limits::ITEMS)?;
        limits::check("hold_out", self.hold_out, 0.0, 0.9)?;
        check_duration("validate_every", self.validate_every)?;
        Curriculum { stages: vec![self.stage.clone()] }.check_schedules()
    }

    /// The model trained from a checkpoint of `model`, and a warning if the preset's sparsity does not fit and the
    /// checkpoint's is kept.
    pub fn model(&self, model: &ModelConfig) -> (ModelConfig, Option<String>) {
        if self.keep_checkpoint_sparsity {
            return (model.clone(), None);
        }
        let wanted = self.stage.model(model);
        match wanted.validate() {
            Ok(()) => (wanted, None),
            Err(error) => {
                let note =
                    format!("the preset's frames and sparsity do not fit this model ({error}); its own are kept");
                (model.clone(), Some(note))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::BenchmarkTask;

    #[test]
    fn presets_have_the_published_settings() {
        for benchmark in Benchmark::ALL.into_iter().filter(|benchmark| benchmark.is_trainable()) {
            let (preset, protocol) = (FinetunePreset::load(benchmark, None).unwrap(), benchmark.protocol());
            assert_eq!(preset.flip, protocol.flips, "{benchmark}");
            assert!(preset.command.contains(preset.benchmarks[0].name()), "{benchmark}");
            let stage = &preset.stage;
            if benchmark.is_generated() {
                continue;
            }
            assert_eq!(
                (stage.frames, stage.batch, stage.learning_rate, stage.min_multiplier, stage.weight_decay),
                (protocol.train_frames, 32, 1e-5, 0.1, 0.02),
                "{benchmark}"
            );
            assert_eq!(
                (stage.length, stage.warmup),
                (StepsOrEpochs::Epochs(protocol.epochs as f64), StepsOrEpochs::Epochs(protocol.warmup_epochs))
            );
            let edge = stage.edge.unwrap();
            assert_eq!((edge.local, edge.random, edge.block, stage.keep_rate()), (1, 3, 56, protocol.keep_rate));
            let cross = stage.cross.as_ref().map(|cross| cross.keep_rate);
            let expected = if protocol.task == BenchmarkTask::Retrieval { 0.1 } else { 0.5 };
            assert_eq!(cross, Some(expected), "{benchmark}");
            assert_eq!(preset.model(&ModelConfig::base(4)).1, None);
            assert!(preset.model(&ModelConfig::tiny(4)).1.is_some(), "a tiny model keeps its own");
        }
    }

    #[test]
    fn a_preset_for_another_benchmark_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, EMBEDDED[0]).unwrap();
        assert!(FinetunePreset::load(Benchmark::Msrvtt, Some(&path)).is_ok());
        let message = FinetunePreset::load(Benchmark::Agqa, Some(&path)).unwrap_err().to_string();
        assert!(
            message.contains("mine.toml") && message.contains("for msrvtt, msvd, vatex, lsmdc, not for agqa"),
            "{message}"
        );
        std::fs::write(&path, EMBEDDED[0].replace("flip", "flop")).unwrap();
        assert!(FinetunePreset::load(Benchmark::Msrvtt, Some(&path)).unwrap_err().to_string().contains("flop"));
    }
}
