//! Layer norm, bias + GELU, and layer scale + residual, each in one pass over its rows instead of five to nine; and
//! each branch of a pre-norm layer as one operation.
//!
//! As in [`crate::sparse`], every op is a trait method with a portable body, a hand-written backward, and kernels
//! where a backend has them. The functions take any number of leading axes: rows are the last axis, d wide.

mod adamw;
#[cfg(all(test, feature = "flex"))]
mod arithmetic_tests;
mod autodiff;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod finish;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod launch;
mod layer;
mod layer_autodiff;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod layer_cpu;
mod layer_portable;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod left;
mod op;
mod portable;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod rows;
#[cfg(all(test, any(feature = "ndarray", feature = "flex")))]
mod tests;

pub use adamw::{AdamWOps, AdamWStep, adamw, square_sum};
pub use layer::{
    BranchScale, FeedForwardSaved, FeedForwardWeights, LayerOps, LinearWeights, NormWeights, feed_forward,
    linear_residual, norm_linear,
};
pub use op::{FusedOps, flatten_rows, layer_norm, linear_gelu, unflatten_rows};
