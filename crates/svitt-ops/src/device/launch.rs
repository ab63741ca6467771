//! Helpers to launch CubeCL kernels: contiguous inputs, new outputs, cube counts, device limits.

use burn::tensor::{DType, Shape, TensorMetadata};
use burn_cubecl::CubeRuntime;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::{empty_device_contiguous_dtype, zeros_client};
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::ComputeClient;
use cubecl::features::{AtomicUsage, TypeUsage};
use cubecl::ir::{ElemType, FloatKind, StorageType, Type};
use cubecl::prelude::*;

/// Whether our kernels can run on `tensors`: all have one element type that the device stores and converts, and every
/// index fits 32 bits.
pub fn runs_on<R: CubeRuntime>(tensors: &[&CubeTensor<R>]) -> bool {
    let Some(first) = tensors.first() else { return false };
    let usage = match first.dtype {
        DType::F32 => TypeUsage::all(),
        DType::F16 | DType::BF16 => first.client.properties().type_usage(first.dtype.into()),
        _ => return false,
    };
    let stored = usage.contains(TypeUsage::Buffer) && usage.contains(TypeUsage::Conversion);
    stored && tensors.iter().all(|x| x.dtype == first.dtype && x.shape().num_elements() < u32::MAX as usize)
}

/// Whether f32 values in a buffer can be added to atomically.
pub fn adds_atomically<R: CubeRuntime>(client: &ComputeClient<R>) -> bool {
    let atomic = Type::new(StorageType::Atomic(ElemType::Float(FloatKind::F32)));
    client.properties().atomic_type_usage(atomic).contains(AtomicUsage::Add)
}

/// Bytes of shared memory a kernel may take: what the device has, at most 32 KB, so that several cubes share a core.
pub fn shared_memory<R: CubeRuntime>(client: &ComputeClient<R>) -> usize {
    client.properties().hardware.max_shared_memory_size.min(32 * 1024)
}

/// A new, contiguous, uninitialised tensor on the device of `like`.
pub fn empty<R: CubeRuntime, const D: usize>(like: &CubeTensor<R>, shape: [usize; D], dtype: DType) -> CubeTensor<R> {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), Shape::from(shape), dtype)
}

/// A contiguous tensor of zeros beside `like`.
pub fn zeros<R: CubeRuntime, const D: usize>(like: &CubeTensor<R>, shape: [usize; D], dtype: DType) -> CubeTensor<R> {
    let (shape, client, device) = (Shape::from(shape), like.client.clone(), like.device.clone());
    // CUDA pads the rows of tensors with several axes
    let flat = zeros_client(client.clone(), device.clone(), Shape::from([shape.num_elements()]), dtype);
    CubeTensor::new_contiguous(client, device, shape, flat.handle, dtype)
}

/// `values` as a tensor on the device of `like`.
pub fn upload<R: CubeRuntime>(like: &CubeTensor<R>, values: &[u32]) -> CubeTensor<R> {
    let handle = like.client.create_from_slice(u32::as_bytes(values));
    let shape = Shape::from([values.len()]);
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, DType::U32)
}

/// A kernel's argument: the tensor's elements in row-major order.
pub fn input<R: CubeRuntime>(tensor: &CubeTensor<R>) -> ArrayArg<R> {
    into_contiguous(tensor.clone()).into_array_arg()
}

/// A kernel's argument: a tensor of [`empty`].
pub fn output<R: CubeRuntime>(tensor: &CubeTensor<R>) -> ArrayArg<R> {
    tensor.clone().into_array_arg()
}

/// At least `cubes` cubes, spread over two axes where one is too short; the kernel checks `CUBE_POS`.
pub fn spread<R: CubeRuntime>(client: &ComputeClient<R>, cubes: usize) -> CubeCount {
    let longest = client.properties().hardware.max_cube_count.0 as usize;
    let x = cubes.clamp(1, longest);
    CubeCount::Static(x as u32, cubes.div_ceil(x).max(1) as u32, 1)
}
