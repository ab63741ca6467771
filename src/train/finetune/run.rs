//! The fine-tuning loop: train, validate, keep the best weights.

use super::data::{FinetuneData, FinetuneOptions};
use super::report::{FinetuneReport, FinetuneStageReport, ValidationReport};
use super::validation::ValidationScore;
use crate::config::{Curriculum, ModelConfig};
use crate::data::loader::BatchPart;
use crate::data::{BenchmarkTask, Loader, LoaderOptions, TextCollate, write_answers};
use crate::eval::{ANSWERS_FILE, FINE_TUNED, tokenizer};
use crate::model::{Svitt, SvittQa};
use crate::profile::peak_memory_mb;
use crate::train::pretrain::CHECKPOINT_SECONDS;
use crate::train::resume::{Beginning, Fingerprint, ResumeOptions, resume_or_start};
use crate::train::{
    AdamW, AdamWSettings, BatchStream, Checkpoints, MetricsLog, RunState, StageContext, StagePlan, TrainEvent,
    TrainableModel,
    follower::{self, Order},
    memory_check, train_stage,
};
use crate::weights::{Checkpoint, CheckpointInfo, CheckpointPart, MatchOptions, VocabularyRef, save};
use crate::{Error, Result, digest, files};
use std::sync::Arc;
use std::time::Instant;
use svitt_ops::TrainBackend;

/// Validations so far, beside the run's other files.
const VALIDATIONS: &str = "validations.json";

/// Fine-tunes as `options` say; everything, the report too, is on disk in the end. Of a job's processes this is what
/// process 0 does, and [`follow_finetuning`] what the others do.
///
/// # Errors
/// A checkpoint or data that cannot be used, a full disk, losses that stay non-finite, an interruption (after saving).
pub fn finetune<B: TrainBackend>(options: &FinetuneOptions, device: &B::Device) -> Result<FinetuneReport> {
    let result = take_part::<B>(options, device);
    follower::send_end(&options.job, &result)?;
    result?.ok_or_else(|| Error::Fault("only process 0 reports".into()))
}

/// What a process of a job other than 0 does: its share of every batch.
///
/// # Errors
/// Data that cannot be read, a worker that failed, or [`Error::Elsewhere`] where process 0 says why the run ended.
pub fn follow_finetuning<B: TrainBackend>(options: &FinetuneOptions, device: &B::Device) -> Result<()> {
    take_part::<B>(options, device).map(drop)
}

/// The run of process 0, with its report, or of another one.
fn take_part<B: TrainBackend>(options: &FinetuneOptions, device: &B::Device) -> Result<Option<FinetuneReport>> {
    let prepared = prepared::<B>(options, device);
    let facts = prepared.as_ref().map_or_else(|_| Vec::new(), |(tuning, checkpoint, _)| tuning.facts(checkpoint));
    let (tuning, checkpoint, part) = options.job.agree(prepared, &facts)?;
    let (config, matching) = (&tuning.config, tuning.matching(&checkpoint));
    match part {
        CheckpointPart::QuestionAnswering => {
            let fresh = SvittQa::<B::InnerBackend>::new(config, options.seed, device)?;
            let (model, _) = options.job.agree(checkpoint.load(fresh, config, &matching), &[])?;
            let validate = |model: &SvittQa<_>| tuning.finetune_data.validation_task.answers(model, config, device);
            tuning.run_or_follow::<SvittQa<B>>(model.with_precision(options.precision), &validate)
        }
        _ => {
            let fresh = Svitt::<B::InnerBackend>::new(config, options.seed, device)?;
            let (model, _) = options.job.agree(checkpoint.load(fresh, config, &matching), &[])?;
            let validate = |model: &Svitt<_>| tuning.finetune_data.validation_task.retrieval(model, config, device);
            tuning.run_or_follow::<Svitt<B>>(model.with_precision(options.precision), &validate)
        }
    }
}

