//! The models of a grid, each trained for one stage from the weights of another or from fresh ones.

use super::{AblationPlan, Matching};
use serde::Serialize;
use svitt::Result;
use svitt::config::{ModelConfig, Selection, Stage, StepsOrEpochs};
use svitt::train::{steps_for, training_flops};

/// One stage of training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainingSpec {
    /// Its name in files and tables.
    pub id: String,
    /// The training whose weights it starts from; none: fresh ones.
    pub parent: Option<String>,
    /// The stage, sparsity and steps included.
    pub stage: Stage,
    /// A stage of matching alone after it, which leaves what the two encoders rank by as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matching: Option<Matching>,
    /// Which stage of the plan it has its data from.
    pub number: usize,
    /// Frames are encoded one by one and their features averaged.
    pub order_blind: bool,
}

/// What Table 2 compares.
pub const MODES: [&str; 4] = ["dense", "edge", "node", "hybrid"];

/// The dense first stage of every expansion.
pub const START: &str = "start";

impl TrainingSpec {
    /// The model it trains.
    pub fn model(&self, base: &ModelConfig) -> ModelConfig {
        let frames = if self.order_blind { 1 } else { self.stage.frames };
        Stage { frames, ..self.stage.clone() }.model(base)
    }

    /// The stage of matching after it.
    pub fn matching_stage(&self) -> Option<Stage> {
        self.matching.as_ref().map(|matching| matching.stage(&self.stage))
    }

    /// Operations of the video encoder over all its steps, forward and backward.
    ///
    /// # Errors
    /// A stage whose steps are not known.
    pub fn flops(&self, base: &ModelConfig) -> Result<f64> {
        let passes = if self.order_blind { self.stage.frames as f64 } else { 1.0 };
        let stages = std::iter::once(self.stage.clone()).chain(self.matching_stage());
        let each = stages.map(|stage| training_flops(&self.model(base), &stage));
        Ok(passes * each.sum::<Result<f64>>()?)
    }
}

impl AblationPlan {
    /// All trainings of the grid, parents first.
    ///
    /// # Errors
    /// Stages whose steps are not known.
    pub fn trainings(&self, base: &ModelConfig) -> Result<Vec<TrainingSpec>> {
        let stages = &self.preset.stages;
        let first = Stage { cross: None, ..stages[0].clone() };
        let mut all = vec![TrainingSpec {
            id: START.into(),
            parent: None,
            stage: first,
            matching: None,
            number: 0,
            order_blind: false,
        }];
        for mode in MODES {
            for number in 1..stages.len() {
                let parent = if number == 1 { START.into() } else { name(mode, &stages[number - 1]) };
                all.push(self.expanded(mode, number, parent));
            }
        }
        let mut spent = all[0].flops(base)?;
        for (number, stage) in stages.iter().enumerate().skip(1) {
            let hybrid = name("hybrid", stage);
            spent += of(&all, &hybrid).map_or(Ok(0.0), |training| training.flops(base))?;
            let mut single = self.expanded("hybrid", number, String::new());
            (single.id, single.parent) = (name("single", &single.stage), None);
            let matching = TrainingSpec { stage: one_step(&single.stage), ..single.clone() }.flops(base)?;
            let steps = steps_for(&single.stage, &single.model(base), spent - matching, 1)?;
            single.stage.length = StepsOrEpochs::Steps(steps);
            all.push(single);
        }
        all.push(self.random_selection());
        all.extend(self.budget_models());
        let mut late = self.expanded("dense", 3, String::new());
        (late.id, late.parent, late.order_blind) = (name("late-fusion", &late.stage), None, true);
        // Its own losses train its encoder, whatever the stage says.
        late.matching = None;
        let steps = steps_for(&late.stage, &late.model(base), spent, late.stage.frames)?;
        late.stage.length = StepsOrEpochs::Steps(steps);
        all.push(late);
        Ok(all)
    }

    fn expanded(&self, mode: &str, number: usize, parent: String) -> TrainingSpec {
        let mut stage = self.preset.stages[number].clone();
        let sparsity = self.sparsity(mode, number - 1);
        (stage.edge, stage.node) = (sparsity.edge, sparsity.node);
        TrainingSpec {
            id: name(mode, &stage),
            parent: Some(parent),
            stage,
            matching: self.matching,
            number,
            order_blind: false,
        }
    }

    /// The last hybrid stage with a keep rate per step, and with each of the fixed ones.
    pub(super) fn budget_models(&self) -> Vec<TrainingSpec> {
        let last = self.expanded("hybrid", 3, name("hybrid", &self.preset.stages[2]));
        let mut any = TrainingSpec { id: budget_name(None, &last.stage), ..last.clone() };
        any.stage.keep_range = Some(self.budgets.keep_range);
        let fixed = self.budgets.fixed.iter().map(|&rate| {
            let mut one = TrainingSpec { id: budget_name(Some(rate), &last.stage), ..last.clone() };
            one.stage.node = self.node(rate, Selection::ClassAttention);
            one
        });
        std::iter::once(any).chain(fixed).collect()
    }

    /// The second hybrid stage with random token selection.
    fn random_selection(&self) -> TrainingSpec {
        let mut random = self.expanded("hybrid", 2, name("hybrid", &self.preset.stages[1]));
        random.id = name("random-selection", &random.stage);
        random.stage.node.iter_mut().for_each(|node| node.selection = Selection::Random);
        random
    }
}

/// `stage` with one step, which is next to none.
fn one_step(stage: &Stage) -> Stage {
    Stage { length: StepsOrEpochs::Steps(1), ..stage.clone() }
}

/// The training of that name.
pub fn of<'a>(all: &'a [TrainingSpec], id: &str) -> Option<&'a TrainingSpec> {
    all.iter().find(|training| training.id == id)
}

/// `mode` at the clip length of `stage`.
pub fn name(mode: &str, stage: &Stage) -> String {
    format!("{mode}-{}", stage.frames)
}

/// The model of `stage` that is trained with keep rate `rate` alone, or with all of them.
pub fn budget_name(rate: Option<f64>, stage: &Stage) -> String {
    match rate {
        Some(rate) => format!("fixed-{rate}-{}", stage.frames),
        None => format!("any-rate-{}", stage.frames),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_stages_cost_what_their_expansion_costs() {
        let plan = AblationPlan::load(None).unwrap();
        let base = plan.base(64);
        let all = plan.trainings(&base).unwrap();
        assert_eq!(all.len(), 1 + 12 + 3 + 2 + 1 + plan.budgets.fixed.len());
        let flops = |id: &str| of(&all, id).unwrap().flops(&base).unwrap();
        let lengths = plan.lengths();
        let mut chain = flops(START);
        for frames in lengths {
            chain += flops(&format!("hybrid-{frames}"));
            let single = flops(&format!("single-{frames}"));
            assert!((single / chain - 1.0).abs() < 0.02, "{frames}: {single:e} against {chain:e}");
        }
        let late = flops(&format!("late-fusion-{}", lengths[2]));
        assert!((late / chain - 1.0).abs() < 0.02, "{late:e} against {chain:e}");
    }

    #[test]
    fn parents_come_first() {
        let plan = AblationPlan::load(None).unwrap();
        let all = plan.trainings(&plan.base(64)).unwrap();
        for (place, training) in all.iter().enumerate() {
            let parent = training.parent.as_deref();
            assert!(parent.is_none_or(|parent| of(&all[..place], parent).is_some()), "{}", training.id);
        }
    }
}
