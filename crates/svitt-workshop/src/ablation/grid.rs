//! Runs the grid: trains missing models, evaluates, writes a file per cell.

use super::measurement::chain;
use super::training::of;
use super::{AblationPlan, AblationSummary, Cell, Measurement, TableSpec, TrainingSpec, figures, tables};
use burn::module::AutodiffModule;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use svitt::config::{ModelConfig, TableGrowth};
use svitt::model::Svitt;
use svitt::profile::{Convention, Profile};
use svitt::train::{
    FrameMean, InitialWeights, PretrainOptions, RetrievalModel, RunState, StopSignal, TrainEvents, TrainingData,
    expand, stage_report, train_single_stage,
};
use svitt::weights::{Checkpoint, CheckpointInfo, CheckpointPart, MatchOptions, VocabularyRef, open_svitt, save};
use svitt::{Error, Result, digest, files};
use svitt_ops::{SvittBackend, TrainBackend};

/// What the command line says of a grid.
#[derive(Clone)]
pub struct AblationOptions {
    /// Models and sparsities.
    pub plan: AblationPlan,
    /// Where everything is written, and looked for.
    pub out: PathBuf,
    /// Names of tables; all of them where it is empty.
    pub only: Vec<String>,
    /// Runs of headline cells; none: the plan's.
    pub seeds: Option<usize>,
    /// A dense checkpoint of the first clip length that takes the place of the one the plan would train.
    pub dense: Option<PathBuf>,
    /// The backend's name, for the files.
    pub backend: String,
    /// How the run is told to stop.
    pub stop: StopSignal,
    /// Who is told how trainings go.
    pub events: TrainEvents,
}

/// Runs every cell that is not there yet and returns the tables, which are also on disk.
///
/// # Errors
/// An unknown table, a full disk, losses that stay non-finite, an interruption (finished cells stay).
pub fn ablate<B: TrainBackend>(options: &AblationOptions, device: &B::Device) -> Result<AblationSummary> {
    let wanted = wanted(options)?;
    let seeds = options.seeds.unwrap_or(options.plan.seeds).max(1) as u64;
    let mut summary = AblationSummary::default();
    for seed in 0..seeds {
        let grid = Grid::<B>::new(options, seed, device)?;
        for table in &wanted {
            for (label, cell) in table.rows.iter().filter(|(_, cell)| seed == 0 || cell.headline) {
                let found = grid.cell(cell)?;
                summary.add(table, label, found);
            }
            summary.write(&options.out)?;
        }
    }
    figures::write(&summary, &options.out)?;
    Ok(summary)
}

fn wanted(options: &AblationOptions) -> Result<Vec<TableSpec>> {
    let all = tables(&options.plan);
    if let Some(name) = options.only.iter().find(|name| all.iter().all(|table| table.key != *name)) {
        let known: Vec<&str> = all.iter().map(|table| table.key).collect();
        return Err(Error::setting("--only", format!("`{name}` is no table"), format!("use {}", known.join(", "))));
    }
    let named = |table: &TableSpec| options.only.is_empty() || options.only.iter().any(|name| name == table.key);
    Ok(all.into_iter().filter(named).collect())
}

/// Sizes of the dense checkpoint in `folder`, and the hash of its weights.
fn given(folder: &Path, plan: &AblationPlan) -> Result<(ModelConfig, String)> {
    let Checkpoint { info, weights_sha256, .. } = Checkpoint::open(folder)?;
    let (video, frames) = (&info.model.video, plan.lengths()[0]);
    let expected = plan.base(1).video;
    let fits = (video.frames, video.sparsity.mode()) == (frames, "dense")
        && [video.image_size, video.patch_size] == [expected.image_size, expected.patch_size];
    if !fits {
        let problem = format!("is {} with {} frames of {} px", video.sparsity.mode(), video.frames, video.image_size);
        let remedy = format!("give a dense one with {frames} frames of {} px", expected.image_size);
        return Err(Error::file(folder, problem, remedy));
    }
    Ok((info.model, weights_sha256))
}

