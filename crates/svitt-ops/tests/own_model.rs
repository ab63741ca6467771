//! A model that is not this crate's: one attention layer with pruning, written against the public API alone. Its output
//! equals the same model with the reference attention, and so do its weights after a step of Adam.
#![cfg(feature = "flex")]

use burn::backend::Autodiff;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, Optimizer};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use burn_flex::Flex;
use std::sync::Arc;
use svitt_ops::rng::Rng;
use svitt_ops::sparse::{BlockGraph, Compat, EdgeSparsity, RelativeBias, class_attention, oracle, sparse_attention};
use svitt_ops::tokens::{gather_patches, keep_top};
use svitt_ops::{SvittBackend, TrainBackend};

const BATCH: usize = 3;
const TOKENS: usize = 13;
const WIDTH: usize = 10;
const HEADS: usize = 2;
const KEPT: usize = 5;

/// Which attention the model uses.
#[derive(Clone, Copy, PartialEq)]
enum Attention {
    Kernel,
    Oracle,
}

#[derive(Module, Debug)]
struct Model<B: Backend> {
    qkv: Linear<B>,
    out: Linear<B>,
    head: Linear<B>,
}

fn noise<B: Backend, const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<B, D> {
    let mut rng = Rng::new(seed, &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.between(-1.0, 1.0) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

fn linear<B: Backend>(seed: u64, input: usize, output: usize) -> Linear<B> {
    let mut linear = LinearConfig::new(input, output).init(&Default::default());
    linear.weight = burn::module::Param::from_tensor(noise(seed, [input, output]));
    linear.bias = Some(burn::module::Param::from_tensor(noise(seed + 1, [output])));
    linear
}

impl<B: SvittBackend> Model<B> {
    fn new() -> Self {
        Self { qkv: linear(10, WIDTH, 3 * WIDTH), out: linear(20, WIDTH, WIDTH), head: linear(30, WIDTH, 4) }
    }

    /// `x` `[batch, 1 + tokens, width]` to `[batch, 1 + kept, 4]`.
    fn forward(&self, x: Tensor<B, 3>, attention: Attention) -> Tensor<B, 3> {
        let edge = EdgeSparsity::new(1, 1, 3);
        let graph = Arc::new(BlockGraph::draw(TOKENS, &edge, Compat::Corrected, &mut Rng::new(5, &[])));
        let bias = RelativeBias::none(HEADS, TOKENS, &x.device());
        let qkv = self.qkv.forward(x.clone());
        let kept = keep_top(class_attention(&qkv, &bias), KEPT);
        let attended = match attention {
            Attention::Kernel => sparse_attention(qkv, &bias, &graph).out,
            Attention::Oracle => oracle::attention(qkv, &bias, &graph),
        };
        self.head.forward(gather_patches(x + self.out.forward(attended), &kept))
    }
}

/// The output before and after one step of Adam, and the loss's gradient through the attention's weights.
fn train<B: TrainBackend>(attention: Attention) -> [Vec<f32>; 3] {
    let x = noise::<B, 3>(1, [BATCH, 1 + TOKENS, WIDTH]);
    let target = noise::<B, 3>(2, [BATCH, 1 + KEPT, 4]);
    let model = Model::<B>::new();
    let before = model.forward(x.clone(), attention);
    let gradients = (before.clone() - target).powi_scalar(2).mean().backward();
    let through = model.qkv.weight.val().grad(&gradients).unwrap().into_data();
    let gradients = GradientsParams::from_grads(gradients, &model);
    let model = AdamConfig::new().init().step(1e-2, model, gradients);
    let after = model.forward(x, attention).into_data();
    [before.into_data(), through, after].map(|data| data.convert::<f32>().into_vec().unwrap())
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{what} differs by {worst}");
}

#[test]
fn a_model_of_its_own_trains_and_matches_the_oracle() {
    let [before, gradient, after] = train::<Autodiff<Flex>>(Attention::Kernel);
    let [before_oracle, gradient_oracle, after_oracle] = train::<Autodiff<Flex>>(Attention::Oracle);
    assert_close(&before, &before_oracle, 1e-5, "the output");
    assert_close(&gradient, &gradient_oracle, 1e-5, "the gradient of the attention's weights");
    // Adam's first step is ±learning rate wherever a gradient is not 0: differences stay of the order of rounding.
    assert_close(&after, &after_oracle, 1e-4, "the output after a step");
    let moved = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(moved > 1e-2, "the step changed nothing: {moved}");
}
