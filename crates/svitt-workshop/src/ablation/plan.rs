//! The settings that all cells share, from a TOML file.

use serde::{Deserialize, Serialize};
use std::path::Path;
use svitt::config::{
    CrossSparsity, Curriculum, EdgeSparsity, ModelConfig, NodeSparsity, PretrainPreset, Selection, Sparsity, Stage,
    StepsOrEpochs, check_keep_rate,
};
use svitt::{Error, Result};

/// The plan that comes with the crate.
const EMBEDDED: &str = include_str!("../../data/ablations.toml");

/// Models and sparsities of a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AblationPlan {
    /// Runs of every headline cell, seeds 0, 1, …; other cells are run with seed 0.
    pub seeds: usize,
    /// (K_l, K_r, G), the paper's (1, 3, 56).
    pub edge: EdgeSparsity,
    /// The wider graph of Table 1, the paper's (1, 5, 56).
    pub wide_edge: EdgeSparsity,
    /// Layers after which tokens are pruned.
    pub prune_layers: Vec<usize>,
    /// q_v of the hybrid models, by clip length.
    pub hybrid_rates: [f64; 3],
    /// q_v of the models with node sparsity alone.
    pub node_rates: [f64; 3],
    /// q_m of Table 1.
    pub cross: CrossSparsity,
    /// Block sizes G of Figure 4b.
    pub blocks: Vec<usize>,
    /// One checkpoint under many keep rates.
    pub budgets: Budgets,
    /// A stage of matching alone after every training but the start and frames fused late; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matching: Option<Matching>,
    /// Model and stages: a dense start, then three clip lengths, all given without sparsity.
    pub preset: PretrainPreset,
}

/// Keep rates of the longest clips: drawn anew for every training step, beside models trained with one of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// The range q_v is drawn from.
    pub keep_range: [f64; 2],
    /// q_v at test time.
    pub rates: Vec<f64>,
    /// q_v of models trained with that rate alone; the hybrid model's own need not be named.
    pub fixed: Vec<f64>,
}

/// The stage of matching alone after a training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matching {
    /// Optimizer steps; where a budget gives them, this is ignored.
    #[serde(default)]
    pub steps: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// The cosine ends at this share of the peak.
    pub min_multiplier: f64,
    /// How much negatives prefer similar pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_sharpness: Option<f64>,
}

impl Matching {
    /// The stage after `stage`.
    pub fn stage(&self, stage: &Stage) -> Stage {
        Stage {
            matching_only: true,
            length: StepsOrEpochs::Steps(self.steps),
            learning_rate: self.learning_rate,
            min_multiplier: self.min_multiplier,
            negative_sharpness: self.negative_sharpness.unwrap_or(stage.negative_sharpness),
            ..stage.clone()
        }
    }

    /// Checks learning rates and shares; `steps` may follow from a budget later.
    ///
    /// # Errors
    /// Names the setting.
    pub fn check(&self, stage: &Stage) -> Result<()> {
        let named = Stage { name: "matching".into(), ..Self { steps: self.steps.max(1), ..*self }.stage(stage) };
        Curriculum { stages: vec![named] }.check_schedules()
    }
}

impl AblationPlan {
    /// The same, scaled down to seconds: a model of one head, one step per stage and a gallery of 36 clips.
    #[must_use]
    pub fn quick(mut self) -> Self {
        self.preset.gallery_programs = Some(2);
        self.preset.model.hidden = Some(16);
        for stage in &mut self.preset.stages {
            (stage.length, stage.batch, stage.clips_per_object) = (StepsOrEpochs::Steps(1), 2, 1);
        }
        if let Some(matching) = &mut self.matching {
            matching.steps = 1;
        }
        self
    }

