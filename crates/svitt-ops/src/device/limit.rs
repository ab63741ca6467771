//! The largest tensor a device can hold: some GPUs bind buffers of 128 MB at most, whatever memory they have.

use burn::tensor::{Tensor, backend::Backend};
use std::ops::Range;

/// Limits of a device's buffers.
pub trait BufferLimit: Backend {
    /// Bytes of the largest tensor on `device`.
    fn largest_tensor(_device: &Self::Device) -> u64 {
        u64::MAX
    }

    /// Bytes the device's allocator has reserved; 0 where the host's allocator is used.
    fn reserved_bytes(_device: &Self::Device) -> u64 {
        0
    }
}

#[cfg(any(feature = "ndarray", feature = "flex"))]
impl<B: super::host::HostBackend> BufferLimit for B {}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
impl<R, F, I, BT> BufferLimit for burn_cubecl::CubeBackend<R, F, I, BT>
where
    R: burn_cubecl::CubeRuntime,
    F: burn_cubecl::FloatElement,
    I: burn_cubecl::IntElement,
    BT: burn_cubecl::element::BoolElement,
{
    fn largest_tensor(device: &Self::Device) -> u64 {
        R::client(device).properties().memory.max_page_size
    }

    fn reserved_bytes(device: &Self::Device) -> u64 {
        R::client(device).memory_usage().map_or(0, |usage| usage.bytes_reserved)
    }
}

impl<B: BufferLimit, C: burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy> BufferLimit
    for burn::backend::Autodiff<B, C>
{
    fn largest_tensor(device: &Self::Device) -> u64 {
        B::largest_tensor(device)
    }

    fn reserved_bytes(device: &Self::Device) -> u64 {
        B::reserved_bytes(device)
    }
}

/// The samples of a batch in parts that fit `device` when each needs `values` f32 values in one tensor.
pub fn batch_parts<B: BufferLimit>(device: &B::Device, batch: usize, values: usize) -> Vec<Range<usize>> {
    parts_within(B::largest_tensor(device), batch, values)
}

fn parts_within(bytes: u64, batch: usize, values: usize) -> Vec<Range<usize>> {
    let at_once = usize::try_from(bytes / (4 * values.max(1) as u64)).unwrap_or(usize::MAX).clamp(1, batch.max(1));
    (0..batch).step_by(at_once).map(|first| first..batch.min(first + at_once)).collect()
}

/// The samples `part` of `x` `[batch, ..]`; no copy if `part` is the whole batch.
pub fn slice_batch<B: Backend, const D: usize>(x: &Tensor<B, D>, part: &Range<usize>) -> Tensor<B, D> {
    if part.len() == x.dims()[0] { x.clone() } else { x.clone().narrow(0, part.start, part.len()) }
}

/// The inverse of [`slice_batch`] for all parts in order; no copy if there is one.
pub fn concat_batch<B: Backend, const D: usize>(mut parts: Vec<Tensor<B, D>>) -> Tensor<B, D> {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => Tensor::cat(parts.into_iter().chain(last).collect(), 0),
    }
}

#[cfg(all(test, any(feature = "ndarray", feature = "flex")))]
mod tests {
    use super::*;
    use crate::testing::{assert_close, noise, on_cpu_backends};

    fn parts_join_to_the_whole<B: Backend>() {
        let x = noise::<B, 3>(1, [5, 2, 3]);
        for (fit, expected) in [(0, 5), (1, 5), (2, 3), (4, 2), (5, 1), (9, 1)] {
            let parts = parts_within(fit * 4 * 6, 5, 6);
            assert_eq!(parts.len(), expected, "{fit} samples fit");
            let again = concat_batch(parts.iter().map(|part| slice_batch(&x, part)).collect());
            assert_close(again, x.clone(), 0.0);
        }
    }

    on_cpu_backends!(parts_join_to_the_whole);
}
