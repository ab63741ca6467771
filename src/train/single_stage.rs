//! Trains one stage outside a curriculum (baselines, ablations), and counts its FLOPs.

use super::follower;
use super::learner::TrainableModel;
use super::pretrain::{PretrainOptions, step_config};
use super::{
    AdamW, AdamWSettings, BatchStream, Checkpoints, MetricsLog, RunState, StageContext, StagePlan, train_stage,
};
use crate::config::{ModelConfig, Stage, StepsOrEpochs};
use crate::data::Loader;
use crate::profile::{Convention, Profile};
use crate::{Error, Result};
use std::path::Path;
use svitt_ops::TrainBackend;

/// A stage outside a curriculum, for the workers of this process.
pub(super) struct SingleStage<B: TrainBackend> {
    pub plan: StagePlan,
    pub loader: Loader,
    pub streams: Vec<BatchStream<B>>,
    pub state: RunState,
}

impl<B: TrainBackend> SingleStage<B> {
    /// The beginning of `stage` for a model of `config`, on the data of stage number `number`, with a worker on each of
    /// `devices`.
    ///
    /// # Errors
    /// As [`super::pretrain`].
    pub fn prepare(
        options: &PretrainOptions,
        number: usize,
        stage: &Stage,
        config: &ModelConfig,
        devices: &[B::Device],
    ) -> Result<Self> {
        let loader = options.loader_of(number, stage, config, devices.len())?;
        let plan = StagePlan {
            global_negatives: options.global_negatives,
            ..StagePlan::of(stage, loader.batches(), options.checkpoint_seconds)
        };
        let streams = BatchStream::<B>::shares(loader.clone(), 0, step_config(options, stage), devices)?;
        let state = RunState { seed: options.seed, stage: number, ..RunState::default() };
        Ok(Self { plan, loader, streams, state })
    }
}

/// Trains `model`, whose sizes are `config`, as `stage` says, on the data of stage number `number` of the run, with a
/// worker on each of `devices`; writes `metrics.jsonl` into `out`. An interrupted stage is not resumed.
///
/// # Errors
/// As [`super::pretrain`].
pub fn train_single_stage<B: TrainBackend, M: TrainableModel<B>>(
    options: &PretrainOptions,
    number: usize,
    stage: &Stage,
    config: &ModelConfig,
    model: M,
    out: &Path,
    devices: &[B::Device],
) -> Result<(M::InnerModule, RunState)> {
    let SingleStage { plan, loader, streams, state } =
        SingleStage::<B>::prepare(options, number, stage, config, devices)?;
    let context = StageContext {
        metrics_log: MetricsLog::open(out, 0)?,
        checkpoints: Checkpoints::of(out),
        stop: options.stop.clone(),
        events: options.events.clone(),
        job: options.job.clone(),
    };
    let optimizer = AdamW::<B>::new(AdamWSettings::of(stage), &devices[0]);
    let outcome = train_stage(plan, context, state, model, optimizer, streams)?;
    follower::gather_unreadable(&options.job, &loader)?;
    Checkpoints::of(out).clear()?;
    Ok((outcome.model, outcome.state))
}

/// Operations of the video encoder over all steps of `stage`, forward and backward; text and fusion cost every model
/// the same per step.
///
/// # Errors
/// A stage that lasts epochs, or a model that does not validate.
pub fn training_flops(config: &ModelConfig, stage: &Stage) -> Result<f64> {
    let StepsOrEpochs::Steps(steps) = stage.length else {
        let problem = format!("stage `{}` lasts epochs, whose compute is not known before the run", stage.name);
        return Err(Error::setting("stages.length", problem, "give its steps"));
    };
    // A backward pass multiplies by weights and by activations where the forward multiplies once; frozen encoders have
    // none.
    let passes = if stage.matching_only { 1 } else { 3 };
    let passes = (passes * steps * stage.batch * stage.accumulate) as f64;
    Ok(Profile::of(config, Convention::True)?.flops() as f64 * passes)
}

/// Number of steps of `stage` within `compute` FLOPs, where one clip needs `passes` passes of model `config`.
///
/// # Errors
/// A model that does not validate.
pub fn steps_for(stage: &Stage, config: &ModelConfig, compute: f64, passes: usize) -> Result<usize> {
    let one_step = Stage { length: StepsOrEpochs::Steps(1), ..stage.clone() };
    let step = training_flops(config, &one_step)? * passes as f64;
    Ok((compute / step).round().max(1.0) as usize)
}
