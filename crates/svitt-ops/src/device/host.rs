//! Tensors of the CPU backends as slices, for the CPU kernels.

#[cfg(feature = "flex")]
use super::bf16::widen;
use super::bf16::{Packed, narrow};
use super::cast_raw;
use super::int8::PackedBytes;
use super::packed_weights::PackedWeights;
use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, Int, Shape, Tensor, TensorData, TensorMetadata, TensorPrimitive, bf16};
use std::any::Any;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::sync::Arc;

/// A backend whose tensors lie in host memory. Every operation trait of this crate is implemented once for all of them.
pub trait HostBackend: Backend {
    /// The elements of a float tensor as f32, row-major, without a copy where the backend allows.
    fn values(tensor: &FloatTensor<Self>) -> impl Deref<Target = [f32]> + Sync {
        into_values::<Self>(tensor.clone())
    }

    /// The elements of a float tensor as bf16, row-major, without a copy where they are bf16 and the backend allows.
    fn bf16_values(tensor: &FloatTensor<Self>) -> impl Deref<Target = [bf16]> + Sync {
        narrow(&Self::values(tensor))
    }

    /// What owns the elements of a float tensor, if the tensor is all of it in row-major order, and whoever writes to it
    /// while somebody else points to it gets a copy.
    fn storage(_tensor: &FloatTensor<Self>) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }
}

/// `weight` `[k, n]` as the right operand of bf16 products, kept for the next call where its storage is known.
pub(crate) fn packed_weight<B: HostBackend>(weight: &FloatTensor<B>) -> Arc<Packed> {
    static KEPT: PackedWeights<Packed> = PackedWeights::new();
    kept_weight::<B, Packed>(&KEPT, weight, Packed::of_rows)
}

/// [`packed_weight`] of int8 products.
pub(crate) fn packed_bytes<B: HostBackend>(weight: &FloatTensor<B>) -> Arc<PackedBytes> {
    static KEPT: PackedWeights<PackedBytes> = PackedWeights::new();
    kept_weight::<B, PackedBytes>(&KEPT, weight, PackedBytes::of_rows)
}

fn kept_weight<B: HostBackend, P>(
    kept: &PackedWeights<P>,
    weight: &FloatTensor<B>,
    pack: impl FnOnce(&[f32], [usize; 2]) -> P,
) -> Arc<P> {
    let shape: [usize; 2] = weight.shape().dims();
    let pack = || pack(&B::values(weight), shape);
    match B::storage(weight) {
        Some(storage) => kept.of(&storage, shape, pack),
        None => Arc::new(pack()),
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
        match self.dtype {
            DType::BF16 => self.short(narrow(&values), shape),
            dtype => cast_raw::<B>(self.wide(values, shape), dtype),
        }
    }

    /// `values` as a tensor of bf16 of `shape`; the backend must have that type.
    pub fn short<const D: usize>(&self, values: Vec<bf16>, shape: [usize; D]) -> FloatTensor<B> {
        B::float_from_data(TensorData::new(values, shape), &self.device)
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

/// A vector of `length` numbers written by `fill`. Zeroing it first would be one more pass over memory on one thread:
/// 0.7 ms for the inner activations of one base-model layer.
///
/// # Safety
/// `fill` must write every element.
pub(crate) unsafe fn filled<T>(length: usize, fill: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
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
            DType::BF16 => TensorSlice::Converted(widen(tensor.to_contiguous().storage::<bf16>())),
            _ => TensorSlice::Converted(into_values::<Self>(tensor.clone())),
        }
    }

    fn bf16_values(tensor: &FloatTensor<Self>) -> impl Deref<Target = [bf16]> + Sync {
        match tensor.dtype() {
            DType::BF16 => TensorSlice::Tensor(tensor.to_contiguous()),
            _ => TensorSlice::Converted(narrow(&Self::values(tensor))),
        }
    }

    fn storage(tensor: &FloatTensor<Self>) -> Option<Arc<dyn Any + Send + Sync>> {
        let elements = tensor.shape().num_elements() * tensor.dtype().size();
        (tensor.is_contiguous() && tensor.bytes().len() == elements).then(|| tensor.data_arc() as _)
    }
}

/// A contiguous tensor of flex read in place, or a converted copy of another type.
#[cfg(feature = "flex")]
enum TensorSlice<T> {
    Tensor(burn_flex::FlexTensor),
    Converted(Vec<T>),
}

#[cfg(feature = "flex")]
impl Deref for TensorSlice<f32> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Tensor(tensor) => tensor.storage::<f32>(),
            Self::Converted(values) => values,
        }
    }
}

#[cfg(feature = "flex")]
impl Deref for TensorSlice<bf16> {
    type Target = [bf16];

    fn deref(&self) -> &[bf16] {
        match self {
            Self::Tensor(tensor) => tensor.storage::<bf16>(),
            Self::Converted(values) => values,
        }
    }
}
