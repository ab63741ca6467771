//! The layer operations on the CPU: products over all threads, whose pieces are finished while they are in the cache.

use super::cpu::dims;
use super::layer::{BranchScale, FeedForwardSaved, FeedForwardWeights, LayerOps, LinearWeights, NormWeights};
use super::rows;
use crate::device::cpu_gemm::{MatrixView, parallel_product};
use crate::device::host::{HostBackend, Results, into_values};
use crate::device::simd::vectorized;
use burn::tensor::ops::FloatTensor;

type T<B> = FloatTensor<B>;

/// `x · W + b`.
fn affine(x: &[f32], [rows, input, output]: [usize; 3], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let add_bias = |_: usize, first: usize, to: &mut [f32]| {
        vectorized(
            #[inline(always)]
            || {
                for (y, b) in to.iter_mut().zip(&bias[first..]) {
                    *y += b;
                }
            },
        );
    };
    let shape = [rows, output, input];
    parallel_product(shape, MatrixView::rows(x, input), MatrixView::rows(weight, output), Some(&add_bias))
}

/// How a sample's rows are scaled by stochastic depth.
struct DropPathFactors<'a> {
    factors: Option<&'a [f32]>,
    rows_per_sample: usize,
}

impl<'a> DropPathFactors<'a> {
    fn new(factors: Option<&'a [f32]>, rows: usize) -> Self {
        Self { factors, rows_per_sample: factors.map_or(rows, |factors| rows / factors.len()) }
    }

    #[inline(always)]
    fn of(&self, row: usize) -> f32 {
        self.factors.map_or(1.0, |factors| factors[row / self.rows_per_sample])
    }
}

/// residual + keep ⊙ λ ⊙ (x·W + b).
fn branch(
    residual: &[f32],
    x: &[f32],
    [rows, input, d]: [usize; 3],
    [weight, bias, scale]: [&[f32]; 3],
    kept: &DropPathFactors,
) -> Vec<f32> {
    let join = |row: usize, first: usize, to: &mut [f32]| {
        let residual = &residual[row * d + first..][..to.len()];
        let factor = kept.of(row);
        vectorized(
            #[inline(always)]
            || {
                for (((y, r), b), s) in to.iter_mut().zip(residual).zip(&bias[first..]).zip(&scale[first..]) {
                    *y = r + (*y + b) * s * factor;
                }
            },
        );
    };
    parallel_product([rows, d, input], MatrixView::rows(x, input), MatrixView::rows(weight, d), Some(&join))
}

/// Of a branch λ ⊙ (x·W + b) with the gradient `grad` (stochastic depth included): the gradients of W, b and λ, and
/// `grad` becomes the gradient of x·W + b.
fn branch_gradients(
    x: &[f32],
    [rows, input, d]: [usize; 3],
    [weight, bias, scale]: [&[f32]; 3],
    grad: &mut [f32],
) -> [Vec<f32>; 3] {
    let mut dweight =
        parallel_product([input, d, rows], MatrixView::rows(x, input).t(), MatrixView::rows(grad, d), None);
    let mut dscale = rows::by_row(
        &mut dweight,
        d,
        d,
        #[inline(always)]
        |row, dw, sums| {
            for (((dw, w), s), sum) in dw.iter_mut().zip(&weight[row * d..]).zip(scale).zip(sums) {
                *sum += *dw * w;
                *dw *= s;
            }
        },
    );
    let mut sums = rows::by_row(
        grad,
        d,
        d,
        #[inline(always)]
        |_, grad, sums| {
            for ((grad, s), sum) in grad.iter_mut().zip(scale).zip(sums) {
                *sum += *grad;
                *grad *= s;
            }
        },
    );
    for (((dscale, sum), b), s) in dscale.iter_mut().zip(&mut sums).zip(bias).zip(scale) {
        *dscale += *sum * b;
        *sum *= s;
    }
    [dweight, sums, dscale]
}

/// `grad`, every sample's rows times its factor.
fn kept_gradient(mut grad: Vec<f32>, d: usize, kept: &DropPathFactors) -> Vec<f32> {
    if kept.factors.is_some() {
        rows::by_row(
            &mut grad,
            d,
            0,
            #[inline(always)]
            |row, grad, _| grad.iter_mut().for_each(|g| *g *= kept.of(row)),
        );
    }
    grad
}

