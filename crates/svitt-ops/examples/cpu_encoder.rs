//! Times a video encoder of the base size (12 layers, width 768) on random weights in f32, bf16 and int8,
//! dense and sparse with pruning, and says how far their outputs are from that of f32:
//! `cargo run --release --example cpu_encoder -- 4 8` for 4 and 8 frames.
//!
//! Beside the seconds that passed it gives the processor seconds of all threads, which other programs disturb less
//! (Linux only).

use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use cpu_time::ProcessTime;
use std::sync::Arc;
use std::time::Instant;
use svitt_ops::device::{Arithmetic, cast, cpu_instructions};
use svitt_ops::fused::{feed_forward, linear_residual};
use svitt_ops::rng::Rng;
use svitt_ops::sparse::{BlockGraph, Compat, EdgeSparsity, PatchRanking, QkvProjection, RelativeBias, self_attention};
use svitt_ops::tokens::{TokenMap, gather_patches, keep_top, kept_tokens};

const LAYERS: usize = 12;
const WIDTH: usize = 768;
const HEADS: usize = 12;
const GRID: usize = 14;
/// Layers after which a share of the tokens is kept.
const PRUNING: [usize; 3] = [3, 6, 9];
const REPEATS: usize = 3;

struct Layer {
    norms: [LayerNorm<Flex>; 2],
    qkv: Linear<Flex>,
    out: Linear<Flex>,
    up: Linear<Flex>,
    down: Linear<Flex>,
    table: Tensor<Flex, 2>,
    scale: Tensor<Flex, 1>,
}

fn noise<const D: usize>(seed: u64, shape: [usize; D], size: f64) -> Tensor<Flex, D> {
    let mut rng = Rng::new(seed, &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| (rng.normal() * size) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

fn linear(seed: u64, input: usize, output: usize) -> Linear<Flex> {
    let mut linear = LinearConfig::new(input, output).init(&Default::default());
    linear.weight = burn::module::Param::from_tensor(noise(seed, [input, output], 0.03));
    linear
}

impl Layer {
    fn new(seed: u64, frames: usize) -> Self {
        let (device, side) = (Default::default(), 2 * GRID - 1);
        let rows = (2 * frames - 1) * side * side + 3;
        Self {
            norms: [0, 1].map(|_| LayerNormConfig::new(WIDTH).init(&device)),
            qkv: linear(seed, WIDTH, 3 * WIDTH),
            out: linear(seed + 1, WIDTH, WIDTH),
            up: linear(seed + 2, WIDTH, 4 * WIDTH),
            down: linear(seed + 3, 4 * WIDTH, WIDTH),
            table: noise(seed + 4, [rows, HEADS], 0.5),
            scale: noise(seed + 5, [WIDTH], 0.3),
        }
    }
}

/// `x` `[1, 1 + tokens, width]` through all layers; `keep` is the share of tokens kept at each pruning, 1 for a dense
/// encoder.
fn encode(layers: &[Layer], mut x: Tensor<Flex, 3>, frames: usize, keep: f64, to: Arithmetic) -> Tensor<Flex, 3> {
    let order: Vec<usize> = (0..frames * GRID * GRID).collect();
    let coords = RelativeBias::<Flex>::raster_coords(frames, GRID);
    let mut map = TokenMap::<Flex>::new(&order, &coords, &x.device());
    let edge = EdgeSparsity::new(1, 3, 56);
    for (number, layer) in layers.iter().enumerate() {
        let tokens = x.dims()[1] - 1;
        let graph = Arc::new(match keep < 1.0 {
            true => BlockGraph::draw(tokens, &edge, Compat::Corrected, &mut Rng::new(0, &[number as u64])),
            false => BlockGraph::dense(tokens),
        });
        let centre = RelativeBias::<Flex>::raster_centre(frames, GRID);
        let bias = RelativeBias { table: layer.table.clone(), coords: map.coords.clone(), centre };
        let bias = RelativeBias { table: cast(bias.table, to.dtype()), ..bias };
        let qkv_bias = layer.qkv.bias.as_ref().unwrap().val();
        let (norm, weight) = (&layer.norms[0], layer.qkv.weight.val());
        let projection = QkvProjection { norm, epsilon: 1e-6, weight, bias: qkv_bias, arithmetic: to };
        let prunes = keep < 1.0 && PRUNING.contains(&number);
        let attended = self_attention(&x, &projection, &bias, &graph, prunes.then_some(PatchRanking::ClassAttention));
        x = linear_residual(x, attended.out, &layer.out, layer.scale.clone(), None, to);
        if let Some(scores) = attended.ranking {
            let kept = keep_top(scores, kept_tokens(keep, tokens));
            (x, map) = (gather_patches(x, &kept), map.keep(&kept));
        }
        x = feed_forward(x, (&layer.norms[1], 1e-6), [&layer.up, &layer.down], layer.scale.clone(), None, to);
    }
    x
}

fn class_token(x: Tensor<Flex, 3>) -> Vec<f32> {
    x.slice([0..1, 0..1, 0..WIDTH]).into_data().convert::<f32>().into_vec().unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn main() {
    println!("{:?}", cpu_instructions());
    let asked: Vec<usize> = std::env::args().skip(1).filter_map(|x| x.parse().ok()).collect();
    for frames in if asked.is_empty() { vec![4] } else { asked } {
        let layers: Vec<Layer> = (0..LAYERS as u64).map(|l| Layer::new(100 * l, frames)).collect();
        let x = noise(7, [1, 1 + frames * GRID * GRID, WIDTH], 1.0);
        for (name, keep) in [("dense", 1.0), ("hybrid", if frames < 8 { 0.7 } else { 0.6 })] {
            let (mut best, mut busy) = ([f64::INFINITY; 3], [f64::INFINITY; 3]);
            let mut outputs = [Vec::new(), Vec::new(), Vec::new()];
            for _ in 0..REPEATS {
                for (i, arithmetic) in [Arithmetic::F32, Arithmetic::Bf16, Arithmetic::Int8].into_iter().enumerate() {
                    let (start, used) = (Instant::now(), ProcessTime::now());
                    outputs[i] = class_token(encode(&layers, x.clone(), frames, keep, arithmetic));
                    best[i] = best[i].min(start.elapsed().as_secs_f64());
                    busy[i] = busy[i].min(used.elapsed().as_secs_f64());
                }
            }
            for (i, precision) in ["f32", "bf16", "int8"].into_iter().enumerate() {
                let (times, likeness) = (best[0] / best[i], cosine(&outputs[0], &outputs[i]));
                let start = format!("{name:6} T={frames} {precision:4} {:.3} s, processors {:.2} s", best[i], busy[i]);
                println!("{start}: {times:.2} times as fast, cosine {likeness:.6}");
            }
        }
    }
}
