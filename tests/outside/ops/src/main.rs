//! One training step of a small classifier whose layer calls the block-sparse attention of `svitt-ops`. The same step
//! with the oracle in its place, dense and differentiated by Burn, has to give the same loss and the same weights.

use burn::backend::Autodiff;
use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{GradientsParams, Optimizer, SgdConfig};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use std::sync::Arc;
use svitt_ops::TrainBackend;
use svitt_ops::rng::Rng;
use svitt_ops::sparse::{BlockGraph, Compat, EdgeSparsity, RelativeBias, class_attention, oracle, sparse_attention};
use svitt_ops::tokens::{gather_patches, keep_top};

type B = Autodiff<burn_flex::Flex>;

const BATCH: usize = 3;
const TOKENS: usize = 22;
const WIDTH: usize = 20;
const HEADS: usize = 4;
const CLASSES: usize = 7;

/// One layer and a head.
#[derive(Module, Debug)]
struct Classifier<B: Backend> {
    qkv: Linear<B>,
    out: Linear<B>,
    head: Linear<B>,
}

impl<B: TrainBackend> Classifier<B> {
    fn new(device: &B::Device) -> Self {
        let linear = |inputs, outputs| LinearConfig::new(inputs, outputs).with_bias(false).init(device);
        Self { qkv: linear(WIDTH, 3 * WIDTH), out: linear(WIDTH, WIDTH), head: linear(WIDTH, CLASSES) }
    }

    /// `x` `[batch, 1 + tokens, width]` to logits `[batch, classes]`: attention, then the mean of the better half of the
    /// patches.
    fn forward(&self, x: Tensor<B, 3>, graph: &Arc<BlockGraph>, with_oracle: bool) -> Tensor<B, 2> {
        let qkv = self.qkv.forward(x.clone());
        let bias = RelativeBias::none(HEADS, TOKENS, &x.device());
        let kept = keep_top(class_attention(&qkv, &bias), TOKENS / 2);
        let attended = match with_oracle {
            true => oracle::attention(qkv, &bias, graph),
            false => sparse_attention(qkv, &bias, graph).out,
        };
        let x = gather_patches(x + self.out.forward(attended), &kept);
        self.head.forward(x.mean_dim(1).reshape([BATCH, WIDTH]))
    }
}

/// The loss, and the weights after one step of gradient descent from `model`.
fn step(model: Classifier<B>, graph: &Arc<BlockGraph>, with_oracle: bool) -> (f32, Vec<f32>) {
    let device = Default::default();
    let mut rng = Rng::new(5, &[]);
    let values: Vec<f32> = (0..BATCH * (1 + TOKENS) * WIDTH).map(|_| rng.normal() as f32).collect();
    let x = Tensor::from_data(TensorData::new(values, [BATCH, 1 + TOKENS, WIDTH]), &device);
    let classes = Tensor::from_data(TensorData::from([2i64, 0, 6]), &device);
    let loss = CrossEntropyLossConfig::new().init(&device).forward(model.forward(x, graph, with_oracle), classes);
    let gradients = GradientsParams::from_grads(loss.backward(), &model);
    let model = SgdConfig::new().init().step(0.5, model, gradients);
    (loss.into_data().into_vec::<f32>().unwrap()[0], weights(&model))
}

/// All weights, those of the attention first.
fn weights(model: &Classifier<B>) -> Vec<f32> {
    let weights = [model.qkv.weight.val(), model.out.weight.val(), model.head.weight.val()];
    weights.into_iter().flat_map(|weight| weight.into_data().into_vec::<f32>().unwrap()).collect()
}

fn main() {
    B::seed(&Default::default(), 3);
    let model = Classifier::new(&Default::default());
    let edge = EdgeSparsity::new(1, 1, 5);
    let graph = Arc::new(BlockGraph::draw(TOKENS, &edge, Compat::Corrected, &mut Rng::new(1, &[])));
    // Burn draws weights when they are first read: reading them before the copy gives both the same.
    let before = weights(&model);
    let (loss, trained) = step(model.clone(), &graph, false);
    let (expected_loss, expected) = step(model, &graph, true);
    let difference = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    let moved = difference(&trained[..3 * WIDTH * WIDTH], &before);
    let worst = difference(&trained, &expected);
    println!(
        "loss {loss:.6}, with the oracle {expected_loss:.6}; weights moved by up to {moved:.1e}, apart by {worst:.1e}"
    );
    assert!((loss - expected_loss).abs() < 1e-5 && trained.len() == before.len() && worst < 1e-5);
    assert!(moved > 1e-3, "the attention's weights were trained");
}
