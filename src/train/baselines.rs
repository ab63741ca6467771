//! Baselines at equal compute on the same data (`--baselines`): the last stage from scratch, a dense model from
//! scratch, and a model without temporal order.

use super::FrameMean;
use super::initial_weights::InitialWeights;
use super::learner::TrainableModel;
use super::pretrain::{PretrainOptions, stage_report};
use super::report::StageReport;
use super::single_stage::{steps_for, train_single_stage, training_flops};
use super::validate::RetrievalModel;
use crate::config::{ModelConfig, Stage, StepsOrEpochs};
use crate::model::Svitt;
use crate::{Error, Result, files};
use std::fs;
use std::path::Path;
use svitt_ops::TrainBackend;

/// Trains and measures every baseline of `options`; one whose report is already on disk is read instead.
///
/// # Errors
/// As [`super::pretrain`].
pub fn train<B: TrainBackend>(
    options: &PretrainOptions,
    base: &ModelConfig,
    device: &B::Device,
) -> Result<Vec<StageReport>> {
    let Some(last) = options.preset.stages.last() else { return Ok(Vec::new()) };
    let compute =
        options.preset.stages.iter().map(|stage| training_flops(&stage.model(base), stage)).sum::<Result<f64>>()?;
    let stage = |name: &str, sparse: bool| {
        let mut stage = Stage { name: name.into(), ..last.clone() };
        (stage.edge, stage.node) = if sparse { (stage.edge, stage.node) } else { (None, None) };
        stage
    };
    let mut reports = Vec::new();
    let [single, dense, blind] = NAMES;
    for stage in [stage(single, true), stage(dense, false)] {
        let stage = at_equal_compute(stage, base, compute, 1)?;
        let config = stage.model(base);
        let model = fresh::<B>(options, &config, device)?;
        reports.push(one::<B, Svitt<B>>(options, &stage, &config, model, device)?);
    }
    let blind = at_equal_compute(stage(blind, false), base, compute, last.frames)?;
    let config = Stage { frames: 1, ..blind.clone() }.model(base);
    let model = FrameMean { model: fresh::<B>(options, &config, device)? };
    reports.push(one::<B, FrameMean<B>>(options, &blind, &config, model, device)?);
    Ok(reports)
}

/// The baselines' names, in the order they are trained.
const NAMES: [&str; 3] = ["single-stage", "dense", "order-blind"];

/// Reports of baselines already trained in `out`.
pub fn earlier(out: &Path) -> Vec<StageReport> {
    NAMES.iter().filter_map(|name| finished(&out.join("baselines").join(name).join("report.json"))).collect()
}

/// Whether baselines can be trained at equal compute at all.
///
/// # Errors
/// A stage that lasts epochs.
pub fn check(options: &PretrainOptions, base: &ModelConfig) -> Result<()> {
    options.preset.stages.iter().try_for_each(|stage| training_flops(&stage.model(base), stage).map(drop))
}

fn fresh<B: TrainBackend>(options: &PretrainOptions, config: &ModelConfig, device: &B::Device) -> Result<Svitt<B>> {
    InitialWeights::default().model(config, &options.preset.model, options.seed, device)
}

/// `stage` with the steps that `compute` FLOPs allow; with `passes` > 1, a clip is that many passes of a one-frame
/// model.
fn at_equal_compute(stage: Stage, base: &ModelConfig, compute: f64, passes: usize) -> Result<Stage> {
    let frames = if passes > 1 { 1 } else { stage.frames };
    let model = Stage { frames, ..stage.clone() }.model(base);
    let steps = steps_for(&stage, &model, compute, passes)?;
    let limit = stage.length.steps(1) as usize;
    // The schedule's warm-up stays; a baseline never gets more than four times the steps of the stage it replaces.
    Ok(Stage { length: StepsOrEpochs::Steps(steps.min(4 * limit)), ..stage })
}

fn one<B: TrainBackend, M: TrainableModel<B, InnerModule: RetrievalModel<B::InnerBackend>>>(
    options: &PretrainOptions,
    stage: &Stage,
    config: &ModelConfig,
    model: M,
    device: &B::Device,
) -> Result<StageReport> {
    let out = options.out.join("baselines").join(&stage.name);
    fs::create_dir_all(&out).map_err(|e| Error::io(&out, &e))?;
    let file = out.join("report.json");
    if let Some(report) = finished(&file) {
        return Ok(report);
    }
    let number = options.preset.stages.len() - 1;
    let (model, state) = train_single_stage(options, number, stage, config, model, &out, device)?;
    let report = stage_report(options, stage, config, &model, &state)?;
    files::write_json(&file, &report)?;
    Ok(report)
}

fn finished(file: &Path) -> Option<StageReport> {
    files::read_json(file, "delete it").ok()
}
