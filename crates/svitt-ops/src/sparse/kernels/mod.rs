//! Which backend runs which implementation.

#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu;
#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu_backward;
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
pub(super) mod gpu;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod launch;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod launch_backward;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod launch_tiles;

#[cfg(any(feature = "ndarray", feature = "flex"))]
use super::SparseOps;
#[cfg(any(feature = "ndarray", feature = "flex"))]
use crate::device::cast_raw;
#[cfg(any(feature = "ndarray", feature = "flex"))]
use burn::tensor::TensorMetadata;

// The kernels read and write f32, whatever their tensors hold.
macro_rules! on_the_cpu {
    ($feature:literal, $backend:ty) => {
        #[cfg(feature = $feature)]
        impl SparseOps for $backend {
            fn sparse_attention(
                qkv: burn::tensor::ops::FloatTensor<Self>,
                table: burn::tensor::ops::FloatTensor<Self>,
                coords: burn::tensor::ops::IntTensor<Self>,
                plan: &super::AttentionPlan,
            ) -> (burn::tensor::ops::FloatTensor<Self>, burn::tensor::ops::FloatTensor<Self>) {
                let dtype = qkv.dtype();
                let (out, lse) = cpu::forward::<Self>(qkv, table, coords, plan);
                (cast_raw::<Self>(out, dtype), lse)
            }

            fn sparse_attention_backward(
                saved: super::op::SavedAttention<Self>,
                grad: burn::tensor::ops::FloatTensor<Self>,
                plan: &super::AttentionPlan,
            ) -> (burn::tensor::ops::FloatTensor<Self>, burn::tensor::ops::FloatTensor<Self>) {
                let dtype = grad.dtype();
                let (qkv, table) = cpu_backward::backward::<Self>(saved, grad, plan);
                (cast_raw::<Self>(qkv, dtype), cast_raw::<Self>(table, dtype))
            }
        }
    };
}
on_the_cpu!("ndarray", burn_ndarray::NdArray);
on_the_cpu!("flex", burn_flex::Flex);
