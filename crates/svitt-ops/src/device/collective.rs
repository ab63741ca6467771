//! All-reduce over the devices of several workers.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;

/// Collective operations of a backend's devices.
pub trait CollectiveOps: Backend {
    /// Whether the devices of this backend can sum tensors among themselves; elsewhere workers sum through host memory.
    const COLLECTIVE: bool = false;

    /// The sum of the tensors of all `devices`. Every device's thread calls this once, in the same order; the result
    /// must not be used before [`Self::finish_collectives`]. Call it only where [`Self::COLLECTIVE`] is true.
    fn sum_over_devices(tensor: FloatTensor<Self>, _devices: &[Self::Device]) -> FloatTensor<Self> {
        tensor
    }

    /// Makes all later work on `device` wait for its pending sums.
    fn finish_collectives(_device: &Self::Device) {}
}

#[cfg(any(feature = "ndarray", feature = "flex"))]
impl<B: super::host::HostBackend> CollectiveOps for B {}

impl<B: CollectiveOps, C: CheckpointStrategy> CollectiveOps for Autodiff<B, C> {}

#[cfg(feature = "wgpu")]
impl<F, I, BT> CollectiveOps for burn_cubecl::CubeBackend<cubecl::wgpu::WgpuRuntime, F, I, BT>
where
    F: burn_cubecl::FloatElement,
    I: burn_cubecl::IntElement,
    BT: burn_cubecl::element::BoolElement,
{
}

/// NCCL, which cubecl loads when the first sum is asked for.
#[cfg(feature = "cuda")]
impl<F, I, BT> CollectiveOps for burn_cubecl::CubeBackend<cubecl::cuda::CudaRuntime, F, I, BT>
where
    F: burn_cubecl::FloatElement,
    I: burn_cubecl::IntElement,
    BT: burn_cubecl::element::BoolElement,
{
    const COLLECTIVE: bool = true;

    fn sum_over_devices(tensor: FloatTensor<Self>, devices: &[Self::Device]) -> FloatTensor<Self> {
        use burn::tensor::backend::DeviceOps;
        use burn::tensor::backend::distributed::{DistributedBackend, ReduceOperation};
        let ids = devices.iter().map(DeviceOps::id).collect();
        let sum = <Self as DistributedBackend>::all_reduce(tensor, ReduceOperation::Sum, ids);
        // SAFETY: the trait asks callers to finish the collectives before the sum is used.
        unsafe { sum.assume_resolved() }
    }

    fn finish_collectives(device: &Self::Device) {
        <Self as burn::tensor::backend::distributed::DistributedBackend>::sync_collective(device);
    }
}
