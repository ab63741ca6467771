//! The trainings behind a row: the common start, a stage at each shorter clip length, the row's own, and matching, each
//! with the steps that its share of the budget pays for.

use super::LongPlan;
use super::modes::Mode;
use super::speeds::Speeds;
use crate::ablation::training::START;
use crate::ablation::{Matching, TrainingSpec};
use std::collections::BTreeMap;
use svitt::config::{ModelConfig, Stage, StepsOrEpochs};
use svitt::train::steps_for;
use svitt::{Error, Result};

/// The chosen multiple of the stages' learning rates, by mode; 1 where there is none.
pub type Rates = BTreeMap<String, f64>;

/// What rows have alike.
#[derive(Clone, Copy, Debug)]
pub enum Equal<'a> {
    /// Operations of the video encoder, forward and backward, in 10¹².
    Operations(f64),
    /// Seconds at these step times.
    Seconds(f64, &'a Speeds),
}

impl Equal<'_> {
    /// Steps of `stage` that `share` of the budget pays for, `extra` operations on top of it.
    fn steps(self, mode: &str, stage: &Stage, base: &ModelConfig, share: f64, extra: f64) -> Result<usize> {
        match self {
            Self::Operations(tflops) => steps_for(stage, &stage.model(base), share * tflops * 1e12 + extra, 1),
            Self::Seconds(seconds, speeds) => {
                let key = spec_key(mode, stage);
                let each = speeds.seconds.get(&key).ok_or_else(|| {
                    Error::setting("speeds", format!("no step time of `{key}`"), "report this as a bug")
                })?;
                Ok((share * seconds / each).round().max(1.0) as usize)
            }
        }
    }
}

/// The name of a stage's step time.
pub fn spec_key(mode: &str, stage: &Stage) -> String {
    format!("{mode}-{}{}", stage.frames, if stage.matching_only { "-matching" } else { "" })
}

/// The name of the row of `mode` at `frames` frames; `tag` tells tables apart.
pub fn row_id(mode: &str, frames: usize, tag: &str) -> String {
    format!("{mode}-{frames}{tag}")
}

/// The dense start of every row but single stages.
pub fn start(plan: &LongPlan) -> TrainingSpec {
    let stage = plan.preset.stages[0].clone();
    TrainingSpec { id: START.into(), parent: None, stage, matching: None, number: 0, order_blind: false }
}

/// The trainings behind the row of `mode` at clip length number `length`, the start left out, the row's own last.
///
/// # Errors
/// A mode that is not there, or a step time that was not measured.
pub fn row(
    plan: &LongPlan,
    base: &ModelConfig,
    mode: &Mode,
    length: usize,
    rates: &Rates,
    equal: Equal,
    tag: &str,
) -> Result<Vec<TrainingSpec>> {
    let builder = RowBuilder { plan, base, rates, equal, tag };
    // The longest clips are a row's own alone; of the others there is a stage on the way, too.
    let ways = if mode.single_stage { 0 } else { (length + 1).min(plan.lengths().len() - 1) };
    let before = mode.starts_from.as_deref().map_or(Ok(mode), |name| plan.mode(name))?;
    let mut parent = (!mode.single_stage).then(|| START.to_owned());
    let mut all = Vec::new();
    for way in 0..ways {
        let training = builder.on_the_way(before, way, parent)?;
        parent = Some(training.id.clone());
        all.push(training);
    }
    all.push(builder.last(mode, length, ways, parent)?);
    Ok(all)
}

/// What the trainings of a row share.
struct RowBuilder<'a> {
    plan: &'a LongPlan,
    base: &'a ModelConfig,
    rates: &'a Rates,
    equal: Equal<'a>,
    tag: &'a str,
}

