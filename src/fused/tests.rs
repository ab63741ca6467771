//! Kernels, portable siblings and Burn's own derivative against each other, on odd sizes.

use super::{FusedOps, layer_norm, linear_gelu, linear_scaled_residual, portable};
use crate::rng::Rng;
use crate::testing::Reference;
use burn::backend::Autodiff;
use burn::module::Param;
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Tensor, TensorData, backend::Backend};

fn random<B: Backend, const D: usize>(key: u64, shape: [usize; D], scale: f64) -> Tensor<B, D> {
    let mut rng = Rng::new(31, &[key]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| (scale * rng.normal()) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

fn host<B: Backend, const D: usize>(x: Tensor<B, D>) -> Vec<f32> {
    x.into_data().convert::<f32>().to_vec().unwrap()
}

fn close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0f32, |m, x| m.max(x.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= 1e-5 * scale, "{what}[{i}]: {f} is not {e}");
    }
}

/// 3 × 47 = 141 rows: two full chunks of the CPU kernels and a part of one, four of the GPU kernels and a part; 147
/// columns are more than the units of a GPU cube.
const SHAPE: [usize; 3] = [3, 47, 147];

type A<B> = Autodiff<B>;

/// Output and gradients of `inputs` under `f`, probed by a random direction.
fn gradients<B: Backend, const N: usize>(
    inputs: [Tensor<A<B>, 2>; N],
    f: impl Fn(&[Tensor<A<B>, 2>; N]) -> Tensor<A<B>, 2>,
) -> Vec<Vec<f32>> {
    let inputs = inputs.map(Tensor::require_grad);
    let out = f(&inputs);
    let grads = (out.clone() * random(99, out.dims(), 1.0)).sum().backward();
    std::iter::once(host(out)).chain(inputs.iter().map(|x| host(x.grad(&grads).unwrap()))).collect()
}

/// Holds an op on `B` against tensor operations and Burn's own derivative on the reference backend; inputs by key,
/// shape and deviation.
fn agree<B: Backend, const N: usize>(
    inputs: [(u64, [usize; 2], f64); N],
    name: &str,
    fused: impl Fn(&[Tensor<A<B>, 2>; N]) -> Tensor<A<B>, 2>,
    plain: impl Fn(&[Tensor<A<Reference>, 2>; N]) -> Tensor<A<Reference>, 2>,
) {
    let found = gradients::<B, N>(inputs.map(|(key, shape, scale)| random(key, shape, scale)), fused);
    let expected = gradients::<Reference, N>(inputs.map(|(key, shape, scale)| random(key, shape, scale)), plain);
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        close(found, expected, &format!("{name}, {}", if i == 0 { "output".into() } else { format!("gradient {i}") }));
    }
}

fn vector<B: Backend>(x: &Tensor<B, 2>) -> Tensor<B, 1> {
    x.clone().squeeze_dim(0)
}

fn norm_of<B: Backend>(gamma: &Tensor<B, 2>, beta: &Tensor<B, 2>) -> LayerNorm<B> {
    let mut norm = LayerNormConfig::new(gamma.dims()[1]).init(&gamma.device());
    norm.gamma = Param::initialized(Default::default(), vector(gamma));
    norm.beta = Some(Param::initialized(Default::default(), vector(beta)));
    norm
}

fn linear_of<B: Backend>(weight: &Tensor<B, 2>, bias: &Tensor<B, 2>) -> Linear<B> {
    Linear {
        weight: Param::initialized(Default::default(), weight.clone()),
        bias: Some(Param::initialized(Default::default(), vector(bias))),
    }
}

fn layer_norm_agrees<B: FusedOps>() {
    let [a, b, d] = SHAPE;
    let inputs = [(1, [a * b, d], 2.0), (2, [1, d], 1.0), (3, [1, d], 1.0)];
    let fused = |[x, g, b]: &[Tensor<A<B>, 2>; 3]| {
        let cube = x.clone().reshape(SHAPE);
        layer_norm(cube, &norm_of(g, b), 1e-12).reshape([SHAPE[0] * SHAPE[1], SHAPE[2]])
    };
    agree::<B, 3>(inputs, "norm", fused, |[x, g, b]| portable::layer_norm(x.clone(), vector(g), vector(b), 1e-12).0);
}

