//! Fine-tuning by the name of a backend.

use super::ModelRequest;
use crate::Result;
use crate::backend::{BackendTask, dispatch};
use crate::config::Precision;
use crate::data::Benchmark;
use crate::data::import::Columns;
#[cfg(feature = "cli")]
use crate::limits::{self, count};
use crate::progress::ProgressSink;
use crate::train::{
    self, FinetuneOptions, FinetunePreset, FinetuneReport, StopSignal, TrainEvent, TrainEvents, claim_run_folder,
};
use std::path::{Path, PathBuf};
use svitt_ops::TrainBackend;

/// Fine-tune a pretrained checkpoint for retrieval or question answering
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct FinetuneRequest {
    /// msrvtt, didemo, charades, ssv2-label, ssv2-template, anet, msvd, vatex, lsmdc, msrvtt-qa, anet-qa, agqa, shapes or
    /// shapes-qa
    pub benchmark: Benchmark,
    /// The checkpoint it starts from.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub model: ModelRequest,
    /// A .toml file of settings; the benchmark's published ones by default
    #[cfg_attr(feature = "cli", arg(long))]
    pub preset: Option<PathBuf>,
    /// The training annotations; data/BENCHMARK/ by default
    #[cfg_attr(feature = "cli", arg(long))]
    pub annotations: Option<PathBuf>,
    /// Folder of the videos
    #[cfg_attr(feature = "cli", arg(long))]
    pub media: Option<PathBuf>,
    /// Names of columns of the annotations.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub columns: Columns,
    /// The validation annotations; a validation file beside the training one, or a part held out, by default
    #[cfg_attr(feature = "cli", arg(long))]
    pub validation: Option<PathBuf>,
    /// JSON list of answers to choose from; derived from the training answers by default
    #[cfg_attr(feature = "cli", arg(long))]
    pub answers: Option<PathBuf>,
    /// Where to write; runs/finetune-BENCHMARK, or a numbered sibling if that exists
    #[cfg_attr(feature = "cli", arg(long))]
    pub out: Option<PathBuf>,
    /// Go on with the run in --out
    #[cfg_attr(feature = "cli", arg(long))]
    pub resume: bool,
    /// Optimizer steps, at most; the schedule stays as it is
    #[cfg_attr(feature = "cli", arg(long, value_parser = count(1, limits::STEPS)))]
    pub max_steps: Option<usize>,
    /// Pairs per step
    #[cfg_attr(feature = "cli", arg(long, value_parser = count(1, limits::BATCH)))]
    pub batch: Option<usize>,
    /// Seed of everything random
    #[cfg_attr(feature = "cli", arg(long, default_value_t = 0))]
    pub seed: u64,
    /// How the run is told to stop.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub stop: StopSignal,
    /// Who is told how it goes.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub events: TrainEvents,
    /// Who is told how far a validation is.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub progress: ProgressSink,
}

impl FinetuneRequest {
    /// A fine-tuning of the newest checkpoint for `benchmark`, as published.
    pub fn new(benchmark: Benchmark) -> Self {
        Self {
            benchmark,
            model: ModelRequest::default(),
            preset: None,
            annotations: None,
            media: None,
            columns: Columns::default(),
            validation: None,
            answers: None,
            out: None,
            resume: false,
            max_steps: None,
            batch: None,
            seed: 0,
            stop: StopSignal::default(),
            events: TrainEvents::default(),
            progress: ProgressSink::default(),
        }
    }
}

/// Fine-tunes, and returns the report, which is also on disk.
///
/// # Errors
/// A backend that is not there, a checkpoint or data that cannot be used, a full disk, losses that stay non-finite, an
/// interruption (after saving).
pub fn finetune(request: &FinetuneRequest) -> Result<FinetuneReport> {
    let FinetuneRequest { benchmark, model, .. } = request;
    let backend = model.backend()?;
    let mut preset = FinetunePreset::load(*benchmark, request.preset.as_deref())?;
    preset.stage.batch = request.batch.unwrap_or(preset.stage.batch);
    let checkpoint = model.folder()?;
    let default = PathBuf::from(format!("runs/finetune-{benchmark}"));
    let wanted: &Path = request.out.as_deref().unwrap_or(&default);
    let out = claim_run_folder(Some(wanted), request.resume)?;
    request.events.tell(TrainEvent::Started { title: &preset.description, out: &out });
    let options = FinetuneOptions {
        benchmark: *benchmark,
        checkpoint,
        preset,
        annotations: request.annotations.clone(),
        media: request.media.clone(),
        columns: request.columns.clone(),
        validation: request.validation.clone(),
        vocab: model.vocab.clone(),
        answers: request.answers.clone(),
        out: out.to_path_buf(),
        resume: request.resume,
        max_steps: request.max_steps,
        seed: request.seed,
        backend: backend.name().into(),
        precision: Precision::F32,
        arithmetic: String::new(),
        stop: request.stop.clone(),
        events: request.events.clone(),
        progress: request.progress.clone(),
    };
    dispatch(backend, Finetune { model, options })?
}

struct Finetune<'a> {
    model: &'a ModelRequest,
    options: FinetuneOptions,
}

impl BackendTask for Finetune<'_> {
    type Output = Result<FinetuneReport>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let (precision, arithmetic) = self.model.arithmetic::<B>(&device)?;
        train::finetune::<B>(&FinetuneOptions { precision, arithmetic, ..self.options }, &device)
    }
}