/// Of LN(x)·W with the gradient `grad` `[rows, output]`: the gradients of x (plus `base`), γ, β and W.
fn norm_linear_gradients(
    x: &[f32],
    [rows, d, output]: [usize; 3],
    [gamma, beta, weight, stats]: [&[f32]; 4],
    grad: &[f32],
    base: Option<&[f32]>,
) -> [Vec<f32>; 4] {
    let normed = rows::normed(x, gamma, beta, stats);
    let dweight =
        parallel_product([d, output, rows], MatrixView::rows(&normed, d).t(), MatrixView::rows(grad, output), None);
    drop(normed);
    let weight = MatrixView::rows(weight, output).t();
    let mut dx = parallel_product([rows, d, output], MatrixView::rows(grad, output), weight, None);
    let (dgamma, dbeta) = rows::norm_gradients(x, gamma, stats, &mut dx, base);
    [dx, dgamma, dbeta, dweight]
}

impl<B: HostBackend> LayerOps for B {
    fn norm_linear(x: T<B>, norm: NormWeights<T<B>>, linear: LinearWeights<T<B>>) -> (T<B>, T<B>) {
        let ([rows, d], [_, output], results) = (dims::<B>(&x), dims::<B>(&linear.weight), Results::<B>::like(&x));
        let [x, gamma, beta, weight, bias] = [&x, &norm.gamma, &norm.beta, &linear.weight, &linear.bias].map(B::values);
        let stats = rows::norm_statistics(&x, d, norm.epsilon as f32);
        let y = affine(&rows::normed(&x, &gamma, &beta, &stats), [rows, d, output], &weight, &bias);
        (results.tensor(y, [rows, output]), results.wide(stats, [rows, 2]))
    }

    fn norm_linear_backward(x: T<B>, norm: NormWeights<T<B>>, weight: T<B>, stats: T<B>, grad: T<B>) -> [T<B>; 5] {
        let ([rows, d], [_, output], results) = (dims::<B>(&x), dims::<B>(&weight), Results::<B>::like(&x));
        let [x, gamma, beta, weight, stats, grad] =
            [&x, &norm.gamma, &norm.beta, &weight, &stats, &grad].map(B::values);
        let dbias = rows::sums(&grad, output);
        let [dx, dgamma, dbeta, dweight] =
            norm_linear_gradients(&x, [rows, d, output], [&gamma, &beta, &weight, &stats], &grad, None);
        let [dgamma, dbeta] = [dgamma, dbeta].map(|sums| results.vector(sums));
        let dweight = results.tensor(dweight, [d, output]);
        [results.tensor(dx, [rows, d]), dgamma, dbeta, dweight, results.vector(dbias)]
    }

    fn linear_residual(residual: T<B>, x: T<B>, linear: LinearWeights<T<B>>, join: BranchScale<T<B>>) -> T<B> {
        let ([rows, input], [_, d], results) = (dims::<B>(&x), dims::<B>(&linear.weight), Results::<B>::like(&x));
        let keep = join.keep.as_ref().map(B::values);
        let [residual, x, weight, bias, scale] =
            [&residual, &x, &linear.weight, &linear.bias, &join.scale].map(B::values);
        let kept = DropPathFactors::new(keep.as_deref(), rows);
        let out = branch(&residual, &x, [rows, input, d], [&weight, &bias, &scale], &kept);
        results.tensor(out, [rows, d])
    }

    fn linear_residual_backward(
        x: T<B>,
        linear: LinearWeights<T<B>>,
        join: BranchScale<T<B>>,
        grad: T<B>,
    ) -> [T<B>; 4] {
        let ([rows, input], [_, d], results) = (dims::<B>(&x), dims::<B>(&linear.weight), Results::<B>::like(&x));
        let keep = join.keep.as_ref().map(B::values);
        let [x, weight, bias, scale] = [&x, &linear.weight, &linear.bias, &join.scale].map(B::values);
        let mut grad = kept_gradient(into_values::<B>(grad), d, &DropPathFactors::new(keep.as_deref(), rows));
        let [dweight, dbias, dscale] = branch_gradients(&x, [rows, input, d], [&weight, &bias, &scale], &mut grad);
        let dx = parallel_product([rows, input, d], MatrixView::rows(&grad, d), MatrixView::rows(&weight, d).t(), None);
        let [dbias, dscale] = [dbias, dscale].map(|sums| results.vector(sums));
        let dweight = results.tensor(dweight, [input, d]);
        [results.tensor(dx, [rows, input]), dweight, dbias, dscale]
    }

