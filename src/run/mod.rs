//! Front doors: what the commands do, by the name of a backend and options, without a type parameter. They are compiled
//! once, in the library, so that programs do not instantiate the model. Under the feature `cli` the requests are what
//! the command line is parsed into.

mod embed;
mod evaluate;
mod finetune;
mod pretrain;
mod search;
#[cfg(feature = "serve")]
mod serve;
mod visualize;

pub use embed::{EmbedRequest, embed};
pub use evaluate::{EvaluateRequest, evaluate, evaluate_shard};
pub use finetune::{FinetuneRequest, finetune};
pub use pretrain::{PretrainRequest, pretrain};
pub use search::{
    CalibrateRequest, CutRequest, FilterRequest, FindRequest, ImportIdsRequest, IndexRequest, QueryRequest,
    SimilarRequest, calibrate, find, import_ids, index, query, similar,
};
#[cfg(feature = "serve")]
pub use serve::{ServeRequest, serve};
pub use visualize::{VisualizeOutput, VisualizeRequest, visualize};

use crate::Result;
use crate::backend::{BackendKind, arithmetic, precision};
use crate::config::Precision;
use crate::weights::given_or_newest;
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
    /// f32 or bf16 (activations and products; weights stay f32); f32 by default
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
        let kind = self.backend()?;
        let precision = precision::<B>(kind, device, self.precision, Precision::F32)?;
        Ok((precision, arithmetic(kind, precision).into()))
    }
}
