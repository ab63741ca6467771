//! A whole run: stage after stage, validation after each, everything written where it can be resumed.

use super::gallery::ValidationSet;
use super::journal::Journal;
use super::report::{Report, StageReport};
use super::{
    AdamW, AdamWSettings, AdamWState, Checkpoints, Feed, FreshStart, Recipe, RunState, Source, StageDesk, StagePlan,
    StopSignal, Validator, WarmupCosine, expand, fresh_start, page, train_stage, write_json,
};
use crate::backend::TrainBackend;
use crate::config::{ModelConfig, Preset, Stage};
use crate::data::Loader;
use crate::loss::MaskRules;
use crate::model::{Objective, Svitt};
use crate::profile::{Convention, Profile, peak_memory_mb};
use crate::{Error, Result};
use burn::module::AutodiffModule;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// What the command line says of a run.
#[derive(Clone)]
pub struct RunOptions {
    /// Model, stages, and what is expected of them.
    pub preset: Preset,
    /// The data.
    pub source: Source,
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
    /// Seconds between checkpoints.
    pub checkpoint_seconds: f64,
    /// Optimizer steps between checkpoints, or none.
    pub checkpoint_steps: Option<usize>,
    /// How the run is told to stop.
    pub stop: StopSignal,
}

impl RunOptions {
    /// A digest of all that a resumed run must share with the run it continues.
    fn fingerprint(&self) -> Result<String> {
        let preset = serde_json::to_string(&self.preset)
            .map_err(|e| Error::setting("--preset", e.to_string(), "report this as a bug"))?;
        let mut hash = Sha256::new();
        hash.update(preset);
        hash.update(self.seed.to_le_bytes());
        self.inputs.iter().for_each(|input| hash.update(input));
        hash.update(self.source.tokenizer.sha256());
        Ok(hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Runs all stages of `options` and returns the report, which is also on disk. `first` makes the weights of the first
/// stage.
///
/// # Errors
/// Settings that cannot work, data that cannot be read, a full disk, losses that stay non-finite, an interruption.
pub fn pretrain<B: TrainBackend>(
    options: &RunOptions,
    device: &B::Device,
    first: &dyn Fn(&ModelConfig) -> Result<Svitt<B::InnerBackend>>,
) -> Result<Report> {
    let base = options.preset.model.model(1, options.source.tokenizer.vocab_size());
    options.preset.curriculum().validate(&base)?;
    let (mut run, model) = Run::<B>::begin(options, base, device, first)?;
    run.stages(model)?;
    run.report()
}

/// Fresh weights for the first stage of `preset`.
///
/// # Errors
/// Sizes that do not fit together.
pub fn fresh_weights<B: TrainBackend>(
    preset: &Preset,
    config: &ModelConfig,
    seed: u64,
    device: &B::Device,
) -> Result<Svitt<B::InnerBackend>> {
    let start = FreshStart { gain: preset.model.init_gain, position_std: preset.model.position_std };
    Ok(fresh_start(Svitt::new(config, seed, device)?, start, seed))
}

/// A run on its way.
struct Run<'a, B: TrainBackend> {
    options: &'a RunOptions,
    base: ModelConfig,
    device: &'a B::Device,
    journal: Journal,
    checkpoints: Checkpoints,
    state: RunState,
    /// The optimizer of a stage that was interrupted.
    optimizer: Option<AdamWState<B::InnerBackend>>,
    /// The stage that `--max-steps` ended early.
    partial: Option<StageReport>,
    unreadable: Vec<crate::data::Unreadable>,
    since: Instant,
}

impl<'a, B: TrainBackend> Run<'a, B> {
    /// Takes up the newest checkpoint, or begins.
    fn begin(
        options: &'a RunOptions,
        base: ModelConfig,
        device: &'a B::Device,
        first: &dyn Fn(&ModelConfig) -> Result<Svitt<B::InnerBackend>>,
    ) -> Result<(Self, Svitt<B::InnerBackend>)> {
        let checkpoints = Checkpoints::of(&options.out);
        let fingerprint = options.fingerprint()?;
        let found = if options.resume { checkpoints.newest()? } else { None };
        let stages = &options.preset.stages;
        let config = |stage: usize| stages[stage.min(stages.len() - 1)].model(&base);
        let (state, model, optimizer) = match found {
            Some((state, saved)) => {
                check_fingerprint(&state, &fingerprint, options)?;
                eprintln!("resuming after step {} of the run", state.global_step);
                let model: Svitt<B::InnerBackend> = saved.model(Svitt::new(&config(state.stage), 0, device)?, device)?;
                let optimizer = saved.optimizer(&model, &state, device)?;
                (state, model, optimizer)
            }
            None => {
                if options.resume {
                    eprintln!("nothing was saved in {}: starting afresh", options.out.display());
                }
                (RunState { fingerprint, seed: options.seed, ..RunState::default() }, first(&config(0))?, None)
            }
        };
        let journal = Journal::open(&options.out, state.global_step)?;
        let (unreadable, since) = (Vec::new(), Instant::now());
        let run = Self { options, base, device, journal, checkpoints, state, optimizer, partial: None, unreadable, since };
        Ok((run, model))
    }

    fn stages(&mut self, mut model: Svitt<B::InnerBackend>) -> Result<()> {
        let all = &self.options.preset.stages;
        while self.state.stage < all.len() && self.partial.is_none() {
            if self.options.max_steps.is_some_and(|most| self.state.global_step >= most && self.state.step == 0) {
                break;
            }
            let stage = &all[self.state.stage];
            let config = stage.model(&self.base);
            let (trained, plan) = self.train(stage, &config, model)?;
            let report = self.measure(stage, &config, &trained)?;
            self.save_stage(&config, &trained)?;
            println!("{}\n", page::table(std::slice::from_ref(&report)));
            model = trained;
            if self.state.step < plan.steps {
                self.partial = Some(report);
                continue;
            }
            if let Some(next) = all.get(self.state.stage + 1) {
                model = expand(&model, &config, &next.model(&self.base))?;
            }
            self.next_stage(report, &model)?;
        }
        Ok(())
    }

    /// Trains what is left of `stage`.
    fn train(
        &mut self,
        stage: &Stage,
        config: &ModelConfig,
        model: Svitt<B::InnerBackend>,
    ) -> Result<(Svitt<B::InnerBackend>, StagePlan)> {
        let loader = self.options.source.loader(self.state.stage, stage, config)?;
        let plan = self.plan(stage, &loader);
        let settings =
            AdamWSettings { weight_decay: stage.weight_decay, max_norm: stage.max_norm, ..AdamWSettings::default() };
        let optimizer = match self.optimizer.take() {
            Some(state) => AdamW::<B>::resume(settings, state),
            None => AdamW::<B>::new(settings, self.device),
        };
        let feed = Feed::<B>::new(loader.clone(), self.state.batches, self.recipe(), self.device)?;
        let desk = StageDesk {
            journal: self.journal.clone(),
            checkpoints: self.checkpoints.clone(),
            interrupter: self.options.stop.interrupter.clone(),
        };
        let model = Svitt::<B>::from_inner(model);
        let outcome = train_stage(plan.clone(), desk, self.state.clone(), model, optimizer, Arc::new(feed.clone()));
        self.unreadable = loader.unreadable();
        if let Some(error) = feed.take_failure() {
            return Err(error);
        }
        let outcome = outcome?;
        self.state = outcome.state;
        Ok((outcome.model, plan))
    }

    fn plan(&self, stage: &Stage, loader: &Loader) -> StagePlan {
        let per_epoch = loader.batches().max(1).div_ceil(stage.accumulate);
        let steps = (stage.length.steps(per_epoch).round() as usize).max(1);
        let left = self.options.max_steps.map_or(usize::MAX, |most| most.saturating_sub(self.state.global_step));
        StagePlan {
            name: stage.name.clone(),
            steps,
            stop_at: steps.min(self.state.step.saturating_add(left)),
            accumulate: stage.accumulate,
            batches_per_epoch: loader.batches().max(1),
            schedule: WarmupCosine {
                peak: stage.learning_rate,
                total: steps as f64,
                warmup: stage.warmup.steps(per_epoch),
                minimum: stage.min_multiplier,
                taken: 0,
            },
            checkpoint_seconds: self.options.checkpoint_seconds,
            checkpoint_steps: self.options.checkpoint_steps,
        }
    }

    fn recipe(&self) -> Recipe {
        let (tokenizer, preset) = (&self.options.source.tokenizer, &self.options.preset);
        let special = tokenizer.special();
        let masking = MaskRules {
            probability: preset.mask_probability,
            vocab_size: tokenizer.vocab_size(),
            mask_id: special.mask,
            never: vec![special.pad, special.cls],
            always: self.options.source.keywords(),
        };
        Recipe { objective: Objective::default(), masking: Some(masking) }
    }

    fn measure(&self, stage: &Stage, config: &ModelConfig, model: &Svitt<B::InnerBackend>) -> Result<StageReport> {
        let source = &self.options.source;
        let set: ValidationSet = source.validation(stage.frames, config.video.image_size)?;
        let validator = Validator {
            model,
            set: &set,
            tokenizer: &source.tokenizer,
            text_tokens: source.text_tokens(),
            size: config.video.image_size,
            rerank_k: self.options.preset.rerank_k,
        };
        Ok(StageReport {
            name: stage.name.clone(),
            frames: stage.frames,
            mode: config.video.sparsity.mode().to_string(),
            keep_rate: stage.keep_rate(),
            edges_removed: edges_removed(config)?,
            tokens_per_layer: config.video.sparsity.tokens_per_layer(config.video.patches(), config.video.layers),
            steps: self.state.step,
            seconds: self.state.seconds,
            losses: self.state.losses,
            skipped_updates: self.state.skipped.total,
            scores: validator.scores()?,
        })
    }

    fn save_stage(&self, config: &ModelConfig, model: &Svitt<B::InnerBackend>) -> Result<()> {
        let folder = self.options.out.join(format!("stage-{}", self.state.stage + 1));
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
        self.options.source.tokenizer.save(&folder)?;
        super::snapshot::write(&folder.join("model.safetensors"), &super::snapshot::tensors(model))?;
        write_json(&folder.join("config.json"), config)
    }

    fn next_stage(&mut self, report: StageReport, model: &Svitt<B::InnerBackend>) -> Result<()> {
        let mut finished = std::mem::take(&mut self.state.finished);
        finished.push(report);
        self.state = RunState {
            fingerprint: self.state.fingerprint.clone(),
            seed: self.state.seed,
            stage: self.state.stage + 1,
            global_step: self.state.global_step,
            run_seconds: self.since.elapsed().as_secs_f64(),
            losses: self.state.losses,
            finished,
            ..RunState::default()
        };
        self.checkpoints.save::<B::InnerBackend, _>(&self.state, model, None)
    }

    /// Writes both reports.
    fn report(&self) -> Result<Report> {
        let mut stages = self.state.finished.clone();
        stages.extend(self.partial.clone());
        let report = Report {
            preset: self.options.preset.name.clone(),
            seed: self.options.seed,
            backend: self.options.backend.clone(),
            stages,
            baselines: Vec::new(),
            seconds: self.since.elapsed().as_secs_f64(),
            peak_memory_mb: peak_memory_mb(),
            final_losses: self.state.losses,
            unreadable: self.unreadable.clone(),
        };
        write_json(&self.options.out.join("report.json"), &report)?;
        page::write(&self.options.out.join("report.html"), &report, &self.journal.lines()?)?;
        Ok(report)
    }
}

fn check_fingerprint(state: &RunState, fingerprint: &str, options: &RunOptions) -> Result<()> {
    if state.fingerprint == fingerprint {
        return Ok(());
    }
    let problem = format!("the run in {} was made with other stages, data or seed", options.out.display());
    Err(Error::setting("--resume", problem, "repeat the command it was started with, or give another --out"))
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
