//! A run as a list of stages with growing clips and growing sparsity (paper, equations 14 to 16).

use super::{CrossSparsity, EdgeSparsity, ModelConfig, NodeSparsity, Sparsity};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How much negatives of the matching loss prefer similar pairs, as published: they are drawn in proportion to exp(s/τ). 0
/// is the published `itm_hard_neg: false`.
pub const PUBLISHED_SHARPNESS: f64 = 1.0;

/// How long something lasts: passes over the data, or optimizer steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepsOrEpochs {
    /// Passes over the data set; fractions are allowed.
    Epochs(f64),
    /// Optimizer steps.
    Steps(usize),
}

impl StepsOrEpochs {
    /// Optimizer steps, possibly fractional, at `steps_per_epoch`.
    pub fn steps(self, steps_per_epoch: usize) -> f64 {
        match self {
            Self::Epochs(epochs) => epochs * steps_per_epoch as f64,
            Self::Steps(steps) => steps as f64,
        }
    }
}

/// How position tables are taken to a stage's clip length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableGrowth {
    /// As published: time offsets are rescaled, for more frames out of the same seconds
    /// (docs/model.md, "Position tables").
    #[default]
    Rescale,
    /// Offsets keep their meaning, new ones take the outermost known one's values: for more seconds at the same rate,
    /// as in `shapes`, whose target moves one cell per frame at every clip length.
    Extend,
}

/// One stage: a clip length, a sparsity, and an optimizer schedule of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// What the stage is called in tables and folders' reports.
    pub name: String,
    /// T: frames per clip.
    pub frames: usize,
    /// (K_l, K_r, G) of the video encoder; absent is dense attention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<EdgeSparsity>,
    /// q_v and its layers; absent is q = 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeSparsity>,
    /// Draws q_v anew for every step, uniformly between these two rates, at the layers of `node`: one checkpoint then
    /// serves many budgets (`--keep`, `--budget-ms`). Equation 15 and the reports go by `node.keep_rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_range: Option<[f64; 2]>,
    /// Trains the fusion encoder and the matching head alone, by the matching loss: what the two encoders rank by stays
    /// as it is. The clips are those of the stage before, and equations 14 to 16 do not ask about it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub matching_only: bool,
    /// Negatives of the matching loss are drawn in proportion to exp(this · s/τ): 1 as published; below it the matching
    /// head has to know by itself what the two encoders know, and ranks better alone; 0 draws all alike.
    #[serde(default = "published_sharpness", skip_serializing_if = "is_published_sharpness")]
    pub negative_sharpness: f64,
    /// q_m and its layers; absent is q_m = 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross: Option<CrossSparsity>,
    /// How long the stage lasts.
    pub length: StepsOrEpochs,
    /// Linear warm-up at its beginning.
    #[serde(default = "no_warmup")]
    pub warmup: StepsOrEpochs,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// The cosine ends at this share of the peak, and the warm-up starts there.
    #[serde(default = "default_min_multiplier")]
    pub min_multiplier: f64,
    /// Pairs per forward pass; also the pool of contrastive negatives.
    pub batch: usize,
    /// Forward passes whose mean gradient makes one optimizer step.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Largest global gradient norm; absent is no clipping, as published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_norm: Option<f64>,
    /// AdamW's decay of tensors with two dimensions or more.
    #[serde(default = "default_weight_decay")]
    pub weight_decay: f64,
    /// AdamW's decay of the second moment. A short run wants it below the published .999: the large gradients of the
    /// first hundred steps otherwise hold back all later ones.
    #[serde(default = "default_beta2")]
    pub beta2: f64,
    /// How position tables come from the stage before.
    #[serde(default)]
    pub tables: TableGrowth,
    /// Program lengths drawn from the `shapes` benchmark; ignored with `--annotations`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<usize>,
    /// How many clips of a `shapes` batch show the same object, with different programs: above 1, the batch holds the
    /// negatives that only time tells apart. Ignored with `--annotations`.
    #[serde(default = "one")]
    pub clips_per_object: usize,
}

