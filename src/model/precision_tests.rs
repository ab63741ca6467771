//! Features and matching logits in bf16 and int8 beside those in f32, on sparse models with random weights.

use super::{Svitt, VideoDraws};
use crate::config::{Compat, Precision};
use crate::testing::{host, noise, randomized, small_sparse_config};
use burn::tensor::{DType, Int, Tensor};
use burn_flex::Flex;
use svitt_ops::device::{cpu_computes_bf16, cpu_computes_int8};

/// A model whose widths are those of a small real one: bytes of rows of eight values are another matter.
fn model() -> Svitt<Flex> {
    let mut config = small_sparse_config(Compat::Corrected);
    (config.video.hidden, config.video.heads, config.video.ffn) = (96, 6, 384);
    randomized(Svitt::new(&config, 1, &Default::default()).unwrap(), 2)
}

/// The features of clips and of texts, and the matching logits.
fn outputs(model: &Svitt<Flex>) -> [Vec<f32>; 3] {
    let device = Default::default();
    let ids = Tensor::<Flex, 2, Int>::from_data([[1, 9, 30, 4], [1, 17, 5, 0], [1, 8, 0, 0]], &device);
    let mask = Tensor::from_data([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]], &device);
    let video = model.encode_video(noise(3, [3, 3, 3, 12, 12]), &VideoDraws::evaluation(0)).unwrap();
    let text = model.encode_text(ids, mask.clone());
    assert_eq!((video.feature.dtype(), text.feature.dtype()), (DType::F32, DType::F32));
    let logits = model.match_logits(text.embeds, mask, video.embeds);
    [host(video.feature), host(text.feature), host(logits)]
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn outputs_are_near_those_of_f32(precision: Precision, bounds: [f64; 3]) {
    let exact = outputs(&model());
    let found = outputs(&model().with_precision(precision));
    for (i, bound) in bounds.into_iter().enumerate() {
        let cosine = cosine(&found[i], &exact[i]);
        println!("{} output {i}: cosine {cosine:.6}", precision.name());
        assert!(cosine >= bound, "output {i} in {}: cosine {cosine}", precision.name());
        assert!(found[i] != exact[i], "{} changes something", precision.name());
    }
}

#[test]
fn bf16_features_are_near_those_of_f32() {
    if !cpu_computes_bf16() {
        return crate::skipped::skipped("a processor with bf16 products");
    }
    outputs_are_near_those_of_f32(Precision::Bf16, [0.9995; 3]);
}

/// Texts are in bf16 here.
#[test]
fn int8_features_are_near_those_of_f32() {
    if !cpu_computes_int8() || !cpu_computes_bf16() {
        return crate::skipped::skipped("a processor with products of bytes and bf16");
    }
    outputs_are_near_those_of_f32(Precision::Int8, [0.998, 0.9995, 0.995]);
}
