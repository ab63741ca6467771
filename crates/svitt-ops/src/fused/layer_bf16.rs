//! The forward of the layer operations with bf16 operands: norms and GELU hand on bf16, sums and residuals are f32.

use super::finish::{DropPathFactors, activate, add_bias, join_branch};
use super::rows;
use crate::device::bf16::{Element, Packed, PairRows, parallel_product};
use burn::tensor::bf16;

/// LN(x)·W + b, `[rows, output]`.
pub(super) fn norm_linear(x: &[f32], [gamma, beta, stats]: [&[f32]; 3], weight: &Packed, bias: &[f32]) -> Vec<bf16> {
    let normed = rows::normed(x, gamma, beta, stats);
    parallel_product(&PairRows::new(&normed, gamma.len()), weight, Some(&add_bias(bias)))
}

/// residual + keep ⊙ λ ⊙ (x·W + b), `[rows, d]`; `x` `[rows, input]`.
pub(super) fn linear_residual<T: Element>(
    residual: &[f32],
    x: &[bf16],
    weight: &Packed,
    [bias, scale]: [&[f32]; 2],
    kept: &DropPathFactors,
) -> Vec<T> {
    let join = join_branch(residual, [bias, scale], kept);
    parallel_product(&PairRows::new(x, weight.shape()[0]), weight, Some(&join))
}

/// GELU(LN(x)·W + b), `[rows, inner]`.
pub(super) fn hidden(x: &[f32], [gamma, beta, stats]: [&[f32]; 3], weight: &Packed, bias: &[f32]) -> Vec<bf16> {
    let normed = rows::normed(x, gamma, beta, stats);
    parallel_product(&PairRows::new(&normed, gamma.len()), weight, Some(&activate(bias)))
}