fn no_warmup() -> StepsOrEpochs {
    StepsOrEpochs::Steps(0)
}

fn published_sharpness() -> f64 {
    PUBLISHED_SHARPNESS
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_published_sharpness(sharpness: &f64) -> bool {
    *sharpness == PUBLISHED_SHARPNESS
}

fn default_min_multiplier() -> f64 {
    0.01
}

fn default_weight_decay() -> f64 {
    0.02
}

fn default_beta2() -> f64 {
    0.999
}

fn one() -> usize {
    1
}

impl Stage {
    /// Edge and node sparsity together.
    pub fn sparsity(&self) -> Sparsity {
        Sparsity { edge: self.edge, node: self.node.clone() }
    }

    /// q: the keep rate, 1 for a stage that prunes nothing.
    pub fn keep_rate(&self) -> f64 {
        self.node.as_ref().map_or(1.0, |node| node.keep_rate)
    }

    /// `model` as this stage trains it.
    pub fn model(&self, model: &ModelConfig) -> ModelConfig {
        let mut model = model.clone();
        model.video.frames = self.frames;
        model.video.sparsity = self.sparsity();
        model.text.cross.clone_from(&self.cross);
        model
    }

    fn validate(&self, model: &ModelConfig) -> Result<()> {
        self.check_schedule()?;
        self.model(model).validate().map_err(|error| match error {
            Error::Setting { setting, problem, remedy } => Error::setting(self.setting(&setting), problem, remedy),
            other => other,
        })
    }

    fn setting(&self, key: &str) -> String {
        format!("stages.{}.{key}", self.name)
    }

    fn check_schedule(&self) -> Result<()> {
        super::ranges::stage(self)?;
        let positive = [
            ("frames", self.frames),
            ("batch", self.batch),
            ("accumulate", self.accumulate),
            ("clips_per_object", self.clips_per_object),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::setting(self.setting(key), "is 0", "use 1 or more"));
        }
        let in_range = [
            ("learning_rate", self.learning_rate, 0.0, f64::MAX),
            ("min_multiplier", self.min_multiplier, 0.0, 1.0),
            ("beta2", self.beta2, 0.0, 1.0),
            ("negative_sharpness", self.negative_sharpness, 0.0, 1.0),
            ("weight_decay", self.weight_decay, 0.0, f64::MAX),
            ("length", self.length.steps(1), f64::MIN_POSITIVE, f64::MAX),
            ("warmup", self.warmup.steps(1), 0.0, f64::MAX),
            ("max_norm", self.max_norm.unwrap_or(1.0), f64::MIN_POSITIVE, f64::MAX),
        ];
        for (key, value, low, high) in in_range {
            if !(low..=high).contains(&value) {
                let remedy = if high == 1.0 { "use a number from 0 to 1" } else { "use a number above 0" };
                return Err(Error::setting(self.setting(key), format!("{value} cannot work"), remedy));
            }
        }
        self.check_keep_range()
    }

    fn check_keep_range(&self) -> Result<()> {
        let problem = match (self.keep_range, &self.node) {
            (None, _) => return Ok(()),
            (Some(_), None) => "needs `node`, whose layers prune".to_owned(),
            (Some([low, high]), _) if low > 0.0 && low < high && high <= 1.0 => return Ok(()),
            (Some(range), _) => format!("{range:?} is no range of keep rates"),
        };
        Err(Error::setting(self.setting("keep_range"), problem, "use two rising numbers above 0 and up to 1"))
    }
}

/// Stages in order; each starts from the weights of the one before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curriculum {
    /// At least one.
    pub stages: Vec<Stage>,
}

