//! Layer operations in bf16 and int8 against those in f32, on flex.

use super::{feed_forward, linear_residual, norm_linear};
use crate::device::{Arithmetic, cast, cpu_computes_bf16, cpu_computes_int8};
use crate::testing::{host, noise};
use burn::backend::Autodiff;
use burn::module::Param;
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{DType, Tensor};
use burn_flex::Flex;

type A = Autodiff<Flex>;

/// Three samples of 47 rows.
const ROWS: [usize; 3] = [3, 47, 66];

/// The largest share of the outputs' length that rounding may take: bf16 keeps 8 bits, and bytes of int8 are off by half
/// of 1/127 of the largest value of a row, which is 3 times its deviation here.
fn bound(arithmetic: Arithmetic) -> f64 {
    match arithmetic {
        Arithmetic::F32 => 0.0,
        Arithmetic::Bf16 => 0.005,
        Arithmetic::Int8 => 0.03,
    }
}

/// The length of the difference over that of `expected`.
fn off(found: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let [difference, size] =
        found.iter().zip(expected).fold([0.0; 2], |[d, s], (f, e)| [d + square(f - e), s + square(*e)]);
    (difference / size).sqrt()
}

fn linear(seed: u64, input: usize, output: usize) -> Linear<A> {
    let weight = Tensor::from_inner(noise::<Flex, 2>(seed, [input, output]) * 0.3);
    let bias = Tensor::from_inner(noise::<Flex, 1>(seed + 1, [output]));
    Linear { weight: Param::from_tensor(weight), bias: Some(Param::from_tensor(bias)) }
}

fn norm(d: usize) -> LayerNorm<A> {
    LayerNormConfig::new(d).init(&Default::default())
}

/// What a layer makes of the residual stream `x` in `arithmetic`, f32: the norm and the first map, both branches.
fn layer(x: Tensor<A, 3>, arithmetic: Arithmetic) -> [Tensor<A, 3>; 3] {
    let d = ROWS[2];
    let (first, out, up, down) = (linear(1, d, 90), linear(3, 90, d), linear(5, d, 70), linear(7, 70, d));
    let scale = || Tensor::from_inner(noise::<Flex, 1>(9, [d]));
    let bias = first.bias.as_ref().unwrap().val();
    let mapped = norm_linear(x.clone(), &norm(d), 1e-6, first.weight.val(), bias, arithmetic);
    assert_eq!(mapped.dtype(), arithmetic.dtype(), "activations are those of the arithmetic");
    let joined = linear_residual(x, mapped.clone(), &out, scale(), None, arithmetic);
    let fed = feed_forward(joined.clone(), (&norm(d), 1e-6), [&up, &down], scale(), None, arithmetic);
    assert_eq!([joined.dtype(), fed.dtype()], [DType::F32; 2], "the residual stream stays f32");
    [cast(mapped, DType::F32), joined, fed]
}

fn outputs_are_near_those_of_f32(arithmetic: Arithmetic) {
    let x = || Tensor::from_inner(noise::<Flex, 3>(11, ROWS));
    let names = ["the first map", "the attention's branch", "the feed-forward branch"];
    let pairs = layer(x(), arithmetic).into_iter().zip(layer(x(), Arithmetic::F32));
    for (name, (found, exact)) in names.into_iter().zip(pairs) {
        let off = off(&host(found.inner()), &host(exact.inner()));
        assert!(off > 0.0 && off < bound(arithmetic), "{name} in {arithmetic:?} is off by {off}");
    }
}

#[test]
fn bf16_is_near_f32() {
    if !cpu_computes_bf16() {
        return crate::skipped::skipped("a processor with bf16 products");
    }
    outputs_are_near_those_of_f32(Arithmetic::Bf16);
}

#[test]
fn int8_is_near_f32() {
    if !cpu_computes_int8() {
        return crate::skipped::skipped("a processor with products of bytes");
    }
    outputs_are_near_those_of_f32(Arithmetic::Int8);
}

/// Of the input; on every processor, with the instruction or without it.
#[test]
fn gradients_in_bf16_point_where_those_of_f32_do() {
    let gradient = |arithmetic| {
        let x = Tensor::<A, 3>::from_inner(noise::<Flex, 3>(11, ROWS)).require_grad();
        let probe = Tensor::from_inner(noise::<Flex, 3>(12, ROWS));
        let [_, _, out] = layer(x.clone(), arithmetic);
        host(x.grad(&(out * probe).sum().backward()).unwrap())
    };
    let off = off(&gradient(Arithmetic::Bf16), &gradient(Arithmetic::F32));
    assert!(off > 0.0 && off < 0.01, "gradients are off by {off}");
}
