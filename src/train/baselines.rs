//! Baselines at equal compute on the same data (`--baselines`): the last stage from scratch, a dense model from
//! scratch, and a model without temporal order.

use super::follower;
use super::initial_weights::InitialWeights;
use super::learner::TrainableModel;
use super::pretrain::{PretrainOptions, stage_report};
use super::report::StageReport;
use super::single_stage::{SingleStage, steps_for, train_single_stage, training_flops};
use super::validate::RetrievalModel;
use super::{AdamW, AdamWSettings, FrameMean};
use crate::config::{ModelConfig, Stage, StepsOrEpochs};
use crate::model::Svitt;
use crate::{Error, Result, files};
use std::fs;
use std::path::Path;
use svitt_ops::TrainBackend;

/// A model to compare with.
struct Baseline {
    stage: Stage,
    config: ModelConfig,
    /// Whether it is a [`FrameMean`], whose `config` is that of one frame.
    order_blind: bool,
}

/// The baselines of `options`, in the order they are trained: the same in every process of a job.
fn baselines(options: &PretrainOptions, base: &ModelConfig) -> Result<Vec<Baseline>> {
    let Some(last) = options.preset.stages.last() else { return Ok(Vec::new()) };
    let compute =
        options.preset.stages.iter().map(|stage| training_flops(&stage.model(base), stage)).sum::<Result<f64>>()?;
    let stage = |name: &str, sparse: bool| {
        let mut stage = Stage { name: name.into(), ..last.clone() };
        (stage.edge, stage.node) = if sparse { (stage.edge, stage.node) } else { (None, None) };
        stage
    };
    let [single, dense, blind] = NAMES;
    let mut all = Vec::new();
    for stage in [stage(single, true), stage(dense, false)] {
        let stage = at_equal_compute(stage, base, compute, 1)?;
        all.push(Baseline { config: stage.model(base), stage, order_blind: false });
    }
    let stage = at_equal_compute(stage(blind, false), base, compute, last.frames)?;
    all.push(Baseline { config: Stage { frames: 1, ..stage.clone() }.model(base), stage, order_blind: true });
    Ok(all)
}

/// Trains and measures every baseline of `options` with a worker on each of `devices`; one whose report is already on
/// disk is read instead. Of a job's processes this is what process 0 does, and [`follow`] what the others do.
///
/// # Errors
/// As [`super::pretrain`].
pub fn train<B: TrainBackend>(
    options: &PretrainOptions,
    base: &ModelConfig,
    devices: &[B::Device],
) -> Result<Vec<StageReport>> {
    let mut reports = Vec::new();
    for (number, baseline) in baselines(options, base)?.iter().enumerate() {
        let out = options.out.join("baselines").join(&baseline.stage.name);
        fs::create_dir_all(&out).map_err(|e| Error::io(&out, &e))?;
        let file = out.join("report.json");
        if let Some(report) = finished(&file) {
            reports.push(report);
            continue;
        }
        let config = &baseline.config;
        let model = InitialWeights::default().model::<B>(config, &options.preset.model, options.seed, &devices[0])?;
        let report = match baseline.order_blind {
            true => lead(options, number, baseline, FrameMean { model }, &out, devices)?,
            false => lead(options, number, baseline, model, &out, devices)?,
        };
        files::write_json(&file, &report)?;
        reports.push(report);
    }
    Ok(reports)
}

/// What a process of a job other than 0 does for baseline number `number`: its workers' share.
///
/// # Errors
/// As [`super::follow`].
pub(super) fn follow<B: TrainBackend>(
    options: &PretrainOptions,
    base: &ModelConfig,
    number: usize,
    devices: &[B::Device],
) -> Result<()> {
    let all = baselines(options, base)?;
    let Some(baseline) = all.get(number) else {
        return Err(Error::Fault(format!("process 0 trains baseline {number} of {}", all.len())));
    };
    let model = Svitt::<B::InnerBackend>::new(&baseline.config, 0, &devices[0])?;
    match baseline.order_blind {
        true => assist::<B, FrameMean<B>>(options, baseline, FrameMean { model }, devices),
        false => assist::<B, Svitt<B>>(options, baseline, model, devices),
    }
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

/// The stage whose data the baselines are trained on: the last.
fn last_stage(options: &PretrainOptions) -> usize {
    options.preset.stages.len() - 1
}

fn lead<B: TrainBackend, M: TrainableModel<B, InnerModule: RetrievalModel<B::InnerBackend>>>(
    options: &PretrainOptions,
    number: usize,
    baseline: &Baseline,
    model: M,
    out: &Path,
    devices: &[B::Device],
) -> Result<StageReport> {
    let Baseline { stage, config, .. } = baseline;
    follower::send_baseline(&options.job, number, &model.valid())?;
    let (model, state) = train_single_stage(options, last_stage(options), stage, config, model, out, devices)?;
    stage_report(options, stage, config, &model, &state)
}

fn assist<B: TrainBackend, M: TrainableModel<B>>(
    options: &PretrainOptions,
    baseline: &Baseline,
    model: M::InnerModule,
    devices: &[B::Device],
) -> Result<()> {
    let (job, Baseline { stage, config, .. }) = (&options.job, baseline);
    let model = M::from_inner(follower::receive_weights(job, model, &devices[0])?);
    let SingleStage { plan, loader, streams, state } =
        SingleStage::<B>::prepare(options, last_stage(options), stage, config, devices)?;
    let optimizer = AdamW::<B>::new(AdamWSettings::of(stage), &devices[0]);
    let stopped = follower::follow_stage(job, &plan, (model, optimizer, state), &streams, &options.stop)?;
    if stopped { Ok(()) } else { follower::gather_unreadable(job, &loader) }
}

fn finished(file: &Path) -> Option<StageReport> {
    files::read_json(file, "delete it").ok()
}
