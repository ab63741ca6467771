//! Fine-tuning by the name of a backend.

use super::{ModelRequest, build, exchanging, writable};
use crate::backend::{BackendTask, devices, dispatch};
use crate::config::Precision;
use crate::data::Benchmark;
use crate::data::import::Columns;
#[cfg(feature = "cli")]
use crate::limits::{self, count};
use crate::progress::ProgressSink;
use crate::train::parallel::{ExchangeFormat, Job};
use crate::train::{
    self, FinetuneOptions, FinetunePreset, FinetuneReport, StopSignal, TrainEvent, TrainEvents, claim_run_folder,
};
use crate::{Error, Result, digest};
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
    /// Pairs per step, in each process
    #[cfg_attr(feature = "cli", arg(long, value_parser = count(1, limits::BATCH)))]
    pub batch: Option<usize>,
    /// Seed of everything random
    #[cfg_attr(feature = "cli", arg(long, default_value_t = 0))]
    pub seed: u64,
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
            tensorboard: false,
            exchange: None,
            job: Job::default(),
            stop: StopSignal::default(),
            events: TrainEvents::default(),
            progress: ProgressSink::default(),
        }
    }
}

/// Fine-tunes, and returns the report, which is also on disk. Of a job's processes this is what process 0 does, and
/// [`assist_finetuning`] what the others do.
///
/// # Errors
/// A backend that is not there, a checkpoint or data that cannot be used, a full disk, losses that stay non-finite, an
/// interruption (after saving).
pub fn finetune(request: &FinetuneRequest) -> Result<FinetuneReport> {
    let options = request.agreed()?;
    let default = PathBuf::from(format!("runs/finetune-{}", request.benchmark));
    let wanted: &Path = request.out.as_deref().unwrap_or(&default);
    let out = request.job.agree(claim_run_folder(Some(wanted), request.resume), &[])?;
    request.events.tell(TrainEvent::Started { title: &options.preset.description, out: &out });
    let options = FinetuneOptions { out: out.to_path_buf(), ..options };
    let report = dispatch(request.model.backend()?, Finetune { model: &request.model, options })??;
    report.ok_or_else(|| Error::Fault("only process 0 reports".into()))
}

/// What a process of a job other than 0 does with the same request: its share of every batch.
///
/// # Errors
/// As [`finetune`], or [`Error::Elsewhere`] where process 0 says why the run ended.
pub fn assist_finetuning(request: &FinetuneRequest) -> Result<()> {
    let options = request.agreed()?;
    request.job.agree(Ok(()), &[])?;
    dispatch(request.model.backend()?, Finetune { model: &request.model, options })?.map(drop)
}

impl FinetuneRequest {
    /// The options of a run whose processes all mean the same; its folder is process 0's.
    fn agreed(&self) -> Result<FinetuneOptions> {
        let options = self.options();
        let facts = match (&options, self.job.size()) {
            (Ok(options), 2..) => {
                let preset = serde_json::to_string(&options.preset).map_err(|error| Error::Fault(error.to_string()))?;
                vec![
                    ("build", build()?),
                    ("benchmark", self.benchmark.to_string()),
                    ("preset", format!("with digest {}", &digest::sha256_hex(preset)[..8])),
                    ("seed", self.seed.to_string()),
                    ("backend", options.backend.clone()),
                    ("exchange format", options.job.format().name().to_owned()),
                    ("number of steps", format!("{:?}", self.max_steps)),
                ]
            }
            _ => Vec::new(),
        };
        self.job.agree(options, &facts)
    }

    fn options(&self) -> Result<FinetuneOptions> {
        let mut preset = FinetunePreset::load(self.benchmark, self.preset.as_deref())?;
        preset.stage.batch = self.batch.unwrap_or(preset.stage.batch);
        Ok(FinetuneOptions {
            benchmark: self.benchmark,
            checkpoint: self.model.folder()?,
            preset,
            annotations: self.annotations.clone(),
            media: self.media.clone(),
            columns: self.columns.clone(),
            validation: self.validation.clone(),
            vocab: self.model.vocab.clone(),
            answers: self.answers.clone(),
            out: PathBuf::new(),
            resume: self.resume,
            max_steps: self.max_steps,
            seed: self.seed,
            backend: self.model.backend()?.name().into(),
            precision: Precision::F32,
            arithmetic: String::new(),
            tensorboard: writable(self.tensorboard)?,
            job: exchanging(&self.job, self.exchange)?,
            stop: self.stop.clone(),
            events: self.events.clone(),
            progress: self.progress.clone(),
        })
    }
}

struct Finetune<'a> {
    model: &'a ModelRequest,
    options: FinetuneOptions,
}

impl BackendTask for Finetune<'_> {
    type Output = Result<Option<FinetuneReport>>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let (precision, arithmetic) = self.model.training_arithmetic::<B>(&device)?;
        let options = FinetuneOptions { precision, arithmetic, ..self.options };
        let own = devices::<B>(self.model.backend()?, &device, 1, options.job.on_machine())?;
        match options.job.is_first() {
            true => train::finetune::<B>(&options, &own[0]).map(Some),
            false => train::follow_finetuning::<B>(&options, &own[0]).map(|()| None),
        }
    }
}
