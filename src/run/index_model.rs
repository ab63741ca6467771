//! Which index a command is about, and the model that its vectors come from.

use super::ModelRequest;
use crate::Result;
use crate::eval::Budget;
use crate::index::{Index, ModelId};
#[cfg(feature = "cli")]
use crate::limits::{self, count};
use crate::search::{Embedder, identify};
use std::path::{Path, PathBuf};
use svitt_ops::SvittBackend;

/// An index and its model.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct IndexModel {
    /// The index directory
    #[cfg_attr(feature = "cli", arg(long, default_value = "svitt-index"))]
    pub index: PathBuf,
    /// The model.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub model: ModelRequest,
    /// Its sparsity; that of the index by default, or the checkpoint's.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub budget: Budget,
}

/// An index that is asked, and how much is listed.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct AskedIndex {
    /// The index and its model.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub base: IndexModel,
    /// Results
    #[cfg_attr(feature = "cli", arg(long, default_value_t = 10, value_parser = count(0, limits::ITEMS)))]
    pub top: usize,
}

impl IndexModel {
    /// The index, and the checkpoint folder of the model that made it.
    ///
    /// # Errors
    /// There is no such index or checkpoint, or the index is of another model.
    pub(super) fn open(&self) -> Result<(Index, PathBuf)> {
        let index = Index::open(&self.index)?;
        let folder = self.checkpoint_of(&index)?;
        Ok((index, folder))
    }

    /// The checkpoint folder of the model that made `index`.
    ///
    /// # Errors
    /// There is no checkpoint, or it is of another model.
    pub(super) fn checkpoint_of(&self, index: &Index) -> Result<PathBuf> {
        let folder = self.model.folder()?;
        index.require_weights(&identify(&folder, self.model.vocab.as_deref())?)?;
        Ok(folder)
    }

    /// The checkpoint folder of the model that made `index`: the one that is given, or the newest, or, where that is of
    /// another model, the one that the index names.
    ///
    /// # Errors
    /// None of them is that model's.
    #[cfg(feature = "serve")]
    pub(super) fn checkpoint_anywhere(&self, index: &Index) -> Result<PathBuf> {
        self.checkpoint_of(index).or_else(|error| {
            let named = PathBuf::from(&index.id().model);
            let known = identify(&named, self.model.vocab.as_deref()).and_then(|id| index.require_weights(&id));
            known.map(|()| named).map_err(|_| error)
        })
    }

    /// The model in checkpoint folder `folder`, as sparse as that of the index, `indexed`, if there is one and no other
    /// sparsity is asked for.
    ///
    /// # Errors
    /// A checkpoint that cannot be read, or a sparsity that it cannot have.
    pub(super) fn embedder<B: SvittBackend>(
        &self,
        folder: &Path,
        indexed: Option<&ModelId>,
        device: &B::Device,
    ) -> Result<Embedder<B>> {
        let (precision, arithmetic) = self.model.arithmetic::<B>(device)?;
        let embedder = Embedder::open(folder, self.model.vocab.as_deref(), device)?;
        embedder.with_precision(precision, arithmetic).with_budget(&self.budget, indexed)
    }
}
