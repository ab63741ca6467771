//! Trains the models of a grid that are missing and measures its cells: a file per cell and seed.

use super::measurement::chain;
use super::training::of;
use super::{AblationOptions, Cell, Measurement, TrainingSpec};
use burn::module::AutodiffModule;
use cpu_time::ProcessTime;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use svitt::backend::BackendKind;
use svitt::config::{ModelConfig, PretrainPreset, Stage, StepsOrEpochs, TableGrowth};
use svitt::model::Svitt;
use svitt::profile::{Convention, Profile};
use svitt::train::{
    FrameMean, InitialWeights, PretrainOptions, RetrievalModel, RunState, StageReport, TrainableModel, TrainingData,
    expand, stage_report, train_single_stage,
};
use svitt::weights::{Checkpoint, CheckpointInfo, CheckpointPart, MatchOptions, VocabularyRef, open_svitt, save};
use svitt::{Error, Result, digest, files};
use svitt_ops::{SvittBackend, TrainBackend};

/// What the cells of a grid have in common.
pub struct GridSettings<'a> {
    /// Data, losses, text and gallery.
    pub preset: &'a PretrainPreset,
    /// The model without frames and sparsity of its own.
    pub base: ModelConfig,
    /// All trainings, parents first.
    pub trainings: Vec<TrainingSpec>,
    /// A checkpoint in the place of one of the trainings.
    pub given: Option<GivenModel<'a>>,
}

/// A trained model that a person gave.
pub struct GivenModel<'a> {
    /// The training it takes the place of.
    pub training: String,
    /// Its folder.
    pub folder: &'a Path,
    /// The hash of its weights.
    pub weights_sha256: String,
}

/// The cells of one seed.
pub struct Grid<'a, B: TrainBackend> {
    run: PretrainOptions,
    settings: &'a GridSettings<'a>,
    device: &'a B::Device,
}

impl<'a, B: TrainBackend> Grid<'a, B> {
    /// The grid of `settings` with `seed`, in the folder of `options`.
    ///
    /// # Errors
    /// Stages that name no program lengths.
    pub fn new(
        options: &AblationOptions,
        settings: &'a GridSettings<'a>,
        seed: u64,
        device: &'a B::Device,
    ) -> Result<Self> {
        let source = TrainingData::shapes(settings.preset, seed)?;
        let run = PretrainOptions {
            backend: options.backend.clone(),
            checkpoint_seconds: f64::INFINITY,
            frame_order_probes: false,
            stop: options.stop.clone(),
            events: options.events.clone(),
            ..PretrainOptions::new(settings.preset.clone(), source, &options.out, seed)
        };
        Ok(Self { run, settings, device })
    }

    /// A digest of everything the result of `cell` depends on but the seed.
    fn digest(&self, cell: &Cell) -> Result<String> {
        let GridSettings { preset, base, trainings, given } = self.settings;
        let last = self.training(&cell.training)?;
        let chain = chain(trainings, last)?;
        let within = |given: &&GivenModel| chain.iter().any(|training| training.id == given.training);
        let given = given.as_ref().filter(within).map(|given| &given.weights_sha256);
        let all = (preset, base, &chain, &cell.test, given);
        let text = serde_json::to_string(&all).map_err(|problem| Error::Fault(problem.to_string()))?;
        Ok(digest::short(Sha256::new().chain_update(text)))
    }

    fn file(&self, cell: &str) -> PathBuf {
        self.run.out.join("cells").join(format!("{cell}-s{}.json", self.run.seed))
    }

    fn folder(&self, training: &str) -> PathBuf {
        self.run.out.join("models").join(format!("{training}-s{}", self.run.seed))
    }

    /// The result in the file of `cell`, if it is one of these settings.
    fn found(&self, cell: &Cell) -> Result<Option<Measurement>> {
        Ok(Measurement::read(&self.file(&cell.id), &cell.id, self.run.seed, &self.digest(cell)?))
    }

    /// The result of `cell`, from its file or measured now.
    ///
    /// # Errors
    /// A full disk, losses that stay non-finite, an interruption.
    pub fn cell(&self, cell: &Cell) -> Result<Measurement> {
        if let Some(found) = self.found(cell)? {
            return Ok(found);
        }
        let (training, base) = (self.training(&cell.training)?, &self.settings.base);
        let model = self.model(training)?;
        if cell.test.is_none() {
            let unwritten = || Error::file(self.file(&cell.id), "was not written", "report this as a bug");
            return self.found(cell)?.ok_or_else(unwritten);
        }
        let (before, config) = (training.model(base), cell.model(&training.model(base)));
        let model = expand(&model, &before, &config, TableGrowth::Extend)?;
        let state = RunState { seed: self.run.seed, ..RunState::default() };
        let report = stage_report(&self.run, &training.stage, &config, &model, &state)?;
        self.keep(cell, training, &config, report)
    }

