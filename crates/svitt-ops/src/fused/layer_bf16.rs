//! The forward of the layer operations with bf16 operands: norms and GELU hand on bf16, sums and residuals are f32.

use super::finish::{DropPathFactors, activate, add_bias, join_branch};
use super::rows;
use crate::device::bf16::{Element, Packed, PairRows, parallel_product};
use burn::tensor::bf16;

/// LN(x)·W + b, `[rows, output]`.
pub(super) fn norm_linear(
    x: &[f32],
    [d, output]: [usize; 2],
    [gamma, beta, stats]: [&[f32]; 3],
    [weight, bias]: [&[f32]; 2],
) -> Vec<bf16> {
    let normed = rows::normed(x, gamma, beta, stats);
    parallel_product(&PairRows::new(&normed, d), &Packed::of_rows(weight, [d, output]), Some(&add_bias(bias)))
}

/// residual + keep ⊙ λ ⊙ (x·W + b), `[rows, d]`; `x` `[rows, input]`.
pub(super) fn linear_residual<T: Element>(
    residual: &[f32],
    x: &[bf16],
    [input, d]: [usize; 2],
    [weight, bias, scale]: [&[f32]; 3],
    kept: &DropPathFactors,
) -> Vec<T> {
    let join = join_branch(residual, [bias, scale], kept);
    parallel_product(&PairRows::new(x, input), &Packed::of_rows(weight, [input, d]), Some(&join))
}

/// GELU(LN(x)·W + b), `[rows, inner]`.
pub(super) fn hidden(
    x: &[f32],
    [d, inner]: [usize; 2],
    [gamma, beta, stats]: [&[f32]; 3],
    [weight, bias]: [&[f32]; 2],
) -> Vec<bf16> {
    let normed = rows::normed(x, gamma, beta, stats);
    parallel_product(&PairRows::new(&normed, d), &Packed::of_rows(weight, [d, inner]), Some(&activate(bias)))
}