    /// The embedded plan, or the one in `file`.
    ///
    /// # Errors
    /// A file that cannot be read, a key that does not exist, or settings that cannot work together.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        let plan: Self = match file {
            None => toml::from_str(EMBEDDED)
                .map_err(|e| Error::setting("ablations", e.to_string(), "report this as a bug"))?,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, &e))?;
                let wrong = |e: toml::de::Error| {
                    Error::file(
                        path,
                        e.to_string().trim_end().to_owned(),
                        "see crates/svitt-workshop/data/ablations.toml",
                    )
                };
                toml::from_str(&text).map_err(wrong)?
            }
        };
        plan.validate().map(|()| plan)
    }

    /// The model without frames and sparsity of its own, for a vocabulary of `words` entries.
    pub fn base(&self, words: usize) -> ModelConfig {
        self.preset.model.model(1, words)
    }

    /// The three clip lengths.
    pub fn lengths(&self) -> [usize; 3] {
        [1, 2, 3].map(|number| self.preset.stages[number].frames)
    }

    /// The training whose model is sparsified at test time: dense, at the first clip length.
    pub fn dense(&self) -> String {
        super::training::name("dense", &self.preset.stages[1])
    }

    /// Node sparsity of keep rate `rate`; none at 1.
    pub fn node(&self, rate: f64, selection: Selection) -> Option<NodeSparsity> {
        (rate < 1.0).then(|| NodeSparsity { keep_rate: rate, layers: self.prune_layers.clone(), selection })
    }

    /// The sparsity of `mode` (dense, edge, node, hybrid) at clip length number `length` of three.
    pub fn sparsity(&self, mode: &str, length: usize) -> Sparsity {
        let rate = if mode == "hybrid" { self.hybrid_rates[length] } else { self.node_rates[length] };
        Sparsity {
            edge: matches!(mode, "edge" | "hybrid").then_some(self.edge),
            node: self.node(rate, Selection::ClassAttention).filter(|_| matches!(mode, "node" | "hybrid")),
        }
    }

    fn validate(&self) -> Result<()> {
        let frames: Vec<usize> = self.preset.stages.iter().map(|stage| stage.frames).collect();
        // The start may be as long as the first length: it differs from it in what its clips show.
        if frames.len() != 4 || frames[0] > frames[1] || frames[1..].windows(2).any(|pair| pair[0] >= pair[1]) {
            let problem = format!("stages have {frames:?} frames");
            return Err(Error::setting("preset.stages", problem, "give a start and three growing lengths"));
        }
        if self.seeds == 0 {
            return Err(Error::setting("seeds", "is 0", "use 1 or more"));
        }
        if self.preset.stages.iter().any(|stage| stage.edge.is_some() || stage.node.is_some()) {
            return Err(Error::setting("preset.stages", "a stage has a sparsity", "leave it out: the grid sets it"));
        }
        let Budgets { keep_range, rates, fixed } = &self.budgets;
        for &rate in rates.iter().chain(fixed).chain(keep_range) {
            check_keep_rate("budgets", rate)?;
        }
        let stages = self.budget_models().into_iter().map(|training| training.stage).collect();
        Curriculum { stages }.check_schedules()?;
        self.matching.iter().try_for_each(|matching| matching.check(&self.preset.stages[1]))?;
        self.check_sparsities()
    }

    /// Checks every mode at its clip lengths, and the block sizes of Figure 4b.
    fn check_sparsities(&self) -> Result<()> {
        for &block in &self.blocks {
            let mut model = self.preset.stages[1].model(&self.base(64));
            model.video.sparsity = Sparsity { edge: Some(EdgeSparsity { block, ..self.edge }), node: None };
            model.validate()?;
        }
        for (length, stage) in self.preset.stages[1..].iter().enumerate() {
            for mode in ["edge", "node", "hybrid"] {
                let mut model = stage.model(&self.base(64));
                model.video.sparsity = self.sparsity(mode, length);
                model.text.cross = Some(self.cross.clone());
                model.validate()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn the_embedded_plan_can_be_run() {
        let plan = AblationPlan::load(None).unwrap();
        assert_eq!(plan.sparsity("dense", 0), Sparsity::default());
        assert_eq!((plan.sparsity("hybrid", 2).mode(), plan.sparsity("node", 1).mode()), ("hybrid", "node"));
        let rates = |rates: [f64; 3]| rates.windows(2).all(|pair| pair[0] >= pair[1]);
        assert!(rates(plan.hybrid_rates) && rates(plan.node_rates));
    }

    /// What `load` says of the plan `embedded` with `to` in place of the first `from`.
    pub(in crate::ablation) fn refusal(
        embedded: &str,
        from: &str,
        to: &str,
        load: impl Fn(&Path) -> Result<()>,
    ) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plan.toml");
        assert!(embedded.contains(from), "{from}");
        std::fs::write(&file, embedded.replacen(from, to, 1)).unwrap();
        load(&file).unwrap_err().to_string()
    }

    #[test]
    fn a_plan_that_cannot_work_is_refused() {
        let refused =
            |from: &str, to: &str| refusal(EMBEDDED, from, to, |file| AblationPlan::load(Some(file)).map(drop));
        assert!(refused("frames = 8\n", "frames = 5\n").contains("preset.stages"));
        assert!(refused("keep_range = [0.3", "keep_range = [0.0").contains("budgets"));
        assert!(refused("keep_range = [0.3, 1.0]", "keep_range = [1.0, 0.3]").contains("keep_range"));
        assert!(refused("seeds = 3", "seeds = 0").contains("seeds"));
        assert!(refused("blocks = [2", "blocks = [0").contains("block"));
        assert!(
            refused("negative_sharpness = 0.0", "negative_sharpness = 2.0").contains("matching.negative_sharpness")
        );
        assert!(refused("learning_rate = 2e-3, min", "learning_rate = nan, min").contains("matching.learning_rate"));
        assert!(refused("seeds = 3", "seedz = 3").contains("seedz"));
        assert!(refused("prune_layers = [", "prune_layers = [77, ").contains("77"));
    }
}
