//! Front doors: what the commands do, by the name of a backend and options, without a type parameter. They are compiled
//! once, in the library, so that programs do not instantiate the model. Under the feature `cli` the requests are what
//! the command line is parsed into.

mod embed;
mod evaluate;
mod finetune;
mod index_model;
mod pretrain;
mod search;
#[cfg(feature = "serve")]
mod serve;
mod visualize;

pub use embed::{EmbedRequest, embed};
pub use evaluate::{EvaluateRequest, evaluate, evaluate_shard};
pub use finetune::{FinetuneRequest, assist_finetuning, finetune};
pub use index_model::{AskedIndex, IndexModel};
pub use pretrain::{PretrainRequest, assist_pretraining, pretrain};
pub use search::{
    CalibrateRequest, CutRequest, FilterRequest, FindRequest, ImportIdsRequest, IndexRequest, QueryRequest,
    SimilarRequest, calibrate, find, import_ids, index, query, similar,
};
#[cfg(feature = "serve")]
pub use serve::{ServeRequest, serve};
pub use visualize::{VisualizeOutput, VisualizeRequest, visualize};

use crate::backend::{BackendKind, arithmetic, precision, training_precision};
use crate::config::Precision;
use crate::train::parallel::{ExchangeFormat, Job};
use crate::weights::given_or_newest;
use crate::{Error, Result, digest};
use burn::tensor::backend::Backend;
use std::path::PathBuf;

/// Which model is loaded, and what computes it.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct ModelRequest {
    /// Checkpoint folder; the newest under ./runs by default
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR"))]
    pub checkpoint: Option<PathBuf>,
    /// vocab.txt or tokenizer.json; the one beside the weights by default
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub vocab: Option<PathBuf>,
    /// cuda, wgpu, wgpu-wgsl, flex or ndarray; the fastest of this build by default
    #[cfg_attr(feature = "cli", arg(long))]
    pub backend: Option<String>,
    /// f32, bf16 (activations and products) or int8 (products of the video encoder, on CPUs); weights stay f32; f32 by
    /// default, and of an index what it was made in: a new one in bf16 where the CPU computes it and the vectors agree
    #[cfg_attr(feature = "cli", arg(long))]
    pub precision: Option<Precision>,
}

impl ModelRequest {
    /// The checkpoint folder.
    ///
    /// # Errors
    /// None was given and none is there.
    pub fn folder(&self) -> Result<PathBuf> {
        given_or_newest(self.checkpoint.clone())
    }

    /// The backend.
    ///
    /// # Errors
    /// An unknown name, or one that this build lacks.
    pub fn backend(&self) -> Result<BackendKind> {
        BackendKind::choose(self.backend.as_deref())
    }

    /// What the model computes in on `device`, and its name in reports.
    ///
    /// # Errors
    /// [`Self::backend`]'s, or a device that does not compute in it.
    fn arithmetic<B: Backend>(&self, device: &B::Device) -> Result<(Precision, String)> {
        self.arithmetic_of::<B>(device, self.precision)
    }

    /// [`Self::arithmetic`] where `asked` is asked for.
    fn arithmetic_of<B: Backend>(&self, device: &B::Device, asked: Option<Precision>) -> Result<(Precision, String)> {
        let kind = self.backend()?;
        let precision = precision::<B>(kind, device, asked, Precision::F32)?;
        Ok((precision, arithmetic(kind, precision).into()))
    }

    /// [`Self::arithmetic`] of a model that is trained.
    ///
    /// # Errors
    /// The same, or int8 was asked for.
    fn training_arithmetic<B: Backend>(&self, device: &B::Device) -> Result<(Precision, String)> {
        let kind = self.backend()?;
        let precision = training_precision::<B>(kind, device, self.precision, Precision::F32)?;
        Ok((precision, arithmetic(kind, precision).into()))
    }
}

/// The version and the digest of this program.
fn build() -> Result<String> {
    let program = std::env::current_exe().map_err(|error| Error::Fault(error.to_string()))?;
    let content = std::fs::read(&program).map_err(|error| Error::io(&program, &error))?;
    Ok(format!("{} with digest {}", env!("CARGO_PKG_VERSION"), &digest::sha256_hex(content)[..8]))
}

/// `job` with gradients in the format `asked` for.
fn exchanging(job: &Job, asked: Option<ExchangeFormat>) -> Result<Job> {
    if job.size() == 1 && asked.is_some() {
        let problem = "one process exchanges nothing";
        return Err(Error::setting("exchange", problem, "start several by mpirun or srun, or leave it out"));
    }
    Ok(job.clone().with_format(asked.unwrap_or_default()))
}

/// `wanted` where this build can write event files: said before a folder is made.
fn writable(wanted: bool) -> Result<bool> {
    if wanted && !cfg!(feature = "tensorboard") {
        let remedy = "build with --features tensorboard, or leave it out";
        return Err(Error::setting("tensorboard", "this build writes no event files", remedy));
    }
    Ok(wanted)
}