/// The cells of one seed.
struct Grid<'a, B: TrainBackend> {
    run: PretrainOptions,
    plan: &'a AblationPlan,
    digest: String,
    dense: Option<&'a Path>,
    base: ModelConfig,
    trainings: Vec<TrainingSpec>,
    device: &'a B::Device,
}

impl<'a, B: TrainBackend> Grid<'a, B> {
    fn new(options: &'a AblationOptions, seed: u64, device: &'a B::Device) -> Result<Self> {
        let plan = &options.plan;
        let source = TrainingData::shapes(&plan.preset, seed)?;
        let (base, weights) = match &options.dense {
            None => (plan.base(source.tokenizer.vocab_size()), String::new()),
            Some(folder) => given(folder, plan)?,
        };
        let trainings = plan.trainings(&base)?;
        // How many seeds there are does not change what one of them gives.
        let text = serde_json::to_string(&AblationPlan { seeds: 1, ..plan.clone() }).unwrap_or_default() + &weights;
        let digest = digest::short(Sha256::new().chain_update(text));
        let run = PretrainOptions {
            backend: options.backend.clone(),
            checkpoint_seconds: f64::INFINITY,
            stop: options.stop.clone(),
            events: options.events.clone(),
            ..PretrainOptions::new(plan.preset.clone(), source, &options.out, seed)
        };
        let dense = options.dense.as_deref();
        Ok(Self { run, plan, digest, dense, base, trainings, device })
    }

    fn file(&self, cell: &str) -> PathBuf {
        self.run.out.join("cells").join(format!("{cell}-s{}.json", self.run.seed))
    }

    fn folder(&self, training: &str) -> PathBuf {
        self.run.out.join("models").join(format!("{training}-s{}", self.run.seed))
    }

    /// The result of `cell`, from its file or measured now.
    fn cell(&self, cell: &Cell) -> Result<Measurement> {
        let file = self.file(&cell.id);
        if let Some(found) = Measurement::read(&file, &self.digest) {
            return Ok(found);
        }
        let training = self.training(&cell.training)?;
        let model = self.trained(training)?;
        if cell.test.is_none() {
            let unwritten = || Error::file(&file, "was not written", "report this as a bug");
            return Measurement::read(&file, &self.digest).ok_or_else(unwritten);
        }
        let (before, config) = (training.model(&self.base), cell.model(&training.model(&self.base)));
        let model = expand(&model, &before, &config, TableGrowth::Extend)?;
        let state = RunState { seed: self.run.seed, ..RunState::default() };
        let report = stage_report(&self.run, &training.stage, &config, &model, &state)?;
        self.keep(cell, training, &config, report)
    }

    fn training(&self, id: &str) -> Result<&TrainingSpec> {
        of(&self.trainings, id)
            .ok_or_else(|| Error::setting("ablations", format!("no training `{id}`"), "report a bug"))
    }

