#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc = include_str!("../README.md")]
//!
//! ## Where to look
//! - Attention: [`sparse::sparse_attention`] over a [`sparse::BlockGraph`], its bias [`sparse::RelativeBias`], the same
//!   with the norm and the projection in front of it [`sparse::self_attention`]; the reference is [`sparse::oracle`].
//! - Pruning: [`sparse::class_attention`] scores, [`tokens::keep_top`] selects, [`tokens::gather_patches`] keeps.
//! - Layers: [`fused::norm_linear`], [`fused::linear_residual`], [`fused::feed_forward`].
//! - Bounds: a model asks for [`SvittBackend`], a training loop for [`TrainBackend`]; all backends of the table fulfil
//!   both, the second one inside `Autodiff`.
//! - Errors are [`Error`] values that name a setting; wrong shapes panic.

// Burn's `slice([a..b])` takes an array of ranges; the lint takes it for a mistyped `(a..b).collect()`.
#![allow(clippy::single_range_in_vec_init)]

#[cfg(any(test, feature = "testing"))]
pub mod testing;

mod backend;
pub mod device;
mod error;
pub mod fused;
pub mod rng;
#[cfg(test)]
#[path = "../../../tests/skipped.rs"]
mod skipped;
pub mod sparse;
pub mod tokens;

pub use backend::{SvittBackend, TrainBackend};
pub use error::{Error, Result};
