//! Sums over the devices of several workers.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;

/// Collective operations of a backend's devices.
pub trait CollectiveOps: Backend {
    /// Whether the devices of this backend add up tensors among themselves; elsewhere workers meet in host memory.
    const COLLECTIVE: bool = false;

    /// The sum of the tensors that all `devices` give: each calls this once, in the same order, on a thread of its
    /// own. The result may be used after [`Self::finish_collectives`]. Called where [`Self::COLLECTIVE`] holds.
    fn sum_over_devices(tensor: FloatTensor<Self>, _devices: &[Self::Device]) -> FloatTensor<Self> {
        tensor
    }

    /// Lets what `device` is given from here on wait for its sums.
    fn finish_collectives(_device: &Self::Device) {}
}

#[cfg(feature = "ndarray")]
impl CollectiveOps for burn_ndarray::NdArray {}

#[cfg(feature = "flex")]
impl CollectiveOps for burn_flex::Flex {}

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
