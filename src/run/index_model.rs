//! Which index a command is about, and the model that its vectors come from.

use super::ModelRequest;
use crate::Result;
use crate::backend::BackendKind;
use crate::config::Precision;
use crate::eval::Budget;
use crate::index::{Index, ModelId};
#[cfg(feature = "cli")]
use crate::limits::{self, count};
use crate::search::{ENOUGH_AGREEMENT, Embedder, identify};
use std::path::{Path, PathBuf};
use svitt_ops::SvittBackend;
use svitt_ops::device::cpu_computes_bf16;

/// Said where the precision of a new index was chosen.
const BOTH_WAYS: &str = "--precision decides otherwise";

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
        let asked = self.model.precision.or(indexed.map(|id| id.precision));
        let (precision, arithmetic) = self.model.arithmetic_of::<B>(device, asked)?;
        let embedder = Embedder::open(folder, self.model.vocab.as_deref(), device)?;
        let embedder = embedder.with_precision(precision, arithmetic).named_as(asked.unwrap_or_default());
        embedder.with_budget(&self.budget, indexed)
    }

    /// `embedder`, which is to make a new index: in bf16 where this CPU computes it, nothing else is asked for, and its
    /// vectors agree with those of f32.
    ///
    /// # Errors
    /// The model refuses the clips they are compared on.
    pub(super) fn for_new_index<B: SvittBackend>(
        &self,
        embedder: Embedder<B>,
        device: &B::Device,
    ) -> Result<Embedder<B>> {
        let flex = self.model.backend()? == BackendKind::Flex;
        if self.model.precision.is_some() || !flex || !cpu_computes_bf16() {
            return Ok(embedder);
        }
        let (precision, arithmetic) = self.model.arithmetic_of::<B>(device, Some(Precision::Bf16))?;
        let agreement = embedder.agreement(precision)?;
        if agreement < ENOUGH_AGREEMENT {
            log::info!("computing in f32: vectors in bf16 have a cosine of {agreement:.5} to them ({BOTH_WAYS})");
            return Ok(embedder);
        }
        log::info!("computing in bf16, whose vectors have a cosine of {agreement:.5} to those of f32 ({BOTH_WAYS})");
        Ok(embedder.with_precision(precision, arithmetic))
    }
}
