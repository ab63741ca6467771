//! Block-sparse attention, token pruning and fused layers for any Burn model.

// Burn's `slice([a..b])` takes an array of ranges; the lint takes it for a mistyped `(a..b).collect()`.
#![allow(clippy::single_range_in_vec_init)]

#[cfg(any(test, feature = "testing"))]
pub mod testing;

mod backend;
pub mod device;
mod error;
pub mod fused;
pub mod rng;
pub mod sparse;
pub mod tokens;

pub use backend::{SvittBackend, TrainBackend};
pub use error::{Error, Result};
