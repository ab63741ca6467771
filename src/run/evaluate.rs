//! An evaluation by the name of a backend.

use super::ModelRequest;
use crate::Result;
use crate::backend::{BackendTask, dispatch};
use crate::eval::{self, EvalOptions, Evaluation, ShardReport};
use crate::shard::Shard;
use std::path::PathBuf;
use svitt_ops::TrainBackend;

/// Evaluate a checkpoint on a benchmark, stating the full protocol
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct EvaluateRequest {
    /// The checkpoint.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub model: ModelRequest,
    /// What is asked, and how.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub options: EvalOptions,
    /// Where encoded videos are kept for later runs
    #[cfg_attr(feature = "cli", arg(long, default_value = "runs/features"))]
    pub features: PathBuf,
    /// Keep no encoded videos
    #[cfg_attr(feature = "cli", arg(long))]
    pub no_cache: bool,
}

/// Evaluates a checkpoint.
///
/// # Errors
/// A backend that is not there, files that are not there or belong elsewhere, a checkpoint for another task, a video
/// that cannot be read.
pub fn evaluate(request: &EvaluateRequest) -> Result<Evaluation> {
    let options = request.options()?;
    dispatch(request.model.backend()?, Evaluate { model: &request.model, options })?
}

/// Encodes the videos of an evaluation that fall to the job `shard`; once all jobs have, [`evaluate`] with option `join`
/// scores them.
///
/// # Errors
/// As [`evaluate`]; a benchmark whose videos are rendered; no folder for the features.
pub fn evaluate_shard(request: &EvaluateRequest, shard: Shard) -> Result<ShardReport> {
    let options = request.options()?;
    dispatch(request.model.backend()?, EncodeShard { model: &request.model, options, shard })?
}

impl EvaluateRequest {
    /// The options with what the request says of the checkpoint.
    fn options(&self) -> Result<EvalOptions> {
        let Self { model, options, features, no_cache } = self;
        let options = EvalOptions {
            checkpoint: model.folder()?,
            vocab: model.vocab.clone(),
            backend: model.backend()?.name().into(),
            features: (!no_cache).then(|| features.clone()),
            probes: options.probes || options.benchmark.is_generated(),
            ..options.clone()
        };
        log::info!("{} with {} on {}", options.benchmark, options.checkpoint.display(), options.backend);
        Ok(options)
    }
}

struct EncodeShard<'a> {
    model: &'a ModelRequest,
    options: EvalOptions,
    shard: Shard,
}

impl BackendTask for EncodeShard<'_> {
    type Output = Result<ShardReport>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let (precision, arithmetic) = self.model.arithmetic::<B>(&device)?;
        let options = EvalOptions { precision, arithmetic, ..self.options };
        eval::encode_shard::<B::InnerBackend>(&options, self.shard, &device)
    }
}

struct Evaluate<'a> {
    model: &'a ModelRequest,
    options: EvalOptions,
}

impl BackendTask for Evaluate<'_> {
    type Output = Result<Evaluation>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let (precision, arithmetic) = self.model.arithmetic::<B>(&device)?;
        eval::evaluate::<B::InnerBackend>(&EvalOptions { precision, arithmetic, ..self.options }, &device)
    }
}