/// Checkpoint and data of a run, before anything is computed.
fn prepared<'a, B: TrainBackend>(
    options: &'a FinetuneOptions,
    device: &'a B::Device,
) -> Result<(FinetuneRun<'a, B>, Checkpoint, CheckpointPart)> {
    options.benchmark.require_trainable()?;
    let part = match options.benchmark.task() {
        BenchmarkTask::Retrieval | BenchmarkTask::Choice => CheckpointPart::Pretraining,
        BenchmarkTask::QuestionAnswering => CheckpointPart::QuestionAnswering,
    };
    let mut checkpoint = Checkpoint::open(&options.checkpoint)?;
    // A model that encodes frames one by one is trained on as a joint one: its tables are extended over time.
    let mut start = checkpoint.info.model.clone();
    start.video = start.video.joint();
    let (config, note) = options.preset.model(&start);
    Curriculum { stages: vec![options.preset.stage.clone()] }.check_schedules()?;
    let vocabulary = checkpoint.info.vocabulary.as_ref().map(|vocabulary| vocabulary.sha256.as_str());
    let (size, vocab) = (config.text.vocab_size, options.vocab.as_deref());
    let tokenizer = tokenizer(options.benchmark, &options.checkpoint, vocab, size, vocabulary)?;
    let finetune_data = FinetuneData::gather(options, &config, Arc::new(tokenizer))?;
    prepare(&mut checkpoint, part, &config)?;
    let tuning = FinetuneRun::<B>::new(options, &checkpoint, config, finetune_data, note, device)?;
    Ok((tuning, checkpoint, part))
}

/// Converts the checkpoint to `part` if possible.
fn prepare(checkpoint: &mut Checkpoint, part: CheckpointPart, config: &ModelConfig) -> Result<()> {
    let possible = [CheckpointPart::Pretraining, part].contains(&checkpoint.info.part);
    if !possible {
        let problem = "holds weights of another kind than this benchmark needs";
        return Err(Error::file(&checkpoint.path, problem, "give a pretrained checkpoint"));
    }
    if part == CheckpointPart::QuestionAnswering {
        checkpoint.weights.add_decoder(config.text.fusion_layer);
        checkpoint.info.part = part;
    }
    Ok(())
}

/// A fine-tuning run.
struct FinetuneRun<'a, B: TrainBackend> {
    options: &'a FinetuneOptions,
    config: ModelConfig,
    info: CheckpointInfo,
    source_sha256: String,
    finetune_data: FinetuneData,
    loader: Loader,
    plan: StagePlan,
    validate_every: usize,
    warnings: Vec<String>,
    checkpoints: Checkpoints,
    device: &'a B::Device,
    since: Instant,
}

impl<'a, B: TrainBackend> FinetuneRun<'a, B> {
    fn new(
        options: &'a FinetuneOptions,
        checkpoint: &Checkpoint,
        config: ModelConfig,
        finetune_data: FinetuneData,
        note: Option<String>,
        device: &'a B::Device,
    ) -> Result<Self> {
        let (stage, frames, size) = (&options.preset.stage, config.video.frames, config.video.image_size);
        let (clips, processes) = (finetune_data.dataset.len(), options.job.size());
        if (1..processes).contains(&clips) {
            let problem = format!("{processes} processes cannot share {clips} clip(s)");
            return Err(Error::setting("mpirun", problem, format!("start {clips}")));
        }
        let batch = stage.batch.min((clips / processes).max(1));
        memory_check::check_stage(&options.backend, &stage.name, batch, &config)?;
        let mut warnings = finetune_data.warnings.clone();
        warnings.extend(note);
        warnings.iter().for_each(|warning| log::warn!("{warning}"));
        let collate = TextCollate::new(finetune_data.tokenizer.clone(), finetune_data.text_tokens, frames, size);
        let loader = Loader::new(
            finetune_data.dataset.clone(),
            Arc::new(collate),
            LoaderOptions::train(batch * processes, options.seed)
                .with_part(BatchPart { index: options.job.rank(), of: processes }),
        )?;
        let whole = StagePlan::of(stage, loader.batches(), CHECKPOINT_SECONDS);
        let plan = StagePlan { stop_at: whole.steps.min(options.max_steps.unwrap_or(usize::MAX)), ..whole };
        let sha256 = finetune_data.tokenizer.sha256();
        let file = finetune_data.tokenizer.file_name().to_owned();
        let info = CheckpointInfo {
            model: config.clone(),
            vocabulary: Some(VocabularyRef { file, sha256 }),
            curriculum: None,
            origin: format!("{FINE_TUNED}{} from {}", options.benchmark, options.checkpoint.display()),
            ..checkpoint.info.clone()
        };
        Ok(Self {
            validate_every: (options.preset.validate_every.steps(plan.steps_per_epoch()).round() as usize).max(1),
            source_sha256: checkpoint.weights_sha256.clone(),
            checkpoints: Checkpoints::of(&options.out),
            since: Instant::now(),
            options,
            config,
            info,
            finetune_data,
            loader,
            plan,
            warnings,
            device,
        })
    }

    fn matching(&self, checkpoint: &Checkpoint) -> MatchOptions {
        let convert_tables = checkpoint.info.model.video.frames != self.config.video.frames;
        MatchOptions { convert_tables, ..MatchOptions::default() }
    }

