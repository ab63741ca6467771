//! The bounds a model built on the ops asks of its backend.

use crate::device::{BufferLimit, CollectiveOps};
use crate::fused::{AdamWOps, LayerOps};
use crate::sparse::SparseOps;
use crate::tokens::SelectOps;
use burn::tensor::backend::{AutodiffBackend, Backend};

/// What the model needs of a backend: Burn's own operations and this crate's, each with a portable default.
pub trait SvittBackend: Backend + BufferLimit + CollectiveOps + LayerOps + AdamWOps + SparseOps + SelectOps {}
impl<B: Backend + BufferLimit + CollectiveOps + LayerOps + AdamWOps + SparseOps + SelectOps> SvittBackend for B {}

/// A backend that can train: its gradients are computed on an inner [`SvittBackend`].
pub trait TrainBackend: SvittBackend + AutodiffBackend<InnerBackend: SvittBackend> {}
impl<B: SvittBackend + AutodiffBackend<InnerBackend: SvittBackend>> TrainBackend for B {}
