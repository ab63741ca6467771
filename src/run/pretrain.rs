//! Pretraining by the name of a backend.

use super::{build, exchanging, writable};
use crate::backend::{BackendKind, BackendTask, devices, dispatch, training_precision};
use crate::config::{Precision, PretrainPreset};
use crate::data::import::Columns;
#[cfg(feature = "cli")]
use crate::limits::{self, count};
use crate::train::parallel::{ExchangeFormat, Job};
use crate::train::{
    self, InitialWeights, PretrainOptions, PretrainReport, RunFolder, StopSignal, TrainEvent, TrainEvents,
    TrainingData, claim_run_folder,
};
use crate::{Error, Result, digest};
use std::path::{Path, PathBuf};
use svitt_ops::TrainBackend;

/// Train a sparse video-text transformer, clip lengths growing stage by stage.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct PretrainRequest {
    /// A preset by name, or a .toml file; shapes-default, or tiny-video with --annotations
    #[cfg_attr(feature = "cli", arg(long))]
    pub preset: Option<String>,
    /// Captions of your own videos: JSON list, JSON lines, CSV, TSV, or a benchmark's original file
    #[cfg_attr(feature = "cli", arg(long, requires = "media"))]
    pub annotations: Option<PathBuf>,
    /// The folder the annotations' videos lie in
    #[cfg_attr(feature = "cli", arg(long, requires = "annotations"))]
    pub media: Option<PathBuf>,
    /// Names of columns of the annotations.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub columns: Columns,
    /// vocab.txt or tokenizer.json; without it, a word list is made of the captions
    #[cfg_attr(feature = "cli", arg(long, requires = "annotations"))]
    pub vocab: Option<PathBuf>,
    /// A checkpoint folder to start from
    #[cfg_attr(feature = "cli", arg(long))]
    pub init: Option<PathBuf>,
    /// BEiT weights for the video encoder
    #[cfg_attr(feature = "cli", arg(long))]
    pub init_video: Option<PathBuf>,
    /// BERT weights for the text encoder
    #[cfg_attr(feature = "cli", arg(long))]
    pub init_text: Option<PathBuf>,
    /// Where to write; runs/pretrain, or a numbered sibling if that exists
    #[cfg_attr(feature = "cli", arg(long))]
    pub out: Option<PathBuf>,
    /// Go on with the run in --out
    #[cfg_attr(feature = "cli", arg(long))]
    pub resume: bool,
    /// Optimizer steps of the whole run, at most
    #[cfg_attr(feature = "cli", arg(long, value_parser = count(1, limits::STEPS)))]
    pub max_steps: Option<usize>,
    /// Also train, at equal compute, the models this one is compared with
    #[cfg_attr(feature = "cli", arg(long))]
    pub baselines: bool,
    /// Seed of everything random
    #[cfg_attr(feature = "cli", arg(long, default_value_t = 0))]
    pub seed: u64,
    /// cuda, wgpu, wgpu-wgsl, flex or ndarray; the fastest of this build by default
    #[cfg_attr(feature = "cli", arg(long))]
    pub backend: Option<String>,
    /// Workers, one per device, in each process, each with the preset's batch; on a CPU backend they share it; 1 by default
    #[cfg_attr(feature = "cli", arg(long, value_parser = count(1, limits::THREADS)))]
    pub devices: Option<usize>,
    /// Take contrastive negatives from the batches of all devices, not from a device's own alone as published
    #[cfg_attr(feature = "cli", arg(long))]
    pub global_negatives: bool,
    /// f32 or bf16 (activations and products; weights stay f32); the preset's on CUDA, else f32
    #[cfg_attr(feature = "cli", arg(long))]
    pub precision: Option<Precision>,
    /// Optimizer steps between checkpoints, besides one a minute
    #[cfg_attr(feature = "cli", arg(long, value_parser = count(1, limits::STEPS)))]
    pub checkpoint_every: Option<usize>,
    /// Also write an event file for TensorBoard (builds with --features tensorboard)
    #[cfg_attr(feature = "cli", arg(long))]
    pub tensorboard: bool,
    /// f32 or bf16: what gradients travel as between processes, which sum them in f32; f32 by default
    #[cfg_attr(feature = "cli", arg(long))]
    pub exchange: Option<ExchangeFormat>,
    /// The job that this process is one of.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub job: Job,
    /// How the run is told to stop.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub stop: StopSignal,
    /// Who is told how it goes.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub events: TrainEvents,
}

/// Runs a curriculum, and returns the folder it wrote to and its report, which is also there. Of a job's processes this
/// is what process 0 does, and [`assist_pretraining`] what the others do.
///
/// # Errors
/// A backend or a device that is not there, settings that cannot work, data that cannot be read, a full disk, losses
/// that stay non-finite, an interruption (after saving).
pub fn pretrain(request: &PretrainRequest) -> Result<(RunFolder, PretrainReport)> {
    let job = &request.job;
    let options = agreed(request)?;
    let first = InitialWeights {
        checkpoint: request.init.clone(),
        video: request.init_video.clone(),
        text: request.init_text.clone(),
    };
    let place = || Ok((first.base()?, claim_run_folder(request.out.as_deref(), request.resume)?));
    let (base, out) = job.agree(place(), &[])?;
    let title = format!("{}: {}", options.preset.name, options.preset.description);
    request.events.tell(TrainEvent::Started { title: &title, out: &out });
    let inputs = vec![format!("{:?} {:?} {first:?}", request.annotations, request.media)];
    let options = PretrainOptions { base, inputs, out: out.to_path_buf(), ..options };
    let (backend, workers) = (BackendKind::choose(request.backend.as_deref())?, request.devices.unwrap_or(1));
    let report = dispatch(backend, Pretrain { options, first, backend, workers })??;
    Ok((out, report))
}

