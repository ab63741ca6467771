//! Seconds per training step of every mode and clip length, measured before the grid and kept for its next runs: step
//! counts at equal seconds must not change when a grid is resumed.

use super::LongPlan;
use super::modes::ModeRows;
use super::trainings::{Equal, Rates, row, spec_key};
use crate::ablation::grid::{Grid, GridSettings};
use crate::ablation::{AblationOptions, TrainingSpec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use svitt::config::ModelConfig;
use svitt::{Result, files};
use svitt_ops::TrainBackend;

/// The file of a grid's folder.
const FILE: &str = "speeds.json";

/// Seconds per step, by [`spec_key`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Speeds {
    /// Seconds of one step of stage and batch as the plan has them.
    pub seconds: BTreeMap<String, f64>,
}

impl Speeds {
    /// Those on file in the folder of `options`, and what they lack measured now.
    ///
    /// # Errors
    /// As training itself, or a full disk.
    pub fn measure<B: TrainBackend>(
        plan: &LongPlan,
        base: &ModelConfig,
        options: &AblationOptions,
        device: &B::Device,
    ) -> Result<Self> {
        let file = options.out.join(FILE);
        let mut speeds = match file.is_file() {
            true => files::read_json(&file, "delete it: step times are measured again")?,
            false => Self::default(),
        };
        let settings = GridSettings { preset: &plan.preset, base: base.clone(), trainings: Vec::new(), given: None };
        let grid = Grid::<B>::new(options, &settings, plan.tuning.seed, device)?;
        for mode in plan.modes_with(ModeRows::Headline) {
            for length in 0..plan.lengths().len() {
                // Of a row, the last training is of its own clip length.
                let row = row(plan, base, mode, length, &Rates::default(), Equal::Operations(1.0), "")?;
                for spec in row.last().into_iter().flat_map(timed) {
                    let key = spec_key(&mode.name, &spec.stage);
                    if speeds.seconds.contains_key(&key) {
                        continue;
                    }
                    let found = grid.seconds_per_step(&spec, plan.budget.timed_steps)?;
                    log::info!("{key}: {found:.3} s a step");
                    speeds.seconds.insert(key, found);
                    files::write_json(&file, &speeds)?;
                }
            }
        }
        Ok(speeds)
    }
}

/// The stage of `spec` and its stage of matching, each to be timed alone.
fn timed(spec: &TrainingSpec) -> Vec<TrainingSpec> {
    let stages = std::iter::once(spec.stage.clone()).chain(spec.matching_stage());
    stages.map(|stage| TrainingSpec { stage, matching: None, ..spec.clone() }).collect()
}
