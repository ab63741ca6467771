//! What the ops need of a device: its buffers and element types, matrix products, kernel launches, sums over devices.

mod arithmetic;
#[cfg(any(feature = "ndarray", feature = "flex"))]
pub(crate) mod bf16;
mod collective;
mod cpu;
#[cfg(any(feature = "ndarray", feature = "flex"))]
pub(crate) mod cpu_gemm;
mod dtype;
#[cfg(any(feature = "ndarray", feature = "flex"))]
pub mod host;
#[cfg(any(feature = "ndarray", feature = "flex"))]
pub(crate) mod int8;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(crate) mod launch;
mod limit;
mod matmul;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod matmul_f32;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod packed_weights;
#[cfg(any(feature = "ndarray", feature = "flex"))]
pub(crate) mod panels;
#[cfg(any(feature = "ndarray", feature = "flex"))]
pub(crate) mod simd;
mod vectorized;

pub use arithmetic::Arithmetic;
pub use collective::CollectiveOps;
pub use cpu::{CpuInstructions, cpu_computes_bf16, cpu_computes_int8, cpu_instructions};
pub use dtype::{cast, cast_raw};
pub use limit::{BufferLimit, batch_parts, concat_batch, slice_batch};
pub use matmul::{MatmulOps, linear, matmul};
pub use vectorized::{MulAdd, total, vectorized, vectorized_fused};
