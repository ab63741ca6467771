//! Kernels, portable siblings and Burn's own derivative against each other, on odd sizes.

use super::{
    BranchScale, FeedForwardWeights, FusedOps, LayerOps, LinearWeights, NormWeights, feed_forward, layer_norm,
    layer_portable, linear_gelu, linear_residual, norm_linear, portable,
};
use crate::device::{Arithmetic, BufferLimit};
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

fn norm_linear_agrees<B: LayerOps>() {
    let inputs =
        [(16, [141, 11], 1.5), (17, [1, 11], 1.0), (18, [1, 11], 1.0), (19, [11, 19], 0.6), (20, [1, 19], 1.0)];
    let fused = |[x, g, b, w, c]: &[Tensor<A<B>, 2>; 5]| {
        norm_linear(x.clone(), &norm_of(g, b), 1e-12, w.clone(), vector(c), Arithmetic::F32)
    };
    agree::<B, 5>(inputs, "norm and linear", fused, |[x, g, b, w, c]| {
        portable::layer_norm(x.clone(), vector(g), vector(b), 1e-12).0.matmul(w.clone()) + c.clone()
    });
}

/// 141 rows as three samples of 47, without and with stochastic depth, one sample dropped.
const KEEPS: [Option<[f32; 3]>; 2] = [None, Some([1.25, 0.0, 1.25])];

fn keep_of<B: Backend>(keep: Option<[f32; 3]>) -> Option<Tensor<B, 1>> {
    keep.map(|keep| Tensor::from_data(keep, &Default::default()))
}

fn factors<B: Backend>(keep: Option<[f32; 3]>) -> Tensor<B, 2> {
    let factors = Tensor::<B, 1>::from_data(keep.unwrap_or([1.0; 3]), &Default::default());
    factors.reshape([3, 1]).expand([3, 47]).reshape([141, 1])
}

fn linear_residual_agrees<B: LayerOps>() {
    let inputs = [(7, [141, 19], 1.0), (8, [141, 7], 1.0), (9, [7, 19], 1.0), (10, [1, 19], 1.0), (11, [1, 19], 0.3)];
    for keep in KEEPS {
        let fused = |[r, x, w, b, s]: &[Tensor<A<B>, 2>; 5]| {
            linear_residual(r.clone(), x.clone(), &linear_of(w, b), vector(s), keep_of(keep), Arithmetic::F32)
        };
        agree::<B, 5>(inputs, "residual", fused, |[r, x, w, b, s]| {
            r.clone() + (x.clone().matmul(w.clone()) + b.clone()) * s.clone() * factors(keep)
        });
    }
}

/// x, γ, β, W1, b1, W2, b2, λ: key, shape and deviation.
const FEED_FORWARD: [(u64, [usize; 2], f64); 8] = [
    (21, [141, 13], 1.5),
    (22, [1, 13], 1.0),
    (23, [1, 13], 1.0),
    (24, [13, 29], 0.5),
    (25, [1, 29], 0.5),
    (26, [29, 13], 0.4),
    (27, [1, 13], 1.0),
    (28, [1, 13], 0.3),
];

fn feed_forward_agrees<B: LayerOps + BufferLimit>() {
    for keep in KEEPS {
        let fused = |[x, g, b, w1, b1, w2, b2, s]: &[Tensor<A<B>, 2>; 8]| {
            let (up, down) = (linear_of(w1, b1), linear_of(w2, b2));
            feed_forward(x.clone(), (&norm_of(g, b), 1e-12), [&up, &down], vector(s), keep_of(keep), Arithmetic::F32)
        };
        agree::<B, 8>(FEED_FORWARD, "feed-forward", fused, |[x, g, b, w1, b1, w2, b2, s]| {
            let normed = portable::layer_norm(x.clone(), vector(g), vector(b), 1e-12).0;
            let hidden = portable::bias_gelu(normed.matmul(w1.clone()), vector(b1));
            x.clone() + (hidden.matmul(w2.clone()) + b2.clone()) * s.clone() * factors(keep)
        });
    }
}

fn flat<B: Backend>(x: burn::tensor::ops::FloatTensor<B>) -> Vec<f32> {
    let length = burn::tensor::TensorMetadata::shape(&x).num_elements();
    let x = B::float_reshape(x, burn::tensor::Shape::from([length]));
    host(Tensor::<B, 1>::from_primitive(burn::tensor::TensorPrimitive::Float(x)))
}

/// The portable layer operations run on GPUs; hold them against the kernels.
fn the_portable_layers_agree<B: LayerOps>() {
    let vector = |x: &Tensor<B, 2>| vector(x).into_primitive().tensor();
    let matrix = |x: &Tensor<B, 2>| x.clone().into_primitive().tensor();
    let [x, g, b, w1, b1, w2, b2, s] = FEED_FORWARD.map(|(key, shape, scale)| random::<B, 2>(key, shape, scale));
    let grad = random::<B, 2>(29, [141, 13], 1.0);
    for keep in KEEPS {
        let weights = || FeedForwardWeights {
            norm: NormWeights { gamma: vector(&g), beta: vector(&b), epsilon: 1e-12 },
            up: LinearWeights { weight: matrix(&w1), bias: vector(&b1) },
            down: LinearWeights { weight: matrix(&w2), bias: vector(&b2) },
            join: BranchScale {
                scale: vector(&s),
                keep: keep_of::<B>(keep).map(|keep| keep.into_primitive().tensor()),
            },
        };
        let (y, saved) = B::feed_forward(matrix(&x), weights(), true, Arithmetic::F32);
        let (expected, portable_saved) = layer_portable::feed_forward::<B>(matrix(&x), weights(), true);
        close(&flat::<B>(y), &flat::<B>(expected), "feed-forward");
        let found = B::feed_forward_backward(matrix(&x), weights(), saved.unwrap(), matrix(&grad), Arithmetic::F32);
        let saved = portable_saved.unwrap();
        let expected = layer_portable::feed_forward_backward::<B>(matrix(&x), weights(), saved, matrix(&grad));
        for (i, (found, expected)) in found.into_iter().zip(expected).enumerate() {
            close(&flat::<B>(found), &flat::<B>(expected), &format!("feed-forward gradient {i}"));
        }
        let (down, join) = (|| weights().down, || weights().join);
        let hidden = random::<B, 2>(30, [141, 29], 1.0);
        let found = B::linear_residual(matrix(&x), matrix(&hidden), down(), join(), Arithmetic::F32);
        let expected = layer_portable::linear_residual::<B>(matrix(&x), matrix(&hidden), down(), join());
        close(&flat::<B>(found), &flat::<B>(expected), "residual");
        let found = B::linear_residual_backward(matrix(&hidden), down(), join(), matrix(&grad), Arithmetic::F32);
        let expected = layer_portable::linear_residual_backward::<B>(matrix(&hidden), down(), join(), matrix(&grad));
        for (i, (found, expected)) in found.into_iter().zip(expected).enumerate() {
            close(&flat::<B>(found), &flat::<B>(expected), &format!("residual gradient {i}"));
        }
    }
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

crate::on_every_backend!(
    layer_norm_agrees,
    linear_gelu_agrees,
    norm_linear_agrees,
    linear_residual_agrees,
    feed_forward_agrees,
    the_portable_backwards_agree,
    the_portable_layers_agree
);
