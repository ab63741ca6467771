//! The bounds a model built on the ops asks of its backend.

use crate::device::{BufferLimit, CollectiveOps};
use crate::fused::{AdamWOps, LayerOps};
use crate::sparse::SparseOps;
use crate::tokens::SelectOps;
use burn::tensor::backend::{AutodiffBackend, Backend};

/// The operations the model needs: Burn's own, and those of this crate, which have a portable default.
pub trait SvittBackend: Backend + BufferLimit + CollectiveOps + LayerOps + AdamWOps + SparseOps + SelectOps {}
impl<B: Backend + BufferLimit + CollectiveOps + LayerOps + AdamWOps + SparseOps + SelectOps> SvittBackend for B {}

/// A backend that can train: its gradients are computed on an inner [`SvittBackend`].
pub trait TrainBackend: SvittBackend + AutodiffBackend<InnerBackend: SvittBackend> {}
impl<B: SvittBackend + AutodiffBackend<InnerBackend: SvittBackend>> TrainBackend for B {}