impl Curriculum {
    /// Checks every stage for `model`, then equations 14 to 16 between neighbours.
    ///
    /// # Errors
    /// No stage, a stage with impossible settings, or neighbouring stages that violate an equation: the error names the
    /// equation, both stages and their numbers.
    pub fn validate(&self, model: &ModelConfig) -> Result<()> {
        if self.stages.is_empty() {
            return Err(Error::setting("stages", "the list is empty", "give at least one stage"));
        }
        self.stages.iter().try_for_each(|stage| stage.validate(model))?;
        self.stages.windows(2).try_for_each(|pair| check_matching(&pair[0], &pair[1]))?;
        let growing: Vec<&Stage> = self.stages.iter().filter(|stage| !stage.matching_only).collect();
        growing.windows(2).try_for_each(|pair| self.check_neighbours(pair[0], pair[1], model))
    }

    /// Checks what does not depend on the model: clip lengths, batches, learning rates.
    ///
    /// # Errors
    /// Names the stage and the setting.
    pub fn check_schedules(&self) -> Result<()> {
        self.stages.iter().try_for_each(Stage::check_schedule)
    }

    /// K_l + K_r of a stage; a dense one sees all its blocks. Its block size is that of the first sparse stage, or
    /// one frame where every stage is dense.
    pub fn blocks_seen(&self, stage: &Stage, model: &ModelConfig) -> usize {
        let frame = model.video.grid() * model.video.grid();
        match &stage.edge {
            Some(edge) => edge.local + edge.random,
            None => {
                let block = self.stages.iter().find_map(|s| s.edge).map_or(frame, |edge| edge.block);
                (stage.frames * frame).div_ceil(block)
            }
        }
    }

    fn check_neighbours(&self, before: &Stage, after: &Stage, model: &ModelConfig) -> Result<()> {
        let pair = format!("`{}` and then `{}`", before.name, after.name);
        if before.frames >= after.frames {
            let problem = format!(
                "stages {pair} have {} and {} frames, but clips must grow: T_1 < T_2 (equation 14)",
                before.frames, after.frames
            );
            return Err(Error::setting("stages.frames", problem, "give each stage more frames than the one before"));
        }
        let (q_before, q_after) = (before.keep_rate(), after.keep_rate());
        if q_before <= q_after {
            let problem = format!(
                "stages {pair} keep {q_before} and {q_after} of their tokens, but keep rates must fall: q_1 > q_2 \
                 (equation 15)"
            );
            return Err(Error::setting("stages.node.keep_rate", problem, "lower the later stage's keep rate"));
        }
        let (k_before, k_after) = (self.blocks_seen(before, model), self.blocks_seen(after, model));
        if k_before * after.frames <= k_after * before.frames {
            let problem = format!(
                "stages {pair} attend to {k_before} blocks over {} frames and {k_after} over {}, but blocks per frame \
                 must fall: (K_l + K_r)/T (equation 16)",
                before.frames, after.frames
            );
            return Err(Error::setting("stages.edge", problem, "lower K_l + K_r of the later stage, or lengthen it"));
        }
        Ok(())
    }
}

