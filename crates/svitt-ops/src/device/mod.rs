//! What the ops need of a device: its buffers and element types, matrix products, kernel launches, sums over devices.

#[cfg(any(feature = "ndarray", feature = "flex"))]
pub(crate) mod bf16;
mod collective;
mod cpu;
#[cfg(any(feature = "ndarray", feature = "flex"))]
pub(crate) mod cpu_gemm;
mod dtype;
#[cfg(any(feature = "ndarray", feature = "flex"))]
pub mod host;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(crate) mod launch;
mod limit;
mod matmul;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod matmul_f32;
#[cfg(any(feature = "ndarray", feature = "flex"))]
pub(crate) mod simd;
mod vectorized;

pub use collective::CollectiveOps;
pub use cpu::{CpuInstructions, cpu_computes_bf16, cpu_instructions};
pub use dtype::{cast, cast_raw};
pub use limit::{BufferLimit, batch_parts, concat_batch, slice_batch};
pub use matmul::{MatmulOps, matmul};
pub use vectorized::{total, vectorized};