    /// What must be the same in all processes of a job.
    fn facts(&self, checkpoint: &Checkpoint) -> Vec<(&'static str, String)> {
        let lacking = self.loader.unreadable().into_iter().map(|video| video.media).collect::<Vec<_>>();
        let clips = format!("{} clips, {} files missing {}", self.loader.items(), lacking.len(), lacking.join(", "));
        let options = self.options;
        vec![
            ("checkpoint", checkpoint.weights_sha256[..8].to_owned()),
            ("model", format!("{:?}", self.config)),
            ("data set", clips),
            ("list of answers", digest::sha256_hex(self.finetune_data.answers.join("\n"))[..8].to_owned()),
            ("precision", options.precision.name().to_owned()),
        ]
    }

    fn run_or_follow<M: TrainableModel<B>>(
        &self,
        fresh: M::InnerModule,
        validate: &dyn Fn(&M::InnerModule) -> Result<ValidationScore>,
    ) -> Result<Option<FinetuneReport>> {
        match self.options.job.is_first() {
            true => self.run::<M>(fresh, validate).map(Some),
            false => self.follow::<M>(&fresh).map(|()| None),
        }
    }

    /// Trains from validation to validation, as process 0 says.
    fn follow<M: TrainableModel<B>>(&self, fresh: &M::InnerModule) -> Result<()> {
        let (job, device) = (&self.options.job, self.device);
        job.agree(Ok(()), &[])?;
        while let Order::Train(state) = follower::receive_order(job)? {
            let settings = AdamWSettings::of(&self.options.preset.stage);
            let (state, fresh) = (*state, fresh.clone());
            let (model, optimizer) = follower::receive_stage::<B, _>(job, &state, fresh, settings, device)?;
            let (plan, feed) = (self.plan_after(&state), self.feed(&state)?);
            let start = (M::from_inner(model), optimizer, state);
            if !follower::follow_stage::<B, M>(job, &plan, start, &[feed], &self.options.stop)? {
                follower::gather_unreadable(job, &self.loader)?;
            }
        }
        Ok(())
    }

    /// The plan up to the next validation.
    fn plan_after(&self, state: &RunState) -> StagePlan {
        let next = (state.step / self.validate_every + 1) * self.validate_every;
        StagePlan { stop_at: next.min(self.plan.stop_at), ..self.plan.clone() }
    }

    fn feed(&self, state: &RunState) -> Result<BatchStream<B>> {
        let step_config = self.finetune_data.step_config.clone();
        BatchStream::<B>::new(self.loader.clone(), state.batches, step_config, self.device)
    }

    /// Alternates training and validation.
    fn run<M: TrainableModel<B>>(
        &self,
        fresh: M::InnerModule,
        validate: &dyn Fn(&M::InnerModule) -> Result<ValidationScore>,
    ) -> Result<FinetuneReport> {
        let stage = &self.options.preset.stage;
        let settings = AdamWSettings::of(stage);
        let resume = ResumeOptions {
            out: &self.options.out,
            resume: self.options.resume,
            fingerprint: self.fingerprint(),
            seed: self.options.seed,
            layout: [self.options.job.size(), 1],
        };
        let job = &self.options.job;
        let Beginning { mut state, mut model, moments } =
            job.agree(resume_or_start(resume, self.device, |_| Ok(fresh)), &[])?;
        self.finetune_data.tokenizer.save(&self.options.out)?;
        let optimizer = match moments {
            Some(moments) => AdamW::<B>::resume(settings, moments),
            None => AdamW::<B>::new(settings, self.device),
        };
        let metrics_log =
            MetricsLog::open(&self.options.out, state.global_step)?.with_tensorboard(self.options.tensorboard)?;
        let mut validations = self.validations(state.step)?;
        // Killed between the checkpoint and the validation of the same step: validate now.
        let due = state.step.is_multiple_of(self.validate_every) || state.step == self.plan.stop_at;
        if state.step > 0 && due && validations.last().is_none_or(|validation_task| validation_task.step < state.step) {
            self.keep_if_best(&mut validations, &state, &model, validate(&model)?)?;
        }
        while state.step < self.plan.stop_at {
            let plan = self.plan_after(&state);
            let context = StageContext {
                metrics_log: metrics_log.clone(),
                checkpoints: self.checkpoints.clone(),
                stop: self.options.stop.clone(),
                events: self.options.events.clone(),
                job: job.clone(),
            };
            let feed = self.feed(&state)?;
            follower::send_stage(job, &state, &model, &optimizer.state())?;
            let tuned = M::from_inner(model);
            let outcome = train_stage::<B, M>(plan, context, state, tuned, optimizer.clone(), vec![feed]);
            (model, state) = outcome.map(|outcome| (outcome.model, outcome.state))?;
            follower::gather_unreadable(job, &self.loader)?;
            self.keep_if_best(&mut validations, &state, &model, validate(&model)?)?;
        }
        self.report(&state, validations)
    }

