//! Pretraining: stage after stage, evaluation after each, all output resumable.

use super::baselines;
use super::follower::{self, Order};
use super::metrics_log::MetricsLog;
use super::parallel::Job;
use super::report::{PretrainReport, StageReport};
use super::resume::{Beginning, Fingerprint, ResumeOptions, resume_or_start};
use super::validate::RetrievalModel;
use super::{
    AdamW, AdamWSettings, AdamWState, BatchStream, Checkpoints, RunState, StageContext, StagePlan, StepConfig,
    StopSignal, TrainEvent, TrainEvents, TrainingData, Validator, expand, train_stage,
};
use super::{html_report, memory_check};
use crate::config::{LossWeights, ModelConfig, Precision, PretrainPreset, Stage};
use crate::data::Loader;
use crate::data::loader::BatchPart;
use crate::loss::MaskRules;
use crate::model::{Objective, Svitt};
use crate::panics::catch_out_of_memory;
use crate::profile::{Convention, Profile, peak_memory_mb};
use crate::weights::{self, CheckpointInfo, CheckpointPart, CurriculumPosition, VocabularyRef};
use crate::{Error, Result, files};
use burn::module::AutodiffModule;
use std::path::{Path, PathBuf};
use std::time::Instant;
use svitt_ops::{SvittBackend, TrainBackend};

/// Seconds between checkpoints.
pub(super) const CHECKPOINT_SECONDS: f64 = 60.0;

/// What the command line says of a run.
#[derive(Clone)]
pub struct PretrainOptions {
    /// Model, stages, and what is expected of them.
    pub preset: PretrainPreset,
    /// The model, where it is not the preset's but that of the first weights.
    pub base: Option<ModelConfig>,
    /// The data.
    pub training_data: TrainingData,
    /// What else the run depends on (paths of data and first weights), for the fingerprint.
    pub inputs: Vec<String>,
    /// Where everything is written.
    pub out: PathBuf,
    /// Continue what is there.
    pub resume: bool,
    /// Optimizer steps of the whole run, at most.
    pub max_steps: Option<usize>,
    /// Seed of everything random.
    pub seed: u64,
    /// The backend's name, for the report.
    pub backend: String,
    /// Train the models this one is compared with, too.
    pub baselines: bool,
    /// Seconds between checkpoints.
    pub checkpoint_seconds: f64,
    /// Optimizer steps between checkpoints, or none.
    pub checkpoint_steps: Option<usize>,
    /// What the model is computed with in training; what is measured and saved is f32.
    pub precision: Precision,
    /// Take contrastive negatives from the batches of all devices.
    pub global_negatives: bool,
    /// Measure frozen, shuffled and reversed clips after every stage, too.
    pub frame_order_probes: bool,
    /// Write an event file for TensorBoard, too.
    pub tensorboard: bool,
    /// The job that this process is one of.
    pub job: Job,
    /// How the run is told to stop.
    pub stop: StopSignal,
    /// Who is told how it goes.
    pub events: TrainEvents,
}

impl PretrainOptions {
    /// A run of `preset` on `training_data` into `out`, in f32, with a checkpoint a minute and nobody told.
    pub fn new(preset: PretrainPreset, training_data: TrainingData, out: &Path, seed: u64) -> Self {
        Self {
            base: None,
            preset,
            training_data,
            inputs: Vec::new(),
            out: out.to_path_buf(),
            resume: false,
            max_steps: None,
            seed,
            backend: String::new(),
            baselines: false,
            checkpoint_seconds: CHECKPOINT_SECONDS,
            checkpoint_steps: None,
            precision: Precision::F32,
            global_negatives: false,
            frame_order_probes: true,
            tensorboard: false,
            job: Job::default(),
            stop: StopSignal::default(),
            events: TrainEvents::default(),
        }
    }

    fn fingerprint(&self, workers: usize) -> Result<String> {
        let mut preset = self.preset.clone();
        // Texts that only describe the preset may change.
        (preset.description, preset.command, preset.expected) = Default::default();
        let preset = serde_json::to_string(&preset).map_err(|problem| Error::Fault(problem.to_string()))?;
        let mut print = Fingerprint::default().with(preset).with(self.seed.to_le_bytes());
        print = self.inputs.iter().fold(print, Fingerprint::with);
        print = print.with(self.training_data.tokenizer.sha256()).with(self.training_data.digest());
        if !self.precision.is_f32() {
            print = print.with(self.precision.name());
        }
        if workers > 1 {
            print = print.with(format!("{workers} workers, global negatives: {}", self.global_negatives));
        }
        if self.job.size() > 1 {
            print = print.with(self.job.format().name());
        }
        Ok(print.text())
    }