    fn feed_forward(x: T<B>, weights: FeedForwardWeights<T<B>>, save: bool) -> (T<B>, Option<FeedForwardSaved<T<B>>>) {
        let FeedForwardWeights { norm, up, down, join } = weights;
        let ([rows, d], [_, inner], results) = (dims::<B>(&x), dims::<B>(&up.weight), Results::<B>::like(&x));
        let keep = join.keep.as_ref().map(B::values);
        let [x, gamma, beta, w1, b1] = [&x, &norm.gamma, &norm.beta, &up.weight, &up.bias].map(B::values);
        let [w2, b2, scale] = [&down.weight, &down.bias, &join.scale].map(B::values);
        let stats = rows::norm_statistics(&x, d, norm.epsilon as f32);
        let normed = rows::normed(&x, &gamma, &beta, &stats);
        let (normed, w1) = (MatrixView::rows(&normed, d), MatrixView::rows(&w1, inner));
        let activate = |_: usize, first: usize, to: &mut [f32]| {
            let bias = &b1[first..];
            vectorized(
                #[inline(always)]
                || {
                    for (z, b) in to.iter_mut().zip(bias) {
                        *z = rows::gelu(*z + b);
                    }
                },
            );
        };
        let (hidden, z) = if save {
            let z = parallel_product([rows, inner, d], normed, w1, None);
            (rows::biased_gelu(&z, &b1), Some(z))
        } else {
            (parallel_product([rows, inner, d], normed, w1, Some(&activate)), None)
        };
        let kept = DropPathFactors::new(keep.as_deref(), rows);
        let out = branch(&x, &hidden, [rows, inner, d], [&w2, &b2, &scale], &kept);
        let saved = z
            .map(|z| FeedForwardSaved { stats: results.wide(stats, [rows, 2]), inner: results.wide(z, [rows, inner]) });
        (results.tensor(out, [rows, d]), saved)
    }

    fn feed_forward_backward(
        x: T<B>,
        weights: FeedForwardWeights<T<B>>,
        saved: FeedForwardSaved<T<B>>,
        grad: T<B>,
    ) -> [T<B>; 8] {
        let FeedForwardWeights { norm, up, down, join } = weights;
        let ([rows, d], [_, inner], results) = (dims::<B>(&x), dims::<B>(&up.weight), Results::<B>::like(&x));
        let keep = join.keep.as_ref().map(B::values);
        let [x, gamma, beta, w1, b1] = [&x, &norm.gamma, &norm.beta, &up.weight, &up.bias].map(B::values);
        let [w2, b2, scale] = [&down.weight, &down.bias, &join.scale].map(B::values);
        let [stats, z, outer] = [&saved.stats, &saved.inner, &grad].map(B::values);
        let mut grad = kept_gradient(outer.to_vec(), d, &DropPathFactors::new(keep.as_deref(), rows));
        let hidden = rows::biased_gelu(&z, &b1);
        let [dw2, db2, dscale] = branch_gradients(&hidden, [rows, inner, d], [&w2, &b2, &scale], &mut grad);
        drop(hidden);
        let mut dz = parallel_product([rows, inner, d], MatrixView::rows(&grad, d), MatrixView::rows(&w2, d).t(), None);
        let db1 = rows::gelu_gradients(&z, &b1, &mut dz);
        let [dx, dgamma, dbeta, dw1] =
            norm_linear_gradients(&x, [rows, d, inner], [&gamma, &beta, &w1, &stats], &dz, Some(&outer));
        let [dgamma, dbeta, db2, dscale] = [dgamma, dbeta, db2, dscale].map(|sums| results.vector(sums));
        let (dw1, dw2) = (results.tensor(dw1, [d, inner]), results.tensor(dw2, [inner, d]));
        let db1 = results.vector(db1);
        [results.tensor(dx, [rows, d]), dgamma, dbeta, dw1, db1, dw2, db2, dscale]
    }
}