    /// The weights of `training`, from its folder or trained now; then its own cell is written, too.
    fn trained(&self, training: &TrainingSpec) -> Result<Svitt<B::InnerBackend>> {
        let (config, folder) = (training.model(&self.base), self.folder(&training.id));
        if Measurement::read(&self.file(&training.id), &self.digest).is_some() {
            let fresh = Svitt::new(&config, 0, self.device)?;
            return Ok(Checkpoint::open(&folder)?.load(fresh, &config, &MatchOptions::default())?.0);
        }
        if let Some(given) = self.dense.filter(|_| training.id == self.plan.dense()) {
            let model = open_svitt(given, None, self.device)?.model;
            let report = stage_report(&self.run, &training.stage, &config, &model, &RunState::default())?;
            self.save(training, &config, &model, &folder)?;
            self.keep(&Cell::trained(&training.id, false), training, &config, report)?;
            return Ok(model);
        }
        let first = match &training.parent {
            None => InitialWeights::default().model(&config, &self.plan.preset.model, self.run.seed, self.device)?,
            Some(parent) => {
                let parent = self.training(parent)?;
                expand(&self.trained(parent)?, &parent.model(&self.base), &config, training.stage.tables)?
            }
        };
        log::info!("training {}, seed {}", training.id, self.run.seed);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
        let (run, number, stage) = (&self.run, training.number, &training.stage);
        let device = std::slice::from_ref(self.device);
        let (model, report) = if training.order_blind {
            let model = FrameMean { model: Svitt::<B>::from_inner(first) };
            let (model, state) = train_single_stage::<B, _>(run, number, stage, &config, model, &folder, device)?;
            let report = stage_report(run, stage, &config, &model as &dyn RetrievalModel<_>, &state)?;
            (model.model, report)
        } else {
            let model = Svitt::<B>::from_inner(first);
            let (model, state) = train_single_stage::<B, _>(run, number, stage, &config, model, &folder, device)?;
            let report = stage_report(run, stage, &config, &model, &state)?;
            (model, report)
        };
        self.save(training, &config, &model, &folder)?;
        self.keep(&Cell::trained(&training.id, false), training, &config, report)?;
        Ok(model)
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
        report: svitt::train::StageReport,
    ) -> Result<Measurement> {
        let chain = match self.dense.filter(|_| training.id == self.plan.dense()) {
            // Its training is unknown.
            Some(_) => Vec::new(),
            None => chain(&self.trainings, training)?,
        };
        let passes = if training.order_blind { training.stage.frames as f64 } else { 1.0 };
        let found = Measurement {
            cell: cell.id.clone(),
            seed: self.run.seed,
            plan: self.digest.clone(),
            training_tflops: chain.iter().map(|t| t.flops(&self.base)).sum::<Result<f64>>()? / 1e12,
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

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    type B = burn::backend::Autodiff<burn_flex::Flex>;

    /// The embedded plan with a model of one head, one step per stage and a gallery of 36 clips.
    fn options(out: &Path) -> AblationOptions {
        let mut plan = AblationPlan::load(None).unwrap();
        plan.preset.gallery_programs = Some(2);
        plan.preset.model.hidden = Some(16);
        for stage in &mut plan.preset.stages {
            (stage.length, stage.batch, stage.clips_per_object) = (svitt::config::StepsOrEpochs::Steps(1), 2, 1);
        }
        let only = vec!["fig5b".to_owned()];
        let stop = StopSignal::default();
        AblationOptions {
            plan,
            out: out.into(),
            only,
            seeds: Some(1),
            dense: None,
            backend: "flex".into(),
            stop,
            events: TrainEvents::default(),
        }
    }

    #[test]
    fn cells_that_are_there_are_not_run_again_and_a_dense_model_can_be_given() {
        let folder = tempfile::tempdir().unwrap();
        let (out, device) = (folder.path().join("a"), Default::default());
        let first = ablate::<B>(&options(&out), &device).unwrap();
        assert_eq!((first.tables.len(), first.tables[0].rows.len()), (1, 5));
        let changed = |cell: &str| std::fs::metadata(out.join("cells").join(cell)).unwrap().modified().unwrap();
        let before = changed("dense-5+cross-0.1-s0.json");
        std::fs::remove_file(out.join("cells/dense-5+cross-0.5-s0.json")).unwrap();
        let r1 = |summary: &AblationSummary| summary.tables[0].rows.iter().map(|row| row.r1.mean).collect::<Vec<_>>();
        assert_eq!(r1(&ablate::<B>(&options(&out), &device).unwrap()), r1(&first), "the missing cell gives the same");
        assert_eq!(changed("dense-5+cross-0.1-s0.json"), before);
        let given = AblationOptions { dense: Some(out.join("models/dense-5-s0")), ..options(&folder.path().join("b")) };
        let again = ablate::<B>(&given, &device).unwrap();
        assert_eq!(r1(&again), r1(&first));
        assert!(!given.out.join("models/start-s0").exists(), "nothing is trained for it");
        let unknown = AblationOptions { only: vec!["table9".into()], ..given };
        assert!(ablate::<B>(&unknown, &device).unwrap_err().to_string().contains("table1"));
    }
}