    /// The batches of stage number `stage` that are read here, for `devices` workers in each process.
    fn loader(&self, stage: usize, base: &ModelConfig, devices: usize) -> Result<Loader> {
        let settings = &self.preset.stages[stage];
        self.loader_of(stage, settings, &settings.model(base), devices)
    }

    /// [`Self::loader`] of a `stage` whose model is `model`, on the data of stage number `number`.
    pub(super) fn loader_of(
        &self,
        number: usize,
        stage: &Stage,
        model: &ModelConfig,
        devices: usize,
    ) -> Result<Loader> {
        let part = BatchPart { index: self.job.rank(), of: self.job.size() };
        self.training_data.loader(number, stage, model, devices * part.of, part)
    }

    fn plan(&self, state: &RunState, loader: &Loader) -> StagePlan {
        let whole = StagePlan::of(&self.preset.stages[state.stage], loader.batches(), self.checkpoint_seconds);
        let left = self.max_steps.map_or(usize::MAX, |most| most.saturating_sub(state.global_step));
        StagePlan {
            stop_at: whole.steps.min(state.step.saturating_add(left)),
            global_negatives: self.global_negatives,
            checkpoint_steps: self.checkpoint_steps,
            ..whole
        }
    }
}

/// Runs all stages of `options` with a worker on each of `devices` and returns the report, which is also on disk. Of a
/// job's processes this is what process 0 does, and [`follow`] what the others do. `first` makes the weights of the
/// first stage, on the first device.
///
/// # Errors
/// Settings that cannot work, data that cannot be read, a full disk, losses that stay non-finite, an interruption.
pub fn pretrain<B: TrainBackend>(
    options: &PretrainOptions,
    devices: &[B::Device],
    first: &dyn Fn(&ModelConfig) -> Result<Svitt<B::InnerBackend>>,
) -> Result<PretrainReport> {
    let job = &options.job;
    let base = job.agree(checked_base(options, devices.len()), &[])?;
    if job.size() > 1 {
        job.share(Some(&base))?;
    }
    agree_on_data(options, &base, devices.len())?;
    let begun = PretrainRun::<B>::begin(options, base, devices, first);
    let (mut run, model) = job.agree(begun, &[])?;
    let result = run.lead(model);
    follower::send_end(job, &result)?;
    result
}

/// What process 0 must know before it starts: the model without its stages' changes.
fn checked_base(options: &PretrainOptions, devices: usize) -> Result<ModelConfig> {
    if devices == 0 {
        return Err(Error::setting("devices", "is 0", "use 1 or more"));
    }
    let vocabulary = options.training_data.tokenizer.vocab_size();
    let base = options.base.clone().unwrap_or_else(|| options.preset.model.model(1, vocabulary));
    if base.text.vocab_size != vocabulary {
        let problem = format!("has {vocabulary} words, the first weights have {}", base.text.vocab_size);
        return Err(Error::setting("vocab", problem, "give the vocabulary that they were trained with"));
    }
    options.preset.validate(&base)?;
    if options.baselines {
        baselines::check(options, &base)?;
    }
    Ok(base)
}

/// Checks that the stages fit into every machine's memory, and that every process finds the same clips.
fn agree_on_data(options: &PretrainOptions, base: &ModelConfig, devices: usize) -> Result<()> {
    let fits = memory_check::check(options, base, devices * options.job.on_machine().1);
    if options.job.size() == 1 {
        return fits;
    }
    let found = fits.and_then(|()| options.loader(0, base, devices));
    let facts = found.as_ref().map_or_else(
        |_| Vec::new(),
        |loader| {
            let lacking = loader.unreadable().iter().map(|video| video.media.clone()).collect::<Vec<_>>();
            let missing = match lacking.len() {
                0 => "no file missing".to_owned(),
                count => format!("{count} files missing: {}", lacking.join(", ")),
            };
            let clips = format!("{} clips, {missing}", loader.items());
            vec![("model", format!("{base:?}")), ("data set", clips)]
        },
    );
    options.job.agree(found, &facts).map(drop)
}

