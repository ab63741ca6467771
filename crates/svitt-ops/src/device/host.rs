//! Tensors of the CPU backends as slices, for the CPU kernels.

use super::cast_raw;
use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, Int, Shape, Tensor, TensorData, TensorMetadata, TensorPrimitive};
use std::mem::MaybeUninit;
use std::ops::Deref;

/// A backend whose tensors lie in host memory. Every operation trait of this crate is implemented once for all of them.
pub trait HostBackend: Backend {
    /// The elements of a float tensor as f32, row-major, without a copy where the backend allows.
    fn values(tensor: &FloatTensor<Self>) -> impl Deref<Target = [f32]> + Sync {
        into_values::<Self>(tensor.clone())
    }
}

/// The elements of a float tensor as f32, row-major; no copy if they are f32 and the tensor is not shared.
pub fn into_values<B: HostBackend>(tensor: FloatTensor<B>) -> Vec<f32> {
    let length = tensor.shape().num_elements();
    let flat = B::float_reshape(tensor, Shape::from([length]));
    let data = Tensor::<B, 1>::from_primitive(TensorPrimitive::Float(flat)).into_data().convert::<f32>();
    data.into_vec().unwrap_or_default()
}

/// The elements of an integer tensor, row-major.
pub fn integers<B: HostBackend>(tensor: &IntTensor<B>) -> Vec<i32> {
    let length = tensor.shape().num_elements();
    let flat = B::int_reshape(tensor.clone(), Shape::from([length]));
    Tensor::<B, 1, Int>::from_primitive(flat).into_data().convert::<i32>().to_vec().unwrap_or_default()
}

/// Makes the results of an operation: tensors on the device of one of its inputs, with that input's element type.
pub struct Results<B: Backend> {
    dtype: DType,
    device: B::Device,
}

impl<B: HostBackend> Results<B> {
    /// Results like `input`, any shape.
    pub fn like(input: &FloatTensor<B>) -> Self {
        Self { dtype: input.dtype(), device: B::float_device(input) }
    }

    /// `values` as a tensor of `shape`; no copy if the input's elements are f32 and the backend allows it.
    pub fn tensor<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> FloatTensor<B> {
        cast_raw::<B>(self.wide(values, shape), self.dtype)
    }

    /// `values` as a tensor of f32 of `shape`, whatever the input's elements are.
    pub fn wide<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> FloatTensor<B> {
        Tensor::<B, D>::from_data(TensorData::new(values, shape), &self.device).into_primitive().tensor()
    }

    /// `values` as a vector.
    pub fn vector(&self, values: Vec<f32>) -> FloatTensor<B> {
        let length = values.len();
        self.tensor(values, [length])
    }
}

/// A vector of `length` floats written by `fill`. Zeroing it first would be one more pass over memory on one thread:
/// 0.7 ms for the inner activations of one base-model layer.
///
/// # Safety
/// `fill` must write every element.
pub(crate) unsafe fn filled(length: usize, fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut values = Vec::with_capacity(length);
    fill(&mut values.spare_capacity_mut()[..length]);
    // SAFETY: the caller guarantees that `fill` writes every element.
    unsafe { values.set_len(length) };
    values
}

#[cfg(feature = "ndarray")]
impl HostBackend for burn_ndarray::NdArray {}

#[cfg(feature = "flex")]
impl HostBackend for burn_flex::Flex {
    fn values(tensor: &FloatTensor<Self>) -> impl Deref<Target = [f32]> + Sync {
        match tensor.dtype() {
            DType::F32 => TensorSlice::Tensor(tensor.to_contiguous()),
            _ => TensorSlice::Converted(into_values::<Self>(tensor.clone())),
        }
    }
}

/// A contiguous f32 tensor of flex read in place, or a converted copy of another type.
#[cfg(feature = "flex")]
enum TensorSlice {
    Tensor(burn_flex::FlexTensor),
    Converted(Vec<f32>),
}

#[cfg(feature = "flex")]
impl Deref for TensorSlice {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Tensor(tensor) => tensor.storage::<f32>(),
            Self::Converted(values) => values,
        }
    }
}