/// What a process of a job other than 0 does with the same request: its workers' share of the training.
///
/// # Errors
/// As [`pretrain`], or [`Error::Elsewhere`] where process 0 says why the run ended.
pub fn assist_pretraining(request: &PretrainRequest) -> Result<()> {
    let options = agreed(request)?;
    request.job.agree(Ok(()), &[])?;
    let (backend, workers) = (BackendKind::choose(request.backend.as_deref())?, request.devices.unwrap_or(1));
    dispatch(backend, Assist { options, backend, workers })?
}

/// The options of a run whose processes all can begin it and mean the same; its folder and first weights are process
/// 0's.
fn agreed(request: &PretrainRequest) -> Result<PretrainOptions> {
    let options = request.options();
    let facts = match (&options, request.job.size()) {
        (Ok(options), 2..) => request.facts(options)?,
        _ => Vec::new(),
    };
    request.job.agree(options, &facts)
}

impl PretrainRequest {
    fn options(&self) -> Result<PretrainOptions> {
        let job = exchanging(&self.job, self.exchange)?;
        let backend = BackendKind::choose(self.backend.as_deref())?;
        let preset = self.preset()?;
        let source = self.training_data(&preset)?;
        let (workers, asked) = (self.devices.unwrap_or(1), self.precision);
        let place = self.job.on_machine();
        let precision = dispatch(backend, DeviceCheck { backend, workers, place, asked, preset: preset.precision })??;
        Ok(PretrainOptions {
            resume: self.resume,
            max_steps: self.max_steps,
            backend: backend.name().to_string(),
            baselines: self.baselines,
            checkpoint_steps: self.checkpoint_every,
            precision,
            global_negatives: self.global_negatives,
            tensorboard: writable(self.tensorboard)?,
            job,
            stop: self.stop.clone(),
            events: self.events.clone(),
            ..PretrainOptions::new(preset, source, Path::new(""), self.seed)
        })
    }

    /// What must be the same in all processes of a job.
    fn facts(&self, options: &PretrainOptions) -> Result<Vec<(&'static str, String)>> {
        let preset = serde_json::to_string(&options.preset).map_err(|error| Error::Fault(error.to_string()))?;
        let data = digest::sha256_hex(options.training_data.digest());
        Ok(vec![
            ("build", build()?),
            ("preset", format!("{} with digest {}", options.preset.name, &digest::sha256_hex(preset)[..8])),
            ("seed", self.seed.to_string()),
            ("number of devices", self.devices.unwrap_or(1).to_string()),
            ("backend", options.backend.clone()),
            ("precision", options.precision.name().to_owned()),
            ("exchange format", options.job.format().name().to_owned()),
            ("setting of global negatives", self.global_negatives.to_string()),
            ("number of steps", format!("{:?}", self.max_steps)),
            ("setting of baselines", self.baselines.to_string()),
            ("list of annotations", data[..16].to_owned()),
            ("vocabulary", options.training_data.tokenizer.sha256()),
        ])
    }

    fn preset(&self) -> Result<PretrainPreset> {
        let default = if self.annotations.is_some() { "tiny-video" } else { "shapes-default" };
        PretrainPreset::load(self.preset.as_deref().unwrap_or(default))
    }

    fn training_data(&self, preset: &PretrainPreset) -> Result<TrainingData> {
        match (&self.annotations, &self.media) {
            (Some(annotations), Some(media)) => {
                TrainingData::videos(preset, annotations, &self.columns, media, self.vocab.as_deref(), self.seed)
            }
            _ if preset.is_shapes() => TrainingData::shapes(preset, self.seed),
            _ => {
                let problem = format!("preset `{}` trains on videos of your own", preset.name);
                Err(Error::setting("annotations", problem, "give option `annotations` FILE and option `media` DIR"))
            }
        }
    }
}

/// Whether the backend has what is asked for, before anything is written.
struct DeviceCheck {
    backend: BackendKind,
    workers: usize,
    place: (usize, usize),
    asked: Option<Precision>,
    preset: Precision,
}

impl BackendTask for DeviceCheck {
    type Output = Result<Precision>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Result<Precision> {
        devices::<B>(self.backend, &device, self.workers, self.place)?;
        training_precision::<B>(self.backend, &device, self.asked, self.preset)
    }
}

struct Pretrain {
    options: PretrainOptions,
    first: InitialWeights,
    backend: BackendKind,
    workers: usize,
}

impl BackendTask for Pretrain {
    type Output = Result<PretrainReport>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Result<PretrainReport> {
        let Self { options, first, backend, workers } = &self;
        let choice = &options.preset.model;
        let devices = devices::<B>(*backend, &device, *workers, options.job.on_machine())?;
        train::pretrain::<B>(options, &devices, &|config| first.model(config, choice, options.seed, &devices[0]))
    }
}

struct Assist {
    options: PretrainOptions,
    backend: BackendKind,
    workers: usize,
}

impl BackendTask for Assist {
    type Output = Result<()>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Result<()> {
        let devices = devices::<B>(self.backend, &device, self.workers, self.options.job.on_machine())?;
        train::follow::<B>(&self.options, &devices)
    }
}
