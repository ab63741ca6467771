//! Token pruning: order-preserving top-k selection, original patch ids, token orders. Knows no model.

#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube_rows;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube_select;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod launch;
mod map;
mod order;
mod rows;
mod select;

pub use map::TokenMap;
pub use order::{TokenOrder, token_order};
pub use rows::{RowOps, patch_rows, take_rows};
pub(crate) use select::keep_by_rank;
pub use select::{SelectOps, gather_patches, keep_top, kept_tokens};