    fn fingerprint(&self) -> String {
        let options = self.options;
        let preset = serde_json::to_string(&options.preset).unwrap_or_default();
        let inputs = format!("{:?} {:?} {:?}", options.annotations, options.media, options.validation);
        let vocabulary = self.finetune_data.tokenizer.sha256();
        let text = [preset, inputs, vocabulary, self.source_sha256.clone(), options.seed.to_string()].join("\n");
        let print = Fingerprint::default().with(text);
        let print = if options.job.size() > 1 { print.with(options.job.format().name()) } else { print };
        if options.precision.is_f32() { print.text() } else { print.with(options.precision.name()).text() }
    }

    /// Validations of the run that is resumed, up to `step`.
    fn validations(&self, step: usize) -> Result<Vec<ValidationReport>> {
        let file = self.options.out.join(VALIDATIONS);
        if step == 0 || !file.exists() {
            return Ok(Vec::new());
        }
        let validations: Vec<ValidationReport> = files::read_json(&file, "start afresh without option `resume`")?;
        Ok(validations.into_iter().filter(|validation_task| validation_task.step <= step).collect())
    }

    /// Saves the weights if they are the best so far; ties keep the earlier ones.
    fn keep_if_best<I: burn::module::Module<B::InnerBackend>>(
        &self,
        validations: &mut Vec<ValidationReport>,
        state: &RunState,
        model: &I,
        outcome: ValidationScore,
    ) -> Result<()> {
        let best = validations.iter().map(|validation_task| validation_task.score).fold(f64::NEG_INFINITY, f64::max);
        let (score, kept) = (outcome.score, outcome.score > best);
        let epoch = state.batches as f64 / self.plan.batches_per_epoch as f64;
        if kept {
            let folder = self.options.out.join(STAGE);
            save(model, &folder, &self.info)?;
            self.finetune_data.tokenizer.save(&folder)?;
            if !self.finetune_data.answers.is_empty() {
                write_answers(&folder.join(ANSWERS_FILE), &self.finetune_data.answers)?;
            }
        }
        validations.push(ValidationReport {
            step: state.step,
            epoch,
            score: outcome.score,
            figures: outcome.figures,
            kept,
        });
        files::write_json(&self.options.out.join(VALIDATIONS), validations)?;
        // Reported after the write: what is announced as kept is on disk.
        let (step, steps) = (state.step, self.plan.steps);
        self.options.events.tell(TrainEvent::Validated { step, steps, score, best: kept });
        Ok(())
    }

    fn report(&self, state: &RunState, validations: Vec<ValidationReport>) -> Result<FinetuneReport> {
        let (options, stage) = (self.options, &self.options.preset.stage);
        let report = FinetuneReport {
            benchmark: options.benchmark.name().into(),
            preset: serde_json::to_value(&options.preset).unwrap_or_default(),
            checkpoint: options.checkpoint.display().to_string(),
            checkpoint_sha256: self.source_sha256.clone(),
            best_checkpoint: options.out.join(STAGE).display().to_string(),
            best: validations.iter().rfind(|validation_task| validation_task.kept).cloned().unwrap_or_default(),
            criterion: self.finetune_data.validation_task.criterion().into(),
            validation: self.finetune_data.validation_task.source.clone(),
            validation_counts: self.finetune_data.validation_task.counts(),
            stages: vec![FinetuneStageReport {
                name: stage.name.clone(),
                frames: self.config.video.frames,
                mode: self.config.video.sparsity.mode().into(),
                keep_rate: self.config.video.sparsity.node.as_ref().map_or(1.0, |node| node.keep_rate),
                steps: state.step,
                seconds: state.seconds,
            }],
            flips: flips(options.preset.flip).into(),
            answers: self.finetune_data.answers.len(),
            seed: options.seed,
            backend: options.backend.clone(),
            arithmetic: options.arithmetic.clone(),
            seconds: self.since.elapsed().as_secs_f64(),
            peak_memory_mb: peak_memory_mb(),
            final_losses: state.losses,
            unreadable: self.loader.unreadable(),
            warnings: self.warnings.clone(),
            validations,
        };
        files::write_json(&options.out.join("report.json"), &report)?;
        Ok(report)
    }
}

/// Where the best weights are, as a pretraining's first stage would be.
const STAGE: &str = "stage-1";

/// The report's text about mirroring.
pub fn flips(flip: bool) -> &'static str {
    if flip { "half of the training clips are mirrored" } else { "none: the texts speak of left and right" }
}
