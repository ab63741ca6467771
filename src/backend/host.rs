//! Tensors of the CPU backends as slices: what CPU kernels read and write.

use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, Int, Shape, Tensor, TensorData, TensorMetadata, TensorPrimitive};

/// A backend whose tensors lie in host memory.
pub trait HostBackend: Backend {
    /// Calls `read` with the elements of a float tensor in row-major order as f32, without a copy where the backend
    /// allows.
    fn read<R>(tensor: &FloatTensor<Self>, read: impl FnOnce(&[f32]) -> R) -> R {
        read(&converted::<Self>(tensor))
    }
}

fn converted<B: Backend>(tensor: &FloatTensor<B>) -> Vec<f32> {
    let flat = Tensor::<B, 1>::from_primitive(TensorPrimitive::Float(flat::<B>(tensor.clone())));
    flat.into_data().convert::<f32>().into_vec().unwrap_or_default()
}

/// The elements of an integer tensor, row-major.
pub fn integers<B: HostBackend>(tensor: &IntTensor<B>) -> Vec<i32> {
    let length = tensor.shape().num_elements();
    let flat = B::int_reshape(tensor.clone(), Shape::from([length]));
    Tensor::<B, 1, Int>::from_primitive(flat).into_data().convert::<i32>().to_vec().unwrap_or_default()
}

/// A float tensor of `values`, without a copy where the backend allows.
pub fn write<B: HostBackend, const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &B::Device,
) -> FloatTensor<B> {
    Tensor::<B, D>::from_data(TensorData::new(values, shape), device).into_primitive().tensor()
}

fn flat<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let length = tensor.shape().num_elements();
    B::float_reshape(tensor, Shape::from([length]))
}

#[cfg(feature = "ndarray")]
impl HostBackend for burn_ndarray::NdArray {}

#[cfg(feature = "flex")]
impl HostBackend for burn_flex::Flex {
    fn read<R>(tensor: &FloatTensor<Self>, read: impl FnOnce(&[f32]) -> R) -> R {
        match tensor.dtype() {
            DType::F32 => read(tensor.to_contiguous().storage::<f32>()),
            _ => read(&converted::<Self>(tensor)),
        }
    }
}
