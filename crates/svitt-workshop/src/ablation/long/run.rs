//! Chooses learning rates, times steps, and runs the rows.

use super::LongPlan;
use super::figures;
use super::rows::{SECONDS, TUNING, row_trainings, tables, tries, tuning_trainings};
use super::speeds::Speeds;
use super::trainings::{Equal, Rates};
use crate::ablation::grid::GridSettings;
use crate::ablation::run::{run_tables, wanted};
use crate::ablation::{AblationOptions, AblationSummary, Measurement, TableSpec};
use svitt::Result;
use svitt::train::TrainingData;
use svitt_ops::TrainBackend;

/// Runs every cell of `plan` that is not there yet: first the learning rates, which all rows depend on.
///
/// # Errors
/// As [`crate::ablation::ablate`].
pub fn ablate<B: TrainBackend>(
    plan: &LongPlan,
    options: &AblationOptions,
    device: &B::Device,
) -> Result<AblationSummary> {
    let wanted = wanted(options, tables(plan))?;
    let base = plan.base(TrainingData::shapes(&plan.preset, 0)?.tokenizer.vocab_size());
    let settings = |trainings| GridSettings { preset: &plan.preset, base: base.clone(), trainings, given: None };
    let mut summary = AblationSummary::default();
    let tried: Vec<TableSpec> = tables(plan).into_iter().filter(|table| table.key == TUNING).collect();
    let tuning = settings(tuning_trainings(plan, &base)?);
    run_tables::<B>(options, &tuning, &tried, std::iter::once(plan.tuning.seed), &mut summary, device)?;
    let rates = chosen(plan, &summary);
    let rows: Vec<TableSpec> = wanted.into_iter().filter(|table| table.key != TUNING).collect();
    let speeds = match rows.iter().any(|table| table.key == SECONDS) {
        true => Some(Speeds::measure::<B>(plan, &base, options, device)?),
        false => None,
    };
    let seconds = speeds.as_ref().map(|speeds| Equal::Seconds(plan.budget.seconds, speeds));
    let settings = settings(row_trainings(plan, &base, &rates, seconds)?);
    let seeds = options.seeds.unwrap_or(plan.seeds).max(1) as u64;
    run_tables::<B>(options, &settings, &rows, 0..seeds, &mut summary, device)?;
    figures::write(&summary, &options.out)?;
    Ok(summary)
}

/// The mean of R@1, 5 and 10 by the two encoders: R@1 alone cannot tell models apart that have learned little.
fn score(found: &Measurement) -> f64 {
    let scores = &found.report.scores;
    (scores.r1 + scores.r5 + scores.r10) / 3.0
}

/// The best learning rate of every mode; of equal ones the first.
fn chosen(plan: &LongPlan, summary: &AblationSummary) -> Rates {
    let found = |cell: &str| {
        let rows = summary.tables.iter().filter(|table| table.key == TUNING).flat_map(|table| &table.rows);
        rows.flat_map(|row| &row.measurements).find(|found| found.cell == cell).map(score)
    };
    let mut best: std::collections::BTreeMap<String, (f64, f64)> = Default::default();
    for (mode, multiple, cell) in tries(plan) {
        let score = found(&cell.id).unwrap_or(f64::NEG_INFINITY);
        let known = best.entry(mode.name.clone()).or_insert((multiple, score));
        if score > known.1 {
            *known = (multiple, score);
        }
    }
    best.into_iter().map(|(mode, (multiple, _))| (mode, multiple)).collect()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::ablation::{Plan, ablate};
    use std::path::Path;
    use svitt::train::{StopSignal, TrainEvents};

    type B = burn::backend::Autodiff<burn_flex::Flex>;

    fn options(out: &Path, only: &[&str]) -> AblationOptions {
        let mut plan = LongPlan::load(None).unwrap().quick();
        // One mode of every kind: headline, longest, remedy, and one that starts from another.
        plan.modes.retain(|mode| ["dense", "hybrid", "single-stage", "top"].contains(&mode.name.as_str()));
        plan.preset.stages.truncate(3);
        for mode in &mut plan.modes {
            mode.edge.truncate(2);
            mode.node.truncate(2);
        }
        AblationOptions {
            plan: Plan::Long(Box::new(plan)),
            quick: true,
            out: out.into(),
            only: only.iter().map(|&name| name.to_owned()).collect(),
            seeds: None,
            dense: None,
            backend: "flex".into(),
            stop: StopSignal::default(),
            events: TrainEvents::default(),
        }
    }

    #[test]
    fn the_quick_grid_runs_and_is_resumed() {
        let (folder, device) = (tempfile::tempdir().unwrap(), Default::default());
        let out = folder.path();
        let summary = ablate::<B>(&options(out, &[]), &device).unwrap();
        let rows: Vec<(&str, usize)> = summary.tables.iter().map(|t| (t.key.as_str(), t.rows.len())).collect();
        assert_eq!(rows, [("tuning", 2), ("equal-operations", 5), ("equal-seconds", 4), ("remedies", 2)]);
        let changed = |file: &str| std::fs::metadata(out.join(file)).unwrap().modified().unwrap();
        let kept = ["cells/dense-3-seconds-s0.json", "speeds.json", "cells/hybrid-4-lr-0.5-s1000.json"];
        let before = kept.map(changed);
        std::fs::remove_file(out.join("cells/hybrid-4-s0.json")).unwrap();
        // Of what is behind it, too, the weights are gone: that is trained again, and measured with it.
        std::fs::remove_dir_all(out.join("models/hybrid-3-way-s0")).unwrap();
        let again = ablate::<B>(&options(out, &[]), &device).unwrap();
        let r1 = |summary: &AblationSummary| -> Vec<f64> {
            summary.tables.iter().flat_map(|table| table.rows.iter().map(|row| row.r1.mean)).collect()
        };
        assert_eq!(r1(&again), r1(&summary), "the missing cell gives the same");
        assert_eq!(kept.map(changed), before, "nothing else is run again");
        for file in figures::FILES {
            assert!(std::fs::read_to_string(out.join(file)).unwrap().contains("hybrid"), "{file}");
        }
    }

    #[test]
    fn the_best_learning_rate_is_taken_and_the_first_of_equals() {
        let plan = LongPlan::load(None).unwrap();
        let table = &tables(&plan)[0];
        let mut summary = AblationSummary::default();
        for (place, (mode, multiple, cell)) in tries(&plan).into_iter().enumerate() {
            let r1 = if mode.name == "hybrid" && multiple == 2.0 { 90.0 } else { 40.0 };
            let found = crate::ablation::summary::tests::found(&cell.id, plan.tuning.seed, r1);
            summary.add(table, &table.rows[place].0, found);
        }
        let rates = chosen(&plan, &summary);
        assert_eq!((rates["hybrid"], rates["dense"]), (2.0, plan.learning_rates(plan.mode("dense").unwrap())[0]));
    }
}