fn linear_gelu_agrees<B: FusedOps>() {
    let inputs = [(4, [141, 11], 1.0), (5, [11, 19], 0.6), (6, [1, 19], 1.0)];
    let fused = |[x, w, b]: &[Tensor<A<B>, 2>; 3]| linear_gelu(x.clone(), &linear_of(w, b));
    agree::<B, 3>(inputs, "gelu", fused, |[x, w, b]| portable::bias_gelu(x.clone().matmul(w.clone()), vector(b)));
}

fn scaled_residual_agrees<B: FusedOps>() {
    let inputs = [(7, [141, 19], 1.0), (8, [141, 7], 1.0), (9, [7, 19], 1.0), (10, [1, 19], 1.0), (11, [1, 19], 0.3)];
    let fused = |[r, x, w, b, s]: &[Tensor<A<B>, 2>; 5]| {
        linear_scaled_residual(r.clone(), x.clone(), &linear_of(w, b), vector(s))
    };
    agree::<B, 5>(inputs, "residual", fused, |[r, x, w, b, s]| {
        portable::scaled_residual(r.clone(), x.clone().matmul(w.clone()), vector(b), vector(s))
    });
}

/// The portable backwards run where a backend has no kernels; hold them against the kernels' results.
fn the_portable_backwards_agree<B: FusedOps>() {
    let (x, grad): (Tensor<B, 2>, Tensor<B, 2>) = (random(12, [67, 13], 1.5), random(13, [67, 13], 1.0));
    let (gamma, beta): (Tensor<B, 1>, Tensor<B, 1>) = (random(14, [13], 1.0), random(15, [13], 1.0));
    let raw = |x: Tensor<B, 2>| x.into_primitive().tensor();
    let raw1 = |x: Tensor<B, 1>| x.into_primitive().tensor();
    let back = |x: burn::tensor::ops::FloatTensor<B>| {
        host(Tensor::<B, 2>::from_primitive(burn::tensor::TensorPrimitive::Float(x)))
    };
    let back1 = |x: burn::tensor::ops::FloatTensor<B>| {
        host(Tensor::<B, 1>::from_primitive(burn::tensor::TensorPrimitive::Float(x)))
    };
    let stats = portable::layer_norm(x.clone(), gamma.clone(), beta.clone(), 1e-12).1;
    let (dx, dg, db) = portable::layer_norm_backward(x.clone(), gamma.clone(), stats.clone(), grad.clone());
    let [kx, kg, kb] = B::layer_norm_backward(raw(x.clone()), raw1(gamma.clone()), raw(stats), raw(grad.clone()));
    close(&back(kx), &host(dx), "norm dx");
    close(&back1(kg), &host(dg), "norm dgamma");
    close(&back1(kb), &host(db), "norm dbeta");
    let (dx, db) = portable::bias_gelu_backward(x.clone(), beta.clone(), grad.clone());
    let [kx, kb] = B::bias_gelu_backward(raw(x.clone()), raw1(beta.clone()), raw(grad.clone()));
    close(&back(kx), &host(dx), "gelu dx");
    close(&back1(kb), &host(db), "gelu dbias");
    let (dy, db, ds) = portable::scaled_residual_backward(x.clone(), beta.clone(), gamma.clone(), grad.clone());
    let [ky, kb, ks] = B::scaled_residual_backward(raw(x), raw1(beta), raw1(gamma), raw(grad));
    close(&back(ky), &host(dy), "residual dy");
    close(&back1(kb), &host(db), "residual dbias");
    close(&back1(ks), &host(ds), "residual dscale");
}

crate::testing::on_every_backend!(
    layer_norm_agrees,
    linear_gelu_agrees,
    scaled_residual_agrees,
    the_portable_backwards_agree
);
