//! What the linear maps of a model are computed in.

use super::{cpu_computes_bf16, cpu_computes_int8};
use burn::tensor::DType;

/// What the operands of linear maps are rounded to. Sums are f32 (of int8 exact, then f32), and so are norms, softmax
/// and statistics in every case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits with the exponent of f32.
    Bf16,
    /// 8 bits, with a scale per row of the activations and per output of the weights; on CPUs, and for inference:
    /// gradients are those of [`Arithmetic::Bf16`]. Attention computes in bf16 where the CPU does.
    Int8,
}

impl Arithmetic {
    /// The element type of activations between two linear maps.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Int8 if !cpu_computes_bf16() => DType::F32,
            Self::Bf16 | Self::Int8 => DType::BF16,
        }
    }

    /// That of tensors of `dtype`: bf16 or f32.
    pub fn of(dtype: DType) -> Self {
        if dtype == DType::BF16 { Self::Bf16 } else { Self::F32 }
    }

    /// What this CPU computes instead where it lacks the instruction: bf16 for int8, f32 for bf16.
    pub fn on_this_cpu(self) -> Self {
        match self {
            Self::Int8 if !cpu_computes_int8() => Self::Bf16.on_this_cpu(),
            Self::Bf16 if !cpu_computes_bf16() => Self::F32,
            own => own,
        }
    }

    /// What gradients are computed in.
    #[cfg(any(feature = "ndarray", feature = "flex"))]
    pub(crate) fn of_gradients(self) -> Self {
        if self == Self::F32 { Self::F32 } else { Self::Bf16.on_this_cpu() }
    }
}
