//! The layer operations on the CPU: products over all threads, whose pieces are finished while they are in the cache.

use super::cpu::dims;
use super::finish::{DropPathFactors, join_branch};
use super::layer::{BranchScale, FeedForwardSaved, FeedForwardWeights, LayerOps, LinearWeights, NormWeights};
use super::left::Left;
use super::rows;
use crate::device::Arithmetic;
use crate::device::cpu_gemm::{MatrixView, add_bias};
use crate::device::host::{HostBackend, Results, into_values};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, TensorMetadata};

type T<B> = FloatTensor<B>;

/// Of a branch λ ⊙ (x·W + b) with the gradient `grad` (stochastic depth included): the gradients of W, b and λ, and
/// `grad` becomes the gradient of x·W + b.
fn branch_gradients(
    arithmetic: Arithmetic,
    x: &[f32],
    [rows, input, d]: [usize; 3],
    [weight, bias, scale]: [&[f32]; 3],
    grad: &mut [f32],
) -> [Vec<f32>; 3] {
    let mut dweight =
        arithmetic.product([input, d, rows], MatrixView::rows(x, input).t(), MatrixView::rows(grad, d), None);
    let mut dscale = rows::by_row(
        &mut dweight,
        d,
        d,
        #[inline(always)]
        |row, dw, sums, _| {
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
        |_, grad, sums, _| {
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
    if kept.any() {
        rows::by_row(
            &mut grad,
            d,
            0,
            #[inline(always)]
            |row, grad, _, _| grad.iter_mut().for_each(|g| *g *= kept.of(row)),
        );
    }
    grad
}

/// Of LN(x)·W with the gradient `grad` `[rows, output]`: the gradients of x (plus `base`), γ, β and W.
fn norm_linear_gradients(
    arithmetic: Arithmetic,
    x: &[f32],
    [rows, d, output]: [usize; 3],
    [gamma, beta, weight, stats]: [&[f32]; 4],
    grad: &[f32],
    base: Option<&[f32]>,
) -> [Vec<f32>; 4] {
    let normed: Vec<f32> = rows::normed(x, gamma, beta, stats);
    let dweight =
        arithmetic.product([d, output, rows], MatrixView::rows(&normed, d).t(), MatrixView::rows(grad, output), None);
    drop(normed);
    let weight = MatrixView::rows(weight, output).t();
    let mut dx = arithmetic.product([rows, d, output], MatrixView::rows(grad, output), weight, None);
    let (dgamma, dbeta) = rows::norm_gradients(x, gamma, stats, &mut dx, base);
    [dx, dgamma, dbeta, dweight]
}

/// Results of the parameters' gradients: with the element type of each parameter.
fn like<B: HostBackend, const N: usize>(parameters: [&T<B>; N]) -> [Results<B>; N] {
    parameters.map(Results::<B>::like)
}

impl<B: HostBackend> LayerOps for B {
    fn parameter_dtype(_activations: DType) -> DType {
        DType::F32
    }

    fn residual_dtype(_arithmetic: Arithmetic) -> DType {
        DType::F32
    }

    fn norm_linear(
        x: T<B>,
        norm: NormWeights<T<B>>,
        linear: LinearWeights<T<B>>,
        arithmetic: Arithmetic,
    ) -> (T<B>, T<B>) {
        let ([rows, d], [_, output], results) = (dims::<B>(&x), dims::<B>(&linear.weight), Results::<B>::like(&x));
        let [x, gamma, beta, bias] = [&x, &norm.gamma, &norm.beta, &linear.bias].map(B::values);
        let stats = rows::norm_statistics(&x, d, norm.epsilon as f32);
        let normed = Left::normed(arithmetic.on_this_cpu(), &x, [&gamma, &beta, &stats]);
        let to = (&results, arithmetic.dtype());
        let y = normed.product_tensor::<B>(&linear.weight, &add_bias(&bias), to, [rows, output]);
        (y, results.wide(stats, [rows, 2]))
    }

    fn norm_linear_backward(
        x: T<B>,
        norm: NormWeights<T<B>>,
        weight: T<B>,
        stats: T<B>,
        grad: T<B>,
        arithmetic: Arithmetic,
    ) -> [T<B>; 5] {
        let ([rows, d], [_, output], results) = (dims::<B>(&x), dims::<B>(&weight), Results::<B>::like(&x));
        let [of_gamma, of_beta, of_weight] = like::<B, 3>([&norm.gamma, &norm.beta, &weight]);
        let [x, gamma, beta, weight, stats, grad] =
            [&x, &norm.gamma, &norm.beta, &weight, &stats, &grad].map(B::values);
        let dbias = rows::sums(&grad, output);
        let [dx, dgamma, dbeta, dweight] =
            norm_linear_gradients(arithmetic, &x, [rows, d, output], [&gamma, &beta, &weight, &stats], &grad, None);
        let [dgamma, dbeta] = [of_gamma.vector(dgamma), of_beta.vector(dbeta)];
        let [dweight, dbias] = [of_weight.tensor(dweight, [d, output]), of_weight.vector(dbias)];
        [results.tensor(dx, [rows, d]), dgamma, dbeta, dweight, dbias]
    }

    fn linear_residual(
        residual: T<B>,
        x: T<B>,
        linear: LinearWeights<T<B>>,
        join: BranchScale<T<B>>,
        arithmetic: Arithmetic,
    ) -> T<B> {
        let ([rows, _], [_, d], results) = (dims::<B>(&x), dims::<B>(&linear.weight), Results::<B>::like(&residual));
        let to = (&results, residual.dtype());
        let keep = join.keep.as_ref().map(B::values);
        let kept = DropPathFactors::new(keep.as_deref(), rows);
        let [residual, bias, scale] = [&residual, &linear.bias, &join.scale].map(B::values);
        let finish = join_branch(&residual, [&bias, &scale], &kept);
        Left::with::<B, _>(arithmetic.on_this_cpu(), &x, |x| {
            x.product_tensor::<B>(&linear.weight, &finish, to, [rows, d])
        })
    }

    fn linear_residual_backward(
        x: T<B>,
        linear: LinearWeights<T<B>>,
        join: BranchScale<T<B>>,
        grad: T<B>,
        arithmetic: Arithmetic,
    ) -> [T<B>; 4] {
        let ([rows, input], [_, d], results) = (dims::<B>(&x), dims::<B>(&linear.weight), Results::<B>::like(&x));
        let [of_weight, of_bias, of_scale] = like::<B, 3>([&linear.weight, &linear.bias, &join.scale]);
        let keep = join.keep.as_ref().map(B::values);
        let [x, weight, bias, scale] = [&x, &linear.weight, &linear.bias, &join.scale].map(B::values);
        let mut grad = kept_gradient(into_values::<B>(grad), d, &DropPathFactors::new(keep.as_deref(), rows));
        let [dweight, dbias, dscale] =
            branch_gradients(arithmetic, &x, [rows, input, d], [&weight, &bias, &scale], &mut grad);
        let weight = MatrixView::rows(&weight, d).t();
        let dx = arithmetic.product([rows, input, d], MatrixView::rows(&grad, d), weight, None);
        let [dbias, dscale] = [of_bias.vector(dbias), of_scale.vector(dscale)];
        [results.tensor(dx, [rows, input]), of_weight.tensor(dweight, [input, d]), dbias, dscale]
    }

    fn feed_forward(
        x: T<B>,
        weights: FeedForwardWeights<T<B>>,
        save: bool,
        arithmetic: Arithmetic,
    ) -> (T<B>, Option<FeedForwardSaved<T<B>>>) {
        let FeedForwardWeights { norm, up, down, join } = weights;
        let ([rows, d], [_, inner], results) = (dims::<B>(&x), dims::<B>(&up.weight), Results::<B>::like(&x));
        let (arithmetic, to) = (arithmetic.on_this_cpu(), (&results, x.dtype()));
        let keep = join.keep.as_ref().map(B::values);
        let kept = DropPathFactors::new(keep.as_deref(), rows);
        let [x, gamma, beta, b1] = [&x, &norm.gamma, &norm.beta, &up.bias].map(B::values);
        let [b2, scale] = [&down.bias, &join.scale].map(B::values);
        let stats = rows::norm_statistics(&x, d, norm.epsilon as f32);
        let normed = Left::normed(arithmetic, &x, [&gamma, &beta, &stats]);
        let finish = join_branch(&x, [&b2, &scale], &kept);
        let branch = |hidden: Left| hidden.product_tensor::<B>(&down.weight, &finish, to, [rows, d]);
        if !save {
            return (branch(normed.hidden::<B>(arithmetic, &up.weight, &b1)), None);
        }
        let z = normed.product::<B, f32>(&up.weight, None);
        drop(normed);
        let out = branch(Left::activated(arithmetic, &z, &b1));
        let saved = FeedForwardSaved { stats: results.wide(stats, [rows, 2]), inner: results.wide(z, [rows, inner]) };
        (out, Some(saved))
    }

    fn feed_forward_backward(
        x: T<B>,
        weights: FeedForwardWeights<T<B>>,
        saved: FeedForwardSaved<T<B>>,
        grad: T<B>,
        arithmetic: Arithmetic,
    ) -> [T<B>; 8] {
        let FeedForwardWeights { norm, up, down, join } = weights;
        let ([rows, d], [_, inner], results) = (dims::<B>(&x), dims::<B>(&up.weight), Results::<B>::like(&x));
        let [of_gamma, of_beta, of_up, of_down, of_scale] =
            like::<B, 5>([&norm.gamma, &norm.beta, &up.weight, &down.weight, &join.scale]);
        let keep = join.keep.as_ref().map(B::values);
        let [x, gamma, beta, w1, b1] = [&x, &norm.gamma, &norm.beta, &up.weight, &up.bias].map(B::values);
        let [w2, b2, scale] = [&down.weight, &down.bias, &join.scale].map(B::values);
        let [stats, z, outer] = [&saved.stats, &saved.inner, &grad].map(B::values);
        let mut grad = kept_gradient(outer.to_vec(), d, &DropPathFactors::new(keep.as_deref(), rows));
        let hidden: Vec<f32> = rows::biased_gelu(&z, &b1);
        let [dw2, db2, dscale] = branch_gradients(arithmetic, &hidden, [rows, inner, d], [&w2, &b2, &scale], &mut grad);
        drop(hidden);
        let w2 = MatrixView::rows(&w2, d).t();
        let mut dz = arithmetic.product([rows, inner, d], MatrixView::rows(&grad, d), w2, None);
        let db1 = rows::gelu_gradients(&z, &b1, &mut dz);
        let parameters: [&[f32]; 4] = [&gamma, &beta, &w1, &stats];
        let [dx, dgamma, dbeta, dw1] =
            norm_linear_gradients(arithmetic, &x, [rows, d, inner], parameters, &dz, Some(&outer));
        let [dgamma, dbeta, dscale] = [of_gamma.vector(dgamma), of_beta.vector(dbeta), of_scale.vector(dscale)];
        let [dw1, db1] = [of_up.tensor(dw1, [d, inner]), of_up.vector(db1)];
        let [dw2, db2] = [of_down.tensor(dw2, [inner, d]), of_down.vector(db2)];
        [results.tensor(dx, [rows, d]), dgamma, dbeta, dw1, db1, dw2, db2, dscale]
    }
}
