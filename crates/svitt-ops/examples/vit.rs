//! Block-sparse attention and token pruning in a plain vision transformer that is not this crate's: `svitt_ops::sparse` and
//! `svitt_ops::tokens` take tensors and know no model.
//!
//! It learns where on a 12 × 12 picture the bright spot lies: in which of nine fields. Sixteen patches see their own
//! block of four and a random one; after the first layer the better half of them goes on.

use burn::module::{AutodiffModule, Module, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, Optimizer};
use burn::tensor::{Distribution, Int, Tensor, TensorData, activation::gelu, backend::Backend};
use std::sync::Arc;
use svitt_ops::rng::Rng;
use svitt_ops::sparse::{BlockGraph, Compat, EdgeSparsity, RelativeBias, class_attention, sparse_attention};
use svitt_ops::tokens::{gather_patches, keep_top};
use svitt_ops::{SvittBackend, TrainBackend};

const SIDE: usize = 12;
const PATCH: usize = 3;
const TOKENS: usize = (SIDE / PATCH) * (SIDE / PATCH);
const WIDTH: usize = 32;
const HEADS: usize = 4;
const FIELDS: usize = 9;

/// A standard pre-norm layer, except for the one call.
#[derive(Module, Debug)]
struct Layer<B: Backend> {
    before: LayerNorm<B>,
    qkv: Linear<B>,
    out: Linear<B>,
    after: LayerNorm<B>,
    up: Linear<B>,
    down: Linear<B>,
}

#[derive(Module, Debug)]
struct Vit<B: Backend> {
    patches: Linear<B>,
    class: Param<Tensor<B, 3>>,
    places: Param<Tensor<B, 3>>,
    layers: Vec<Layer<B>>,
    norm: LayerNorm<B>,
    head: Linear<B>,
}

impl<B: SvittBackend> Layer<B> {
    fn new(device: &B::Device) -> Self {
        let (norm, linear) = (|| LayerNormConfig::new(WIDTH).init(device), |a, b| LinearConfig::new(a, b).init(device));
        Self {
            before: norm(),
            qkv: linear(WIDTH, 3 * WIDTH),
            out: linear(WIDTH, WIDTH),
            after: norm(),
            up: linear(WIDTH, 4 * WIDTH),
            down: linear(4 * WIDTH, WIDTH),
        }
    }

    /// `x` `[batch, 1 + tokens, width]` over `graph`, and the class token's attention `[batch, tokens]`.
    fn forward(&self, x: Tensor<B, 3>, graph: &Arc<BlockGraph>) -> (Tensor<B, 3>, Tensor<B, 2>) {
        let qkv = self.qkv.forward(self.before.forward(x.clone()));
        let bias = RelativeBias::none(HEADS, graph.tokens(), &x.device());
        let scores = class_attention(&qkv, &bias);
        let x = x + self.out.forward(sparse_attention(qkv, &bias, graph).out);
        (x.clone() + self.down.forward(gelu(self.up.forward(self.after.forward(x)))), scores)
    }
}

impl<B: SvittBackend> Vit<B> {
    fn new(device: &B::Device) -> Self {
        let spread = Distribution::Normal(0.0, 0.1);
        Self {
            patches: LinearConfig::new(PATCH * PATCH, WIDTH).init(device),
            class: Param::from_tensor(Tensor::random([1, 1, WIDTH], spread, device)),
            places: Param::from_tensor(Tensor::random([1, TOKENS, WIDTH], spread, device)),
            layers: vec![Layer::new(device), Layer::new(device)],
            norm: LayerNormConfig::new(WIDTH).init(device),
            head: LinearConfig::new(WIDTH, FIELDS).init(device),
        }
    }

    /// `pictures` `[batch, tokens, patch pixels]` to logits `[batch, fields]`.
    fn forward(&self, pictures: Tensor<B, 3>) -> Tensor<B, 2> {
        let batch = pictures.dims()[0];
        let class = self.class.val().repeat_dim(0, batch);
        let mut x = Tensor::cat(vec![class, self.patches.forward(pictures) + self.places.val()], 1);
        let edge = EdgeSparsity::new(1, 1, 4);
        for (number, layer) in self.layers.iter().enumerate() {
            let tokens = x.dims()[1] - 1;
            let graph = BlockGraph::draw(tokens, &edge, Compat::Corrected, &mut Rng::new(0, &[number as u64]));
            let (out, scores) = layer.forward(x, &Arc::new(graph));
            x = if number == 0 { gather_patches(out, &keep_top(scores, tokens / 2)) } else { out };
        }
        let class = self.norm.forward(x).slice([0..batch, 0..1, 0..WIDTH]).reshape([batch, WIDTH]);
        self.head.forward(class)
    }
}

/// Noise with a bright 4 × 4 spot in one of nine fields, cut into patches, and the fields.
fn pictures<B: Backend>(count: usize, seed: u64, device: &B::Device) -> (Tensor<B, 3>, Tensor<B, 1, Int>) {
    let (mut rng, mut values, mut fields) = (Rng::new(seed, &[]), Vec::new(), Vec::new());
    for _ in 0..count {
        let field = rng.below(FIELDS);
        let bright = |x: usize, y: usize| y / 4 * 3 + x / 4 == field;
        for patch in 0..TOKENS {
            let [left, top] = [patch % (SIDE / PATCH) * PATCH, patch / (SIDE / PATCH) * PATCH];
            for pixel in 0..PATCH * PATCH {
                let light = if bright(left + pixel % PATCH, top + pixel / PATCH) { 1.0 } else { 0.0 };
                values.push(light + 0.5 * rng.normal() as f32);
            }
        }
        fields.push(field as i64);
    }
    let pictures = Tensor::from_data(TensorData::new(values, [count, TOKENS, PATCH * PATCH]), device);
    (pictures, Tensor::from_data(TensorData::new(fields, [count]), device))
}

/// Percent of 400 new pictures whose spot is found after 150 steps.
fn train<B: TrainBackend>(device: B::Device) -> f32 {
    let mut model = Vit::<B>::new(&device);
    let mut optimizer = AdamConfig::new().init();
    for step in 0..150 {
        let (batch, fields) = pictures::<B>(32, 1 + step, &device);
        let loss = CrossEntropyLossConfig::new().init(&device).forward(model.forward(batch), fields);
        if step % 30 == 0 {
            println!("step {step:3}  loss {:.3}", loss.clone().into_data().convert::<f32>().iter::<f32>().sum::<f32>());
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(3e-3, model, gradients);
    }
    let (pictures, fields) = pictures::<B::InnerBackend>(400, 0, &device);
    let right = model.valid().forward(pictures).argmax(1).flatten::<1>(0, 1).equal(fields).int().sum();
    right.into_data().convert::<f32>().iter::<f32>().sum::<f32>() / 4.0
}

fn main() {
    let percent = train::<burn::backend::Autodiff<burn_flex::Flex>>(Default::default());
    println!("{percent:.1} % of new pictures right (chance 11.1)");
}