/// What a process of a job other than 0 does: no files, no lines, its workers' share of every stage.
///
/// # Errors
/// Data that cannot be read, a worker that failed, or [`Error::Elsewhere`] where process 0 says why the run ended.
pub fn follow<B: TrainBackend>(options: &PretrainOptions, devices: &[B::Device]) -> Result<()> {
    let job = &options.job;
    job.agree(Ok(()), &[])?;
    let base: ModelConfig = job.share(None)?;
    agree_on_data(options, &base, devices.len())?;
    job.agree(Ok(()), &[])?;
    loop {
        match follower::receive_order(job)? {
            Order::Train(state) => follow_stage::<B>(options, &base, *state, devices)?,
            Order::Baseline(number) => baselines::follow::<B>(options, &base, number, devices)?,
            Order::End { .. } => return Ok(()),
        }
    }
}

/// The share of this process, which is not process 0, in the stage of `state`.
fn follow_stage<B: TrainBackend>(
    options: &PretrainOptions,
    base: &ModelConfig,
    state: RunState,
    devices: &[B::Device],
) -> Result<()> {
    let (job, stage) = (&options.job, &options.preset.stages[state.stage]);
    let loader = options.loader(state.stage, base, devices.len())?;
    let plan = options.plan(&state, &loader);
    let model = Svitt::<B::InnerBackend>::new(&stage.model(base), 0, &devices[0])?;
    let (model, optimizer) =
        follower::receive_stage::<B, _>(job, &state, model, AdamWSettings::of(stage), &devices[0])?;
    let streams = BatchStream::<B>::shares(loader.clone(), state.batches, step_config(options, stage), devices)?;
    let model = Svitt::<B>::from_inner(model.with_precision(options.precision));
    let stopped = catch_out_of_memory(
        || follower::follow_stage(job, &plan, (model, optimizer, state), &streams, &options.stop),
        |said| memory_check::exhausted(&options.backend, &stage.name, stage.batch, said),
    )?;
    if stopped { Ok(()) } else { follower::gather_unreadable(job, &loader) }
}

/// A pretraining run.
struct PretrainRun<'a, B: TrainBackend> {
    options: &'a PretrainOptions,
    base: ModelConfig,
    /// One per worker; what is not training happens on the first.
    devices: &'a [B::Device],
    metrics_log: MetricsLog,
    checkpoints: Checkpoints,
    state: RunState,
    /// The optimizer of a stage that was interrupted.
    optimizer: Option<AdamWState<B::InnerBackend>>,
    /// The stage that `--max-steps` ended early.
    partial: Option<StageReport>,
    /// Seconds of the runs this one resumes.
    before: f64,
    since: Instant,
}

impl<'a, B: TrainBackend> PretrainRun<'a, B> {
    /// Resumes the newest checkpoint, or starts.
    fn begin(
        options: &'a PretrainOptions,
        base: ModelConfig,
        devices: &'a [B::Device],
        first: &dyn Fn(&ModelConfig) -> Result<Svitt<B::InnerBackend>>,
    ) -> Result<(Self, Svitt<B::InnerBackend>)> {
        let (checkpoints, stages) = (Checkpoints::of(&options.out), &options.preset.stages);
        let config = |stage: usize| stages[stage.min(stages.len() - 1)].model(&base);
        let resume = ResumeOptions {
            out: &options.out,
            resume: options.resume,
            fingerprint: options.fingerprint(options.job.size() * devices.len())?,
            seed: options.seed,
            layout: [options.job.size(), devices.len()],
        };
        let Beginning { state, model, moments: optimizer } =
            resume_or_start(resume, &devices[0], |state| match state {
                Some(state) => Svitt::<B::InnerBackend>::new(&config(state.stage), 0, &devices[0]),
                None => first(&config(0)),
            })?;
        let metrics_log = MetricsLog::open(&options.out, state.global_step)?.with_tensorboard(options.tensorboard)?;
        let (since, before) = (Instant::now(), state.run_seconds);
        let partial = None;
        let run = Self { options, base, devices, metrics_log, checkpoints, state, optimizer, partial, before, since };
        Ok((run, model))
    }