    fn training(&self, id: &str) -> Result<&TrainingSpec> {
        of(&self.settings.trainings, id)
            .ok_or_else(|| Error::setting("ablations", format!("no training `{id}`"), "report a bug"))
    }

    /// The model of `training`: from its folder, or trained now from the last of its ancestors that is there.
    fn model(&self, training: &TrainingSpec) -> Result<Svitt<B::InnerBackend>> {
        let given = self.settings.given.as_ref().filter(|given| given.training == training.id);
        // What a given model was trained from is not trained.
        let chain = if given.is_some() { vec![training] } else { chain(&self.settings.trainings, training)? };
        let mut missing = chain.len();
        while missing > 0 && !self.is_trained(chain[missing - 1])? {
            missing -= 1;
        }
        let mut model = chain[..missing].last().map(|last| self.saved(last)).transpose()?;
        for training in &chain[missing..] {
            model = Some(self.trained(training, model.take())?);
        }
        model.ok_or_else(|| Error::setting("ablations", format!("no model of `{}`", training.id), "report a bug"))
    }

    /// Whether the model of `training` need not be trained: weights may be deleted, or results copied without them.
    fn is_trained(&self, training: &TrainingSpec) -> Result<bool> {
        let measured = self.found(&Cell::trained(&training.id, false))?.is_some();
        Ok(measured && Checkpoint::open(self.folder(&training.id)).is_ok())
    }

    /// The model of `training` from its folder.
    fn saved(&self, training: &TrainingSpec) -> Result<Svitt<B::InnerBackend>> {
        let config = training.model(&self.settings.base);
        let fresh = Svitt::new(&config, 0, self.device)?;
        Ok(Checkpoint::open(self.folder(&training.id))?.load(fresh, &config, &MatchOptions::default())?.0)
    }

    /// Trains `training` from its parent's model `before`, saves the model and writes its own cell.
    fn trained(
        &self,
        training: &TrainingSpec,
        before: Option<Svitt<B::InnerBackend>>,
    ) -> Result<Svitt<B::InnerBackend>> {
        let (config, folder) = (training.model(&self.settings.base), self.folder(&training.id));
        let cell = Cell::trained(&training.id, false);
        if let Some(given) = self.settings.given.as_ref().filter(|given| given.training == training.id) {
            let model = open_svitt(given.folder, None, self.device)?.model;
            let report = stage_report(&self.run, &training.stage, &config, &model, &RunState::default())?;
            self.save(training, &config, &model, &folder)?;
            self.keep(&cell, training, &config, report)?;
            return Ok(model);
        }
        let first = self.first_weights(training, before, &config)?;
        log::info!("training {}, seed {}", training.id, self.run.seed);
        let model = Svitt::<B>::from_inner(first);
        let (model, report) = if training.order_blind {
            let (model, state) = self.fit(training, &config, FrameMean { model }, &folder)?;
            let report = stage_report(&self.run, &training.stage, &config, &model as &dyn RetrievalModel<_>, &state)?;
            (model.model, report)
        } else {
            let (model, state) = self.fit(training, &config, model, &folder)?;
            let report = stage_report(&self.run, &training.stage, &config, &model, &state)?;
            (model, report)
        };
        self.save(training, &config, &model, &folder)?;
        self.keep(&cell, training, &config, report)?;
        Ok(model)
    }

    /// What `training` starts from: the weights of its parent's model `before` in a model of its own, or fresh ones.
    fn first_weights(
        &self,
        training: &TrainingSpec,
        before: Option<Svitt<B::InnerBackend>>,
        config: &ModelConfig,
    ) -> Result<Svitt<B::InnerBackend>> {
        let settings = self.settings;
        match (&training.parent, before) {
            (Some(parent), Some(before)) => {
                let parent = self.training(parent)?.model(&settings.base);
                expand(&before, &parent, config, training.stage.tables)
            }
            _ => InitialWeights::default().model(config, &settings.preset.model, self.run.seed, self.device),
        }
    }

