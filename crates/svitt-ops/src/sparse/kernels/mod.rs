//! Which backend runs which implementation.

#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu_backward;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu_bf16;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu_bf16_backward;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu_bf16_operands;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu_bias;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu_class;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu_narrow;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu_narrow_backward;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu_top;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu_transposed;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube_backward;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube_class;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube_common;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube_forward;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube_table;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube_tiles;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube_tiles_backward;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube_tiles_forward;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube_top;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(super) mod gpu;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod launch;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod launch_backward;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod launch_tiles;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod launch_top;