    /// Trains everything and reports.
    fn lead(&mut self, model: Svitt<B::InnerBackend>) -> Result<PretrainReport> {
        let options = self.options;
        self.stages(model)?;
        let mut report = self.report(baselines::earlier(&options.out))?;
        if options.baselines && self.partial.is_none() {
            report = self.report(baselines::train::<B>(options, &self.base, self.devices)?)?;
        }
        Ok(report)
    }

    fn stages(&mut self, mut model: Svitt<B::InnerBackend>) -> Result<()> {
        let all = &self.options.preset.stages;
        while self.state.stage < all.len() && self.partial.is_none() {
            if self.options.max_steps.is_some_and(|most| self.state.global_step >= most && self.state.step == 0) {
                break;
            }
            let stage = &all[self.state.stage];
            let config = stage.model(&self.base);
            let (trained, plan) = self.train(stage, model)?;
            let report = stage_report(self.options, stage, &config, &trained, &self.state)?;
            self.save_stage(&config, &trained)?;
            self.options.events.tell(TrainEvent::Stage(&report));
            model = trained;
            if self.state.step < plan.steps {
                self.partial = Some(report);
                continue;
            }
            if let Some(next) = all.get(self.state.stage + 1) {
                model = expand(&model, &config, &next.model(&self.base), next.tables)?;
            }
            self.next_stage(report, &model)?;
        }
        Ok(())
    }

    /// Trains what is left of `stage`.
    fn train(&mut self, stage: &Stage, model: Svitt<B::InnerBackend>) -> Result<(Svitt<B::InnerBackend>, StagePlan)> {
        let loader = self.options.loader(self.state.stage, &self.base, self.devices.len())?;
        loader.remember(&self.state.unreadable);
        let plan = self.options.plan(&self.state, &loader);
        let settings = AdamWSettings::of(stage);
        let optimizer = match self.optimizer.take() {
            Some(state) => AdamW::<B>::resume(settings, state),
            None => AdamW::<B>::new(settings, &self.devices[0]),
        };
        let step_config = step_config(self.options, stage);
        let streams = BatchStream::<B>::shares(loader.clone(), self.state.batches, step_config, self.devices)?;
        let context = StageContext {
            metrics_log: self.metrics_log.clone(),
            checkpoints: self.checkpoints.clone(),
            stop: self.options.stop.clone(),
            events: self.options.events.clone(),
            job: self.options.job.clone(),
        };
        follower::send_stage(&context.job, &self.state, &model, &optimizer.state())?;
        let model = Svitt::<B>::from_inner(model.with_precision(self.options.precision));
        let state = self.state.clone();
        let outcome = catch_out_of_memory(
            || train_stage(plan.clone(), context, state, model, optimizer, streams),
            |said| memory_check::exhausted(&self.options.backend, &stage.name, stage.batch, said),
        );
        let outcome = outcome?;
        self.state = outcome.state;
        follower::gather_unreadable(&self.options.job, &loader)?;
        self.state.unreadable = loader.unreadable();
        Ok((outcome.model.with_precision(Precision::F32), plan))
    }

    fn save_stage(&self, config: &ModelConfig, model: &Svitt<B::InnerBackend>) -> Result<()> {
        let folder = self.options.out.join(format!("stage-{}", self.state.stage + 1));
        let tokenizer = &self.options.training_data.tokenizer;
        let stages = self.options.preset.stages.len();
        let position = CurriculumPosition { stage: self.state.stage + 1, stages, step: self.state.global_step };
        let info = CheckpointInfo {
            model: config.clone(),
            part: CheckpointPart::Pretraining,
            absent: Vec::new(),
            vocabulary: Some(VocabularyRef { file: tokenizer.file_name().into(), sha256: tokenizer.sha256() }),
            curriculum: Some(position),
            origin: format!("preset {}, seed {}", self.options.preset.name, self.options.seed),
        };
        weights::save(model, &folder, &info)?;
        tokenizer.save(&folder).map(drop)
    }

