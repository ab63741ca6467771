//! An evaluation by the name of a backend.

use super::ModelRequest;
use crate::Result;
use crate::backend::{BackendTask, dispatch};
use crate::eval::{self, EvalOptions, Evaluation};
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
    let EvaluateRequest { model, options, features, no_cache } = request;
    let backend = model.backend()?;
    let options = EvalOptions {
        checkpoint: model.folder()?,
        vocab: model.vocab.clone(),
        backend: backend.name().into(),
        features: (!no_cache).then(|| features.clone()),
        probes: options.probes || options.benchmark.is_generated(),
        ..options.clone()
    };
    log::info!("{} with {} on {}", options.benchmark, options.checkpoint.display(), options.backend);
    dispatch(backend, Evaluate { model, options })?
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