/// A stage that trains matching alone sees the clips as the encoders before it learned to.
fn check_matching(before: &Stage, after: &Stage) -> Result<()> {
    let same = (before.frames, before.sparsity()) == (after.frames, after.sparsity());
    if !after.matching_only || same {
        return Ok(());
    }
    let problem = format!("is not that of stage `{}`, whose encoders it leaves as they are", before.name);
    Err(Error::setting(after.setting("edge"), problem, "repeat its frames, edge and node"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Selection;

    fn stage(name: &str, frames: usize, edge: Option<(usize, usize, usize)>, keep_rate: f64) -> Stage {
        let text = format!("name='{name}'\nframes={frames}\nlength={{steps=7}}\nlearning_rate=1e-3\nbatch=5");
        let mut stage: Stage = toml::from_str(&text).unwrap();
        stage.edge = edge.map(|(local, random, block)| EdgeSparsity::new(local, random, block));
        let selection = Selection::ClassAttention;
        stage.node = (keep_rate < 1.0).then(|| NodeSparsity { keep_rate, layers: vec![3, 6, 9], selection });
        stage
    }

    fn check(stages: Vec<Stage>) -> String {
        let checked = Curriculum { stages }.validate(&ModelConfig::base(4));
        checked.map_or_else(|error| error.to_string(), |()| "fine".into())
    }

    #[test]
    fn the_papers_curriculum_obeys_all_three_equations() {
        let sparse = Some((1, 3, 56));
        let paper = vec![
            stage("a", 1, None, 1.0),
            stage("b", 4, sparse, 0.7),
            stage("c", 8, sparse, 0.6),
            stage("d", 16, sparse, 0.5),
        ];
        assert_eq!(check(paper.clone()), "fine");
        let curriculum = Curriculum { stages: paper };
        let seen: Vec<usize> =
            curriculum.stages.iter().map(|s| curriculum.blocks_seen(s, &ModelConfig::base(4))).collect();
        assert_eq!(seen, [4, 4, 4, 4], "196 patches are four blocks of 56");
    }

    #[test]
    fn a_stage_of_matching_alone_repeats_the_one_before() {
        let sparse = Some((1, 3, 56));
        let mut stages = vec![stage("a", 4, sparse, 0.7), stage("b", 4, sparse, 0.7), stage("c", 8, sparse, 0.6)];
        assert!(check(stages.clone()).contains("equation 14"));
        stages[1].matching_only = true;
        assert_eq!(check(stages.clone()), "fine");
        stages[1].frames = 3;
        assert!(check(stages).contains("`a`, whose encoders"));
    }

    #[test]
    fn each_equation_has_its_error() {
        let sparse = Some((1, 3, 56));
        let shrinking = check(vec![stage("long", 8, sparse, 0.7), stage("short", 4, sparse, 0.6)]);
        assert!(shrinking.contains("equation 14") && shrinking.contains("`long` and then `short`"), "{shrinking}");
        let flat = check(vec![stage("a", 4, sparse, 0.7), stage("b", 8, sparse, 0.7)]);
        assert!(flat.contains("equation 15") && flat.contains("0.7 and 0.7"), "{flat}");
        let denser = check(vec![stage("a", 4, Some((1, 3, 56)), 0.7), stage("b", 8, Some((1, 7, 56)), 0.6)]);
        assert!(denser.contains("equation 16") && denser.contains("8 over 8"), "{denser}");
        assert!(check(vec![stage("a", 4, None, 1.0), stage("b", 8, None, 0.7)]).contains("equation 16"));
        assert!(check(vec![]).contains("empty"));
    }

    #[test]
    fn a_stages_own_settings_are_checked_and_named() {
        let bad = |change: fn(&mut Stage)| {
            let mut only = stage("only", 4, Some((1, 3, 56)), 0.7);
            change(&mut only);
            check(vec![only])
        };
        assert!(bad(|s| s.batch = 0).contains("stages.only.batch"));
        assert!(bad(|s| s.learning_rate = f64::NAN).contains("stages.only.learning_rate"));
        assert!(bad(|s| s.min_multiplier = 1.5).contains("from 0 to 1"));
        assert!(bad(|s| s.length = StepsOrEpochs::Epochs(0.0)).contains("stages.only.length"));
        assert!(bad(|s| s.edge = Some(EdgeSparsity::new(2, 1, 56))).contains("stages.only.edge.local"));
        let unknown = toml::from_str::<Stage>("name='a'\nframez=4").unwrap_err().to_string();
        assert!(unknown.contains("framez"), "{unknown}");
    }

    #[test]
    fn spans_are_steps_or_epochs() {
        assert_eq!(StepsOrEpochs::Epochs(2.5).steps(40), 100.0);
        assert_eq!(StepsOrEpochs::Steps(7).steps(40), 7.0);
    }
}