    fn next_stage(&mut self, report: StageReport, model: &Svitt<B::InnerBackend>) -> Result<()> {
        let mut finished = std::mem::take(&mut self.state.finished);
        finished.push(report);
        self.state = RunState {
            fingerprint: self.state.fingerprint.clone(),
            seed: self.state.seed,
            layout: self.state.layout,
            stage: self.state.stage + 1,
            global_step: self.state.global_step,
            run_seconds: self.before + self.since.elapsed().as_secs_f64(),
            losses: self.state.losses,
            unreadable: std::mem::take(&mut self.state.unreadable),
            finished,
            ..RunState::default()
        };
        self.checkpoints.save::<B::InnerBackend, _>(&self.state, model, None)
    }

    /// Writes both reports.
    fn report(&self, baselines: Vec<StageReport>) -> Result<PretrainReport> {
        let mut stages = self.state.finished.clone();
        stages.extend(self.partial.clone());
        let report = PretrainReport {
            preset: self.options.preset.name.clone(),
            seed: self.options.seed,
            backend: self.options.backend.clone(),
            stages,
            baselines,
            seconds: self.before + self.since.elapsed().as_secs_f64(),
            peak_memory_mb: peak_memory_mb(),
            final_losses: self.state.losses,
            unreadable: self.state.unreadable.clone(),
        };
        files::write_json(&self.options.out.join("report.json"), &report.to_json()?)?;
        html_report::write(&self.options.out.join("report.html"), &report, &self.metrics_log.lines()?)?;
        Ok(report)
    }
}

/// Losses and masking of a run.
pub(super) fn step_config(options: &PretrainOptions, stage: &Stage) -> StepConfig {
    let (tokenizer, preset) = (&options.training_data.tokenizer, &options.preset);
    let special = tokenizer.special();
    let masking = MaskRules {
        probability: preset.mask_probability,
        vocab_size: tokenizer.vocab_size(),
        mask_id: special.mask,
        never: vec![special.pad, special.cls],
        always: options.training_data.keywords(),
    };
    let LossWeights { vtc, vtm, mlm } = preset.loss_weights;
    let negative_sharpness = stage.negative_sharpness;
    let objective = match stage.matching_only {
        true => Objective { vtc: 0.0, vtm, mlm: 0.0, negative_sharpness },
        false => Objective { vtc, vtm, mlm, negative_sharpness },
    };
    let (frozen_encoders, keep_range) = (stage.matching_only, stage.keep_range);
    StepConfig { objective, frozen_encoders, keep_range, masking: Some(masking), ..StepConfig::default() }
}

/// The row of the report for `model`, trained as `stage` says up to `state`.
///
/// # Errors
/// Clips of another size or length than the model's.
pub fn stage_report<B: SvittBackend>(
    options: &PretrainOptions,
    stage: &Stage,
    config: &ModelConfig,
    model: &dyn RetrievalModel<B>,
    state: &RunState,
) -> Result<StageReport> {
    let source = &options.training_data;
    let size = config.video.image_size;
    let set = source.validation(stage.frames, size)?;
    let (text_tokens, rerank_k) = (source.text_tokens(), options.preset.rerank_k);
    let (tokenizer, probes) = (&*source.tokenizer, options.frame_order_probes);
    let validator = Validator { model, set: &set, tokenizer, text_tokens, size, rerank_k, probes };
    Ok(StageReport {
        name: stage.name.clone(),
        frames: stage.frames,
        mode: config.video.sparsity.mode().to_string(),
        keep_rate: stage.keep_rate(),
        edges_removed: edges_removed(config)?,
        tokens_per_layer: tokens_per_layer(config),
        steps: state.step,
        seconds: state.seconds,
        losses: state.losses,
        skipped_updates: state.skipped.total,
        scores: validator.scores()?,
    })
}

/// Patch tokens of a clip that enter each video layer.
fn tokens_per_layer(config: &ModelConfig) -> Vec<usize> {
    let video = &config.video;
    video.tokens_per_layer(video.layers).into_iter().map(|each| video.sequences() * each).collect()
}

/// The share of the dense model's video attention edges that `config` does without.
fn edges_removed(config: &ModelConfig) -> Result<f64> {
    let edges = |config: &ModelConfig| -> Result<f64> {
        let profile = Profile::of(config, Convention::True)?;
        Ok(profile.layers.iter().map(|layer| layer.edges).sum::<u64>() as f64)
    };
    let mut dense = config.clone();
    dense.video.sparsity = Default::default();
    Ok(1.0 - edges(config)? / edges(&dense)?)
}
