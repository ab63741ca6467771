//! The settings of the comparison, from a TOML file.

use super::modes::{Mode, ModeRows};
use crate::ablation::Matching;
use serde::{Deserialize, Serialize};
use std::path::Path;
use svitt::config::{Curriculum, ModelConfig, PretrainPreset, StepsOrEpochs};
use svitt::limits::check;
use svitt::{Error, Result, input};

/// The plan that comes with the crate.
const EMBEDDED: &str = include_str!("../../../data/long.toml");

/// Models, sparsities and what they may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongPlan {
    /// Runs of every headline row, seeds 0, 1, …; other rows are run with seed 0.
    pub seeds: usize,
    /// How learning rates are chosen.
    pub tuning: Tuning,
    /// What every row may cost after the common start.
    pub budget: Budget,
    /// Lengths of the programs in every row's last stage, which are those of the gallery.
    pub segments: Vec<usize>,
    /// The cosine of every row's last stage ends at this share of its peak.
    pub last_min_multiplier: f64,
    /// The stage of matching alone that ends every row; its steps follow from the budget.
    pub matching: Matching,
    /// What is compared.
    pub modes: Vec<Mode>,
    /// Model and stages: a dense start, then the clip lengths, all given without sparsity. Of the stages behind the
    /// start, steps follow from the budget.
    pub preset: PretrainPreset,
}

/// How each mode's learning rate is chosen: by the mean recall of its longest clips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// A seed that no row has.
    pub seed: u64,
    /// Multiples of the stages' learning rates that are tried.
    pub learning_rates: Vec<f64>,
    /// The share of the budget that each try gets.
    pub share: f64,
}

/// What a row may cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Operations of the video encoder over all training, forward and backward, in 10¹².
    pub tflops: f64,
    /// Seconds of training, by the step times that are measured first.
    pub seconds: f64,
    /// The share spent at each shorter clip length on the way to a row's own.
    pub on_the_way: f64,
    /// The share spent on matching.
    pub matching: f64,
    /// Steps that are timed.
    pub timed_steps: usize,
}

