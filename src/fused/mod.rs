//! Layer norm, bias + GELU and layer scale + residual, each in one pass over its rows instead of five to nine.
//!
//! As in [`crate::sparse`], every op is a trait method with a portable body, a hand-written backward, and kernels
//! where a backend has them. The functions take any number of leading axes: rows are the last axis, d wide.

mod autodiff;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod launch;
mod op;
mod portable;
#[cfg(test)]
mod tests;

pub use op::{FusedOps, layer_norm, linear_gelu, linear_scaled_residual};