impl RowBuilder<'_> {
    /// Stage number `length` of the clip lengths, with the mode's sparsity and learning rate.
    fn stage(&self, mode: &Mode, length: usize) -> Stage {
        let mut stage = self.plan.preset.stages[1 + length].clone();
        let (sparsity, tuned) = (mode.sparsity(length), mode.learning_rate_of.as_ref().unwrap_or(&mode.name));
        (stage.edge, stage.node) = (sparsity.edge, sparsity.node);
        stage.learning_rate *= self.rates.get(tuned).copied().unwrap_or(1.0);
        stage
    }

    fn on_the_way(&self, mode: &Mode, length: usize, parent: Option<String>) -> Result<TrainingSpec> {
        let mut stage = self.stage(mode, length);
        let steps = self.equal.steps(&mode.name, &stage, self.base, self.plan.budget.on_the_way, 0.0)?;
        stage.length = StepsOrEpochs::Steps(steps);
        let id = format!("{}-{}-way{}", mode.name, stage.frames, self.tag);
        Ok(TrainingSpec { id, parent, stage, matching: None, number: 1 + length, order_blind: false })
    }

    fn last(&self, mode: &Mode, length: usize, ways: usize, parent: Option<String>) -> Result<TrainingSpec> {
        let (budget, lengths) = (&self.plan.budget, self.plan.lengths().len());
        let mut stage = self.stage(mode, length);
        stage.segments.clone_from(&self.plan.segments);
        stage.min_multiplier = self.plan.last_min_multiplier;
        let matching = self.plan.matching.stage(&stage);
        let steps = self.equal.steps(&mode.name, &matching, self.base, budget.matching, 0.0)?;
        let matching = Matching { steps, ..self.plan.matching };
        let share = 1.0 - ways as f64 * budget.on_the_way - budget.matching;
        let extra = if mode.single_stage { start(self.plan).flops(self.base)? } else { 0.0 };
        let steps = self.equal.steps(&mode.name, &stage, self.base, share, extra)?;
        stage.length = StepsOrEpochs::Steps(steps);
        let id = row_id(&mode.name, stage.frames, self.tag);
        let number = 1 + lengths + length;
        Ok(TrainingSpec { id, parent, stage, matching: Some(matching), number, order_blind: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_costs_the_budget_and_the_start() {
        let plan = LongPlan::load(None).unwrap();
        let base = plan.base(64);
        let start = start(&plan).flops(&base).unwrap();
        for mode in &plan.modes {
            for length in 0..3 {
                let all = row(&plan, &base, mode, length, &Rates::default(), Equal::Operations(plan.budget.tflops), "")
                    .unwrap();
                let spent: f64 = all.iter().map(|training| training.flops(&base).unwrap()).sum();
                let given = plan.budget.tflops * 1e12 + if mode.single_stage { start } else { 0.0 };
                assert!((spent / given - 1.0).abs() < 0.05, "{} {length}: {spent:e} of {given:e}", mode.name);
                assert_eq!(all.last().unwrap().stage.segments, plan.segments);
            }
        }
    }

    #[test]
    fn equal_seconds_are_shared_out_by_step_times() {
        let plan = LongPlan::load(None).unwrap();
        let mode = plan.mode("hybrid").unwrap();
        let times = [("hybrid-8", 0.5), ("hybrid-16", 1.0), ("hybrid-32", 2.0), ("hybrid-32-matching", 0.5)];
        let speeds = Speeds { seconds: times.map(|(key, seconds)| (key.to_owned(), seconds)).into() };
        let base = plan.base(64);
        let all = row(&plan, &base, mode, 2, &Rates::default(), Equal::Seconds(1000.0, &speeds), "-seconds").unwrap();
        let steps: Vec<f64> = all.iter().map(|training| training.stage.length.steps(1)).collect();
        let budget = plan.budget;
        let last = 1.0 - 2.0 * budget.on_the_way - budget.matching;
        let expected = [budget.on_the_way / 0.5, budget.on_the_way, last / 2.0].map(|share| (1000.0 * share).round());
        assert_eq!(steps, expected);
        assert_eq!(all[2].matching.unwrap().steps as f64, (1000.0 * budget.matching / 0.5).round());
        assert_eq!(
            all.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(),
            ["hybrid-8-way-seconds", "hybrid-16-way-seconds", "hybrid-32-seconds"]
        );
        let missing = row(&plan, &base, mode, 0, &Rates::default(), Equal::Seconds(1.0, &Speeds::default()), "");
        assert!(missing.unwrap_err().to_string().contains("hybrid-8"));
    }

    #[test]
    fn a_remedy_starts_where_its_mode_does_and_takes_its_learning_rate() {
        let plan = LongPlan::load(None).unwrap();
        let rates = Rates::from([("hybrid".to_owned(), 0.5)]);
        let of = |name: &str| {
            let mode = plan.mode(name).unwrap();
            row(&plan, &plan.base(64), mode, 2, &rates, Equal::Operations(plan.budget.tflops), "").unwrap()
        };
        let (hybrid, top) = (of("hybrid"), of("top"));
        assert_eq!(hybrid[..2], top[..2]);
        assert_eq!(hybrid[2].stage.learning_rate, 0.5 * plan.preset.stages[3].learning_rate);
        assert_eq!(hybrid[2].stage.learning_rate, top[2].stage.learning_rate);
    }
}
