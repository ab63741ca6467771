//! Pretraining by the name of a backend.

use crate::backend::{BackendKind, BackendTask, devices, dispatch, precision};
use crate::config::{Precision, PretrainPreset};
use crate::data::import::Columns;
#[cfg(feature = "cli")]
use crate::limits::{self, count};
use crate::train::{
    self, InitialWeights, PretrainOptions, PretrainReport, RunFolder, StopSignal, TrainEvent, TrainEvents,
    TrainingData, claim_run_folder,
};
use crate::{Error, Result};
use std::path::PathBuf;
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
    /// Workers, one per device, each with the preset's batch; on a CPU backend they share it; 1 by default
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
    /// How the run is told to stop.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub stop: StopSignal,
    /// Who is told how it goes.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub events: TrainEvents,
}

/// Runs a curriculum, and returns the folder it wrote to and its report, which is also there.
///
/// # Errors
/// A backend or a device that is not there, settings that cannot work, data that cannot be read, a full disk, losses
/// that stay non-finite, an interruption (after saving).
pub fn pretrain(request: &PretrainRequest) -> Result<(RunFolder, PretrainReport)> {
    let backend = BackendKind::choose(request.backend.as_deref())?;
    let preset = request.preset()?;
    let source = request.training_data(&preset)?;
    let first = InitialWeights {
        checkpoint: request.init.clone(),
        video: request.init_video.clone(),
        text: request.init_text.clone(),
    };
    let inputs = vec![format!("{:?} {:?} {first:?}", request.annotations, request.media)];
    let (workers, asked) = (request.devices.unwrap_or(1), request.precision);
    let precision = dispatch(backend, DeviceCheck { backend, workers, asked, preset: preset.precision })??;
    let out = claim_run_folder(request.out.as_deref(), request.resume)?;
    let title = format!("{}: {}", preset.name, preset.description);
    request.events.tell(TrainEvent::Started { title: &title, out: &out });
    let options = PretrainOptions {
        base: first.base()?,
        inputs,
        resume: request.resume,
        max_steps: request.max_steps,
        backend: backend.name().to_string(),
        baselines: request.baselines,
        checkpoint_steps: request.checkpoint_every,
        precision,
        global_negatives: request.global_negatives,
        stop: request.stop.clone(),
        events: request.events.clone(),
        ..PretrainOptions::new(preset, source, &out, request.seed)
    };
    let report = dispatch(backend, Pretrain { options, first, backend, workers })??;
    Ok((out, report))
}

impl PretrainRequest {
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
    asked: Option<Precision>,
    preset: Precision,
}

impl BackendTask for DeviceCheck {
    type Output = Result<Precision>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Result<Precision> {
        devices::<B>(self.backend, &device, self.workers)?;
        precision::<B>(self.backend, &device, self.asked, self.preset)
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
        let devices = devices::<B>(*backend, &device, *workers)?;
        train::pretrain::<B>(options, &devices, &|config| first.model(config, choice, options.seed, &device))
    }
}
