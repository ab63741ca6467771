//! The left operand of a linear map on the CPU, in the arithmetic of its product.

use super::finish::activate;
use super::rows;
use crate::device::Arithmetic;
use crate::device::bf16::{self, Element, PairRows};
use crate::device::cpu_gemm::{Epilogue, MatrixView, parallel_product};
use crate::device::host::{HostBackend, Results, packed_bytes, packed_weight};
use crate::device::int8::{self, ByteRows};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, TensorMetadata, bf16 as Short};
use std::borrow::Cow;

/// `[rows, k]`.
pub(super) enum Left<'a> {
    F32(Cow<'a, [f32]>),
    Bf16(PairRows<'a>),
    Int8(ByteRows),
}

impl Left<'static> {
    /// LN(x); `x` `[rows, d]`.
    pub(super) fn normed(arithmetic: Arithmetic, x: &[f32], [gamma, beta, stats]: [&[f32]; 3]) -> Self {
        let d = gamma.len();
        match arithmetic {
            Arithmetic::F32 => Self::F32(Cow::Owned(rows::normed(x, gamma, beta, stats))),
            Arithmetic::Bf16 => Self::Bf16(PairRows::new(rows::normed(x, gamma, beta, stats), d)),
            Arithmetic::Int8 => Self::Int8(ByteRows::filled(
                x.len() / d,
                d,
                #[inline(always)]
                |row, to| {
                    let stats = &stats[2 * row..];
                    for (((to, x), g), b) in to.iter_mut().zip(&x[row * d..]).zip(gamma).zip(beta) {
                        *to = rows::normed_value(*x, stats, *g, *b);
                    }
                },
            )),
        }
    }

    /// `values` `[rows, k]` of the activations between two linear maps.
    fn of_short(arithmetic: Arithmetic, values: Vec<Short>, k: usize) -> Self {
        match arithmetic {
            Arithmetic::Int8 => Self::Int8(ByteRows::of(&values, k)),
            _ => Self::Bf16(PairRows::new(values, k)),
        }
    }

    /// GELU(z + bias); `z` `[rows, inner]`.
    pub(super) fn activated(arithmetic: Arithmetic, z: &[f32], bias: &[f32]) -> Self {
        match arithmetic {
            Arithmetic::F32 => Self::F32(Cow::Owned(rows::biased_gelu(z, bias))),
            _ => Self::of_short(arithmetic, rows::biased_gelu(z, bias), bias.len()),
        }
    }
}

impl Left<'_> {
    /// What `then` makes of `x` `[rows, k]`.
    pub(super) fn with<B: HostBackend, R>(
        arithmetic: Arithmetic,
        x: &FloatTensor<B>,
        then: impl FnOnce(Left<'_>) -> R,
    ) -> R {
        let [_, k]: [usize; 2] = x.shape().dims();
        match (arithmetic, x.dtype()) {
            (Arithmetic::F32, _) => then(Left::F32(Cow::Borrowed(&B::values(x)))),
            (Arithmetic::Bf16, _) => then(Left::Bf16(PairRows::new(&*B::bf16_values(x), k))),
            (Arithmetic::Int8, DType::BF16) => then(Left::Int8(ByteRows::of(&B::bf16_values(x), k))),
            (Arithmetic::Int8, _) => then(Left::Int8(ByteRows::of(&B::values(x), k))),
        }
    }

    /// Its product with `weight` `[k, n]`: `[rows, n]`, each stretch of a row finished by `finish` while it is in f32.
    pub(super) fn product<B: HostBackend, T: Element>(
        &self,
        weight: &FloatTensor<B>,
        finish: Option<Epilogue>,
    ) -> Vec<T> {
        let [k, n]: [usize; 2] = weight.shape().dims();
        match self {
            Self::F32(x) => {
                let (shape, weight) = ([x.len() / k.max(1), n, k], B::values(weight));
                T::all_of(parallel_product(shape, MatrixView::rows(x, k), MatrixView::rows(&weight, n), finish))
            }
            Self::Bf16(x) => bf16::parallel_product(x, &packed_weight::<B>(weight), finish),
            Self::Int8(x) => int8::parallel_product(x, &packed_bytes::<B>(weight), finish),
        }
    }

    /// [`Self::product`] as a tensor of `dtype`.
    pub(super) fn product_tensor<B: HostBackend>(
        &self,
        weight: &FloatTensor<B>,
        finish: Epilogue,
        (results, dtype): (&Results<B>, DType),
        shape: [usize; 2],
    ) -> FloatTensor<B> {
        match dtype {
            DType::BF16 => results.short(self.product::<B, Short>(weight, Some(finish)), shape),
            _ => results.wide(self.product::<B, f32>(weight, Some(finish)), shape),
        }
    }

    /// GELU(x·W + b), which is the left operand of the next product.
    pub(super) fn hidden<B: HostBackend>(
        &self,
        arithmetic: Arithmetic,
        weight: &FloatTensor<B>,
        bias: &[f32],
    ) -> Left<'static> {
        let finish = activate(bias);
        match arithmetic {
            Arithmetic::F32 => Left::F32(Cow::Owned(self.product::<B, f32>(weight, Some(&finish)))),
            _ => Left::of_short(arithmetic, self.product::<B, Short>(weight, Some(&finish)), bias.len()),
        }
    }
}
