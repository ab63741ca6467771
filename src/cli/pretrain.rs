//! `svitt pretrain`: trains SViTT through a curriculum of stages: on the built-in `shapes` benchmark, or on your own videos.

use crate::backend::{BackendKind, BackendTask, devices, dispatch, precision};
use crate::cli::allocator;
use crate::cli::columns::ColumnArgs;
use crate::cli::program::positive;
use crate::config::{Precision, PretrainPreset};
use crate::terminal::say;
use crate::train::{InitialWeights, PretrainOptions, PretrainReport, TrainingData, place, pretrain, table};
use crate::{Error, Result};
use std::path::PathBuf;
use svitt_ops::TrainBackend;

/// Train a sparse video-text transformer, clip lengths growing stage by stage.
#[derive(clap::Args)]
pub struct Args {
    /// A preset by name, or a .toml file; shapes-default, or tiny-video with --annotations
    #[arg(long)]
    preset: Option<String>,
    /// Captions of your own videos: JSON list, JSON lines, CSV, TSV, or a benchmark's original file
    #[arg(long, requires = "media")]
    annotations: Option<PathBuf>,
    /// The folder the annotations' videos lie in
    #[arg(long, requires = "annotations")]
    media: Option<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    /// vocab.txt or tokenizer.json; without it, a word list is made of the captions
    #[arg(long, requires = "annotations")]
    vocab: Option<PathBuf>,
    /// A checkpoint folder to start from
    #[arg(long)]
    init: Option<PathBuf>,
    /// BEiT weights for the video encoder
    #[arg(long)]
    init_video: Option<PathBuf>,
    /// BERT weights for the text encoder
    #[arg(long)]
    init_text: Option<PathBuf>,
    /// Where to write; runs/pretrain, or a numbered sibling if that exists
    #[arg(long)]
    out: Option<PathBuf>,
    /// Go on with the run in --out
    #[arg(long)]
    resume: bool,
    /// Optimizer steps of the whole run, at most
    #[arg(long, value_parser = positive)]
    max_steps: Option<usize>,
    /// Also train, at equal compute, the models this one is compared with
    #[arg(long)]
    baselines: bool,
    /// Seed of everything random
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cuda, wgpu, wgpu-wgsl, flex or ndarray; the fastest of this build by default
    #[arg(long)]
    backend: Option<String>,
    /// Workers, one per device, each with the preset's batch; on a CPU backend they share it
    #[arg(long, default_value_t = 1)]
    devices: usize,
    /// Take contrastive negatives from the batches of all devices, not from a device's own alone as published
    #[arg(long)]
    global_negatives: bool,
    /// f32 or bf16 (activations and products; weights stay f32); the preset's on CUDA, else f32
    #[arg(long)]
    precision: Option<Precision>,
    /// Optimizer steps between checkpoints, besides one a minute
    #[arg(long, value_parser = positive)]
    checkpoint_every: Option<usize>,
}

/// Whether the backend has what is asked for, before anything is written.
struct Check {
    backend: BackendKind,
    workers: usize,
    asked: Option<Precision>,
    preset: Precision,
}

impl BackendTask for Check {
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
        pretrain::<B>(options, &devices, &|config| first.model(config, choice, options.seed, &device))
    }
}

/// Runs the command.
pub fn run(arguments: Args) -> Result<()> {
    allocator::save_memory(true);
    let backend = BackendKind::choose(arguments.backend.as_deref())?;
    let default = if arguments.annotations.is_some() { "tiny-video" } else { "shapes-default" };
    let preset = PretrainPreset::load(arguments.preset.as_deref().unwrap_or(default))?;
    let source = match (&arguments.annotations, &arguments.media) {
        (Some(annotations), Some(media)) => TrainingData::videos(
            &preset,
            annotations,
            &arguments.columns.into(),
            media,
            arguments.vocab.as_deref(),
            arguments.seed,
        )?,
        _ if preset.is_shapes() => TrainingData::shapes(&preset, arguments.seed)?,
        _ => {
            let problem = format!("preset `{}` trains on videos of your own", preset.name);
            return Err(Error::setting("--annotations", problem, "give --annotations FILE and --media DIR"));
        }
    };
    let first = InitialWeights { checkpoint: arguments.init, video: arguments.init_video, text: arguments.init_text };
    let inputs = vec![format!("{:?} {:?} {first:?}", arguments.annotations, arguments.media)];
    let (workers, asked) = (arguments.devices, arguments.precision);
    let precision = dispatch(backend, Check { backend, workers, asked, preset: preset.precision })??;
    let out = place(arguments.out.as_deref(), arguments.resume)?;
    say(format!("{}: {}\nwriting to {}", preset.name, preset.description, out.display()));
    let options = PretrainOptions {
        preset,
        source,
        inputs,
        out: out.to_path_buf(),
        resume: arguments.resume,
        max_steps: arguments.max_steps,
        seed: arguments.seed,
        backend: backend.name().to_string(),
        baselines: arguments.baselines,
        checkpoint_seconds: 60.0,
        checkpoint_steps: arguments.checkpoint_every,
        precision,
        global_negatives: arguments.global_negatives,
        stop: crate::cli::signals::listen()?,
    };
    let report = dispatch(backend, Pretrain { options, first, backend, workers })??;
    say(table(&report.stages));
    say(format!(
        "{:.0} s, {:.0} MB at most; see {}",
        report.seconds,
        report.peak_memory_mb,
        out.join("report.html").display()
    ));
    Ok(())
}
