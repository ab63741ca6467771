//! The tables of the comparison: which cells they have, and the trainings of all of them.

use super::LongPlan;
use super::modes::{Mode, ModeRows};
use super::trainings::{Equal, Rates, row, row_id, start};
use crate::ablation::{Cell, TableSpec, TrainingSpec};
use svitt::Result;
use svitt::config::ModelConfig;

/// The name of the table of tried learning rates.
pub const TUNING: &str = "tuning";

/// The name of the table at equal seconds.
pub const SECONDS: &str = "equal-seconds";

/// The name of the table at equal operations.
pub const OPERATIONS: &str = "equal-operations";

/// What the names of cells at equal seconds end with.
const SECONDS_TAG: &str = "-seconds";

/// What the names of cells end with that try `multiple` of the learning rates.
fn tuning_tag(multiple: f64) -> String {
    format!("-lr-{multiple}")
}

/// The tried learning rates: the mode, the multiple, and the cell that tells how it did.
pub fn tries(plan: &LongPlan) -> Vec<(&Mode, f64, Cell)> {
    let longest = plan.lengths().last().copied().unwrap_or_default();
    let tuned = plan.modes.iter().filter(|mode| mode.is_tuned());
    let each = tuned.flat_map(|mode| plan.learning_rates(mode).iter().map(move |&multiple| (mode, multiple)));
    each.map(|(mode, multiple)| {
        let id = row_id(&mode.name, longest, &tuning_tag(multiple));
        (mode, multiple, Cell::trained(&id, false))
    })
    .collect()
}

/// All tables, in the order they are run.
pub fn tables(plan: &LongPlan) -> Vec<TableSpec> {
    let lengths = plan.lengths();
    let longest = lengths.last().copied().unwrap_or_default();
    let at = |mode: &Mode, frames: usize, tag: &str| {
        let cell = Cell::trained(&row_id(&mode.name, frames, tag), mode.rows == ModeRows::Headline);
        (format!("{frames} frames, {}", mode.name), cell)
    };
    let headline = |tag: &str| -> Vec<(String, Cell)> {
        let modes = |frames| plan.modes_with(ModeRows::Headline).map(move |mode| (mode, frames));
        lengths.iter().flat_map(|&frames| modes(frames)).map(|(mode, frames)| at(mode, frames, tag)).collect()
    };
    let others = |rows| plan.modes_with(rows).map(|mode| at(mode, longest, ""));
    let tried = tries(plan).into_iter();
    let budget = &plan.budget;
    let reference = plan.mode("hybrid").ok().map(|mode| at(mode, longest, ""));
    vec![
        TableSpec {
            key: TUNING,
            title: format!("Learning rates tried with seed {}, {longest} frames", plan.tuning.seed),
            rows: tried.map(|(mode, multiple, cell)| (format!("{}, × {multiple}", mode.name), cell)).collect(),
        },
        TableSpec {
            key: OPERATIONS,
            title: format!("Equal operations: {} TFLOPs after the start", budget.tflops),
            rows: headline("").into_iter().chain(others(ModeRows::Longest)).collect(),
        },
        TableSpec {
            key: SECONDS,
            title: format!("Equal seconds: {} after the start", budget.seconds),
            rows: headline(SECONDS_TAG),
        },
        TableSpec {
            key: "remedies",
            title: format!("Remedies at {longest} frames, equal operations"),
            rows: reference.into_iter().chain(others(ModeRows::Remedy)).collect(),
        },
    ]
}

/// The trainings of all tried learning rates.
///
/// # Errors
/// A mode that is not there.
pub fn tuning_trainings(plan: &LongPlan, base: &ModelConfig) -> Result<Vec<TrainingSpec>> {
    let mut all = vec![start(plan)];
    for (mode, multiple, _) in tries(plan) {
        let (rates, equal) = (Rates::from([(mode.name.clone(), multiple)]), plan.tuning.share * plan.budget.tflops);
        let length = plan.lengths().len() - 1;
        add(&mut all, row(plan, base, mode, length, &rates, Equal::Operations(equal), &tuning_tag(multiple))?);
    }
    Ok(all)
}

/// The trainings of all rows; those at equal seconds where `seconds` has the step times.
///
/// # Errors
/// A step time that was not measured.
pub fn row_trainings(
    plan: &LongPlan,
    base: &ModelConfig,
    rates: &Rates,
    seconds: Option<Equal>,
) -> Result<Vec<TrainingSpec>> {
    let mut all = vec![start(plan)];
    let lengths = plan.lengths().len();
    let operations = Some((Equal::Operations(plan.budget.tflops), ""));
    for (equal, tag) in operations.into_iter().chain(seconds.map(|equal| (equal, SECONDS_TAG))) {
        for mode in &plan.modes {
            let shortest = if mode.rows == ModeRows::Headline { 0 } else { lengths - 1 };
            if mode.rows != ModeRows::Headline && tag == SECONDS_TAG {
                continue;
            }
            for length in shortest..lengths {
                add(&mut all, row(plan, base, mode, length, rates, equal, tag)?);
            }
        }
    }
    Ok(all)
}

/// Adds what is not there: rows share what is on their way.
fn add(all: &mut Vec<TrainingSpec>, row: Vec<TrainingSpec>) {
    for training in row {
        if all.iter().all(|known| known.id != training.id) {
            all.push(training);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::speeds::Speeds;
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_cell_has_its_training_and_parents_come_first() {
        let plan = LongPlan::load(None).unwrap();
        let base = plan.base(64);
        let keys = ["dense", "hybrid"].iter().flat_map(|mode| {
            [8, 16, 32].iter().flat_map(move |t| [format!("{mode}-{t}"), format!("{mode}-{t}-matching")])
        });
        let speeds = Speeds { seconds: keys.map(|key| (key, 0.5)).collect::<BTreeMap<_, _>>() };
        let equal = Equal::Seconds(plan.budget.seconds, &speeds);
        let rows = row_trainings(&plan, &base, &Rates::default(), Some(equal)).unwrap();
        let tried = tuning_trainings(&plan, &base).unwrap();
        for all in [&rows, &tried] {
            for (place, training) in all.iter().enumerate() {
                let parent = training.parent.as_deref();
                assert!(parent.is_none_or(|id| all[..place].iter().any(|t| t.id == id)), "{}", training.id);
            }
        }
        for table in tables(&plan) {
            let all = if table.key == TUNING { &tried } else { &rows };
            for (label, cell) in &table.rows {
                assert!(all.iter().any(|training| training.id == cell.training), "{}: {label}", table.key);
            }
        }
        let headline = tables(&plan).into_iter().flat_map(|t| t.rows).filter(|(_, cell)| cell.headline).count();
        assert_eq!(headline, 6 + 6 + 1, "dense and hybrid at three lengths, twice, and the reference of the remedies");
    }
}