impl LongPlan {
    /// The embedded plan, or the one in `file`.
    ///
    /// # Errors
    /// A file that cannot be read, a key that does not exist, or settings that cannot work together.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        let plan: Self = match file {
            None => {
                toml::from_str(EMBEDDED).map_err(|e| Error::setting("ablations", e.to_string(), "report this as a bug"))
            }
            Some(path) => toml::from_str(&input::read_text(path, 1 << 20)?)
                .map_err(|e| Error::file(path, e.to_string().trim_end(), "see crates/svitt-workshop/data/long.toml")),
        }?;
        plan.validate().map(|()| plan)
    }

    /// The same, scaled down to seconds: 2 to 5 frames of 16 patches, one head, a step or two, a gallery of 12 clips,
    /// one seed, one learning rate.
    #[must_use]
    pub fn quick(mut self) -> Self {
        let model = &mut self.preset.model;
        (model.image_size, model.hidden, model.text_hidden) = (Some(32), Some(16), None);
        (model.video_heads, model.text_heads, model.video_layers) = (Some(1), Some(1), Some(2));
        (self.preset.gallery_programs, self.preset.rerank_k) = (Some(2), 2);
        for (place, stage) in self.preset.stages.iter_mut().enumerate() {
            stage.frames = 2 + place;
            (stage.length, stage.warmup) = (StepsOrEpochs::Steps(1), StepsOrEpochs::Steps(0));
            (stage.batch, stage.clips_per_object) = (2, 1);
        }
        for mode in &mut self.modes {
            mode.edge.iter_mut().for_each(|edge| edge.block = 4);
            mode.node.iter_mut().for_each(|node| node.layers = vec![0]);
        }
        self.tuning.learning_rates.truncate(1);
        self.modes.iter_mut().for_each(|mode| mode.learning_rates.truncate(1));
        (self.seeds, self.budget.tflops, self.budget.seconds, self.budget.timed_steps) = (1, 1e-6, 1e-3, 1);
        self
    }

    /// The model without frames and sparsity of its own, for a vocabulary of `words` entries.
    pub fn base(&self, words: usize) -> ModelConfig {
        self.preset.model.model(1, words)
    }

    /// The clip lengths, shortest first.
    pub fn lengths(&self) -> Vec<usize> {
        self.preset.stages.iter().skip(1).map(|stage| stage.frames).collect()
    }

    /// The multiples of the learning rates that are tried for `mode`.
    pub fn learning_rates<'a>(&'a self, mode: &'a Mode) -> &'a [f64] {
        if mode.learning_rates.is_empty() { &self.tuning.learning_rates } else { &mode.learning_rates }
    }

    /// The modes with rows of `rows`.
    pub fn modes_with(&self, rows: ModeRows) -> impl Iterator<Item = &Mode> {
        self.modes.iter().filter(move |mode| mode.rows == rows)
    }

    /// The mode called `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn mode(&self, name: &str) -> Result<&Mode> {
        let found = self.modes.iter().find(|mode| mode.name == name);
        found.ok_or_else(|| Error::setting("modes", format!("no mode `{name}`"), "report this as a bug"))
    }

    fn validate(&self) -> Result<()> {
        let frames: Vec<usize> = self.preset.stages.iter().map(|stage| stage.frames).collect();
        if frames.len() < 3 || frames.windows(2).any(|pair| pair[0] >= pair[1]) {
            let problem = format!("stages have {frames:?} frames");
            return Err(Error::setting("preset.stages", problem, "give a start and two or more growing lengths"));
        }
        if self.preset.stages.iter().any(|stage| stage.edge.is_some() || stage.node.is_some()) {
            return Err(Error::setting("preset.stages", "a stage has a sparsity", "leave it out: the modes set it"));
        }
        self.check_numbers()?;
        Curriculum { stages: self.preset.stages.clone() }.check_schedules()?;
        let lengths = self.lengths().len();
        for mode in &self.modes {
            mode.check(&self.modes, lengths)?;
            for (length, stage) in self.preset.stages[1..].iter().enumerate() {
                let mut model = stage.model(&self.base(64));
                model.video.sparsity = mode.sparsity(length);
                model.validate()?;
            }
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<()> {
        let Budget { tflops, seconds, on_the_way, matching, timed_steps } = self.budget;
        let counts = [
            ("seeds", self.seeds),
            ("budget.timed_steps", timed_steps),
            ("tuning.learning_rates", self.tuning.learning_rates.len()),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(Error::setting(*key, "there is none", "give one or more"));
        }
        self.matching.check(&self.preset.stages[1])?;
        if self.tuning.seed < self.seeds as u64 {
            let problem = format!("{} is that of a row", self.tuning.seed);
            return Err(Error::setting("tuning.seed", problem, format!("use {} or more", self.seeds)));
        }
        for &rate in &self.tuning.learning_rates {
            check("tuning.learning_rates", rate, 1e-6, 1e6)?;
        }
        check("tuning.share", self.tuning.share, 1e-6, 1.0)?;
        check("budget.tflops", tflops, 1e-9, 1e9)?;
        check("budget.seconds", seconds, 1e-6, 1e9)?;
        check("budget.on_the_way", on_the_way, 0.0, 1.0)?;
        check("budget.matching", matching, 0.0, 1.0)?;
        let ways = (self.lengths().len() - 1) as f64;
        match ways * on_the_way + matching {
            spent if spent < 1.0 => Ok(()),
            spent => {
                let problem = format!("lengths on the way and matching take {spent:.2} of the budget");
                Err(Error::setting("budget.on_the_way", problem, "leave something for the last stage"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ablation::plan::tests::refusal;

    #[test]
    fn the_embedded_plan_can_be_run_and_scaled_down() {
        let plan = LongPlan::load(None).unwrap();
        assert_eq!(plan.lengths(), [8, 16, 32]);
        assert_eq!(plan.modes_with(ModeRows::Headline).count(), 2);
        assert!(plan.modes_with(ModeRows::Remedy).count() >= 4);
        plan.quick().validate().unwrap();
    }

    #[test]
    fn a_plan_that_cannot_work_is_refused() {
        let refused = |from: &str, to: &str| refusal(EMBEDDED, from, to, |file| LongPlan::load(Some(file)).map(drop));
        assert!(refused("frames = 16\n", "frames = 8\n").contains("preset.stages"));
        assert!(refused("seed = 1000", "seed = 2").contains("tuning.seed"));
        assert!(refused("on_the_way = ", "on_the_way = 1").contains("budget.on_the_way"));
        assert!(refused("learning_rate_of = \"hybrid\"", "learning_rate_of = \"hybird\"").contains("hybird"));
        assert!(refused("seeds = ", "seedz = ").contains("seedz"));
        assert!(refused("learning_rates = [0.25", "learning_rates = [-0.25").contains("learning_rates"));
        assert!(refused("timed_steps = 6", "timed_steps = 0").contains("budget.timed_steps"));
        assert!(refused("learning_rate = 2e-3", "learning_rate = -1.0").contains("matching.learning_rate"));
        assert!(refused("name = \"edge\"", "name = \"dense\"").contains("twice"));
        assert!(refused("name = \"edge\"", "name = \"../edge\"").contains("../edge"));
        assert!(refused("name = \"edge\"", "name = \"\"").contains("modes"));
    }
}
