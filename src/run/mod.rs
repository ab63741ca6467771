//! Front doors: what the commands do, by the name of a backend and options, without a type parameter. They are compiled
//! once, in the library, so that programs do not instantiate the model. Under the feature `cli` the requests are what
//! the command line is parsed into.

mod embed;
mod evaluate;
mod finetune;
mod pretrain;
mod search;
mod visualize;

pub use embed::{EmbedRequest, embed};
pub use evaluate::{EvaluateRequest, evaluate};
pub use finetune::{FinetuneRequest, finetune};
pub use pretrain::{PretrainRequest, pretrain};
pub use search::{CutRequest, FindRequest, IndexRequest, QueryRequest, SimilarRequest, find, index, query, similar};
pub use visualize::{VisualizeOutput, VisualizeRequest, visualize};

use crate::Result;
use crate::backend::BackendKind;
use crate::weights::given_or_newest;
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
}