    /// Trains `model` through the stage and, where there is one, the stage of matching after it. The seconds of the
    /// state are those of both: of the processor where it computes, by the clock where a GPU does.
    fn fit<M: TrainableModel<B>>(
        &self,
        training: &TrainingSpec,
        config: &ModelConfig,
        model: M,
        folder: &Path,
    ) -> Result<(M::InnerModule, RunState)> {
        let stages = self.settings.preset.stages.len();
        let one = |number: usize, stage: &Stage, model: M, folder: &Path| {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
            let devices = std::slice::from_ref(self.device);
            train_single_stage::<B, M>(&self.run, number, stage, config, model, folder, devices)
        };
        let start = ProcessTime::now();
        let (mut model, mut state) = one(training.number, &training.stage, model, folder)?;
        if let Some(matching) = training.matching_stage() {
            let number = stages + training.number;
            let (matched, after) = one(number, &matching, M::from_inner(model), &folder.join("matching"))?;
            model = matched;
            state.seconds += after.seconds;
        }
        if BackendKind::is_cpu_named(&self.run.backend) {
            state.seconds = start.elapsed().as_secs_f64();
        }
        Ok((model, state))
    }

    /// Seconds of one step of `training`'s stage, the mean of `timed`; a short run before them does not count.
    ///
    /// # Errors
    /// As training itself.
    pub fn seconds_per_step(&self, training: &TrainingSpec, timed: usize) -> Result<f64> {
        const WARM: usize = 2;
        let config = training.model(&self.settings.base);
        let folder = self.run.out.join("timed");
        let seconds = |steps: usize| -> Result<f64> {
            let stage = Stage { length: StepsOrEpochs::Steps(steps), ..training.stage.clone() };
            let spec = TrainingSpec { stage, matching: None, ..training.clone() };
            let model = Svitt::<B>::from_inner(Svitt::new(&config, 0, self.device)?);
            Ok(self.fit(&spec, &config, model, &folder)?.1.seconds)
        };
        seconds(WARM)?;
        let (long, short) = (seconds(WARM + timed)?, seconds(WARM)?);
        // What comes before and after the steps is in both, so it is in neither; steps too short for that count whole.
        let steps = if long > short { (long - short) / timed as f64 } else { long / (WARM + timed) as f64 };
        Ok(steps)
    }

    fn save<I: SvittBackend>(
        &self,
        training: &TrainingSpec,
        config: &ModelConfig,
        model: &Svitt<I>,
        folder: &Path,
    ) -> Result<()> {
        let tokenizer = &self.run.training_data.tokenizer;
        let info = CheckpointInfo {
            model: config.clone(),
            part: CheckpointPart::Pretraining,
            absent: Vec::new(),
            vocabulary: Some(VocabularyRef { file: tokenizer.file_name().into(), sha256: tokenizer.sha256() }),
            curriculum: None,
            origin: format!("ablation {}, seed {}", training.id, self.run.seed),
        };
        save(model, folder, &info)?;
        tokenizer.save(folder).map(drop)
    }

    /// Writes the file of `cell`.
    fn keep(
        &self,
        cell: &Cell,
        training: &TrainingSpec,
        config: &ModelConfig,
        report: StageReport,
    ) -> Result<Measurement> {
        let (trainings, base) = (&self.settings.trainings, &self.settings.base);
        let chain = match self.settings.given.as_ref().filter(|given| training.id == given.training) {
            // Its training is unknown.
            Some(_) => Vec::new(),
            None => chain(trainings, training)?,
        };
        let behind = if cell.test.is_some() { Some(&training.id) } else { training.parent.as_ref() };
        let before = behind.map(|id| self.found(&Cell::trained(id, false))).transpose()?.flatten();
        let before = before.map_or(0.0, |found| found.training_seconds);
        let passes = if training.order_blind { training.stage.frames as f64 } else { 1.0 };
        let found = Measurement {
            cell: cell.id.clone(),
            seed: self.run.seed,
            plan: self.digest(cell)?,
            training_tflops: chain.iter().map(|t| t.flops(base)).sum::<Result<f64>>()? / 1e12,
            training_seconds: before + report.seconds,
            chain: chain.iter().map(|training| training.id.clone()).collect(),
            stage: chain.last().and_then(|last| serde_json::to_value(&last.stage).ok()).unwrap_or_default(),
            test: cell.test.clone(),
            mflops: passes * Profile::of(config, Convention::True)?.flops() as f64 / 1e6,
            backend: self.run.backend.clone(),
            report,
        };
        let file = self.file(&cell.id);
        let folder = self.run.out.join("cells");
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
        files::write_json(&file, &found)?;
        log::info!("{}, seed {}: R@1 {:.1}", found.cell, found.seed, found.report.scores.r1);
        Ok(found)
    }
}
