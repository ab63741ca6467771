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

#[cfg(feature = "ndarray")]
impl BufferLimit for burn_ndarray::NdArray {}

#[cfg(feature = "flex")]
impl BufferLimit for burn_flex::Flex {}

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

/// The samples of a batch in parts that fit the device when each needs `values` f32 values in one tensor.
pub fn parts<B: BufferLimit>(device: &B::Device, batch: usize, values: usize) -> Vec<Range<usize>> {
    in_parts(batch, B::largest_tensor(device), values)
}

fn in_parts(batch: usize, bytes: u64, values: usize) -> Vec<Range<usize>> {
    let at_once = usize::try_from(bytes / (4 * values.max(1) as u64)).unwrap_or(usize::MAX).clamp(1, batch.max(1));
    (0..batch).step_by(at_once).map(|first| first..batch.min(first + at_once)).collect()
}

/// The samples `part` of `x`; no copy if `part` is the whole batch.
pub fn samples<B: Backend, const D: usize>(x: &Tensor<B, D>, part: &Range<usize>) -> Tensor<B, D> {
    if part.len() == x.dims()[0] { x.clone() } else { x.clone().narrow(0, part.start, part.len()) }
}

/// The inverse of [`samples`] for all parts in order.
pub fn joined<B: Backend, const D: usize>(mut parts: Vec<Tensor<B, D>>) -> Tensor<B, D> {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => Tensor::cat(parts.into_iter().chain(last).collect(), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, noise, on_cpu_backends};

    fn parts_are_joined_again<B: Backend>() {
        let x = noise::<B, 3>(1, [5, 2, 3]);
        for (fit, expected) in [(0, 5), (1, 5), (2, 3), (4, 2), (5, 1), (9, 1)] {
            let parts = in_parts(5, fit * 4 * 6, 6);
            assert_eq!(parts.len(), expected, "{fit} samples fit");
            assert_close(joined(parts.iter().map(|part| samples(&x, part)).collect()), x.clone(), 0.0);
        }
    }

    on_cpu_backends!(parts_are_joined_again);
}
