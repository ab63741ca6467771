//! The reference implementation: a dense score matrix and a matrix of how often each query sees each key. Plain tensor
//! operations, differentiated by Burn, never optimised. Does not support mirrored windows.

use super::{BlockGraph, RelativeBias};
use burn::tensor::{Int, Tensor, TensorData, activation::softmax, backend::Backend};

/// The output `[batch, S, C]` of attention over `graph`; see [`super::sparse_attention`] for the shapes.
///
/// # Panics
/// If the graph has mirrored windows.
pub fn attention<B: Backend>(qkv: Tensor<B, 3>, bias: &RelativeBias<B>, graph: &BlockGraph) -> Tensor<B, 3> {
    assert!(!graph.is_mirrored(), "the oracle scores and reads values from the same block");
    let [batch, s, width] = qkv.dims();
    let heads = bias.table.dims()[1];
    let (c, d) = (width / 3, width / 3 / heads);
    let part = |i: usize| {
        qkv.clone().slice([0..batch, 0..s, i * c..(i + 1) * c]).reshape([batch, s, heads, d]).swap_dims(1, 2)
    };
    let pad = |x: Tensor<B, 4>| match graph.padding() {
        0 => x,
        padding => Tensor::cat(vec![x.clone(), Tensor::zeros([batch, heads, padding, d], &x.device())], 2),
    };
    let (query, key, value) = (part(0), pad(part(1)), pad(part(2)));
    let scores = query.matmul(key.swap_dims(2, 3)).mul_scalar((d as f64).powf(-0.5));
    let logits = scores + dense_bias(bias, graph) + log_multiplicity(graph, &qkv.device());
    softmax(logits, 3).matmul(value).swap_dims(1, 2).reshape([batch, s, c])
}

/// ln(how often query i sees key j), −1e9 for never: `[1, 1, S, 1 + M·G]`.
fn log_multiplicity<B: Backend>(graph: &BlockGraph, device: &B::Device) -> Tensor<B, 4> {
    let (n, g) = (graph.tokens(), graph.block());
    let keys = 1 + graph.blocks() * g;
    let mut counts = vec![0f32; (n + 1) * keys];
    counts[..n + 1].fill(1.0);
    for i in 0..n {
        let row = &mut counts[(i + 1) * keys..(i + 2) * keys];
        row[0] = 1.0;
        for &b in &graph.key_blocks()[i / g * graph.width()..(i / g + 1) * graph.width()] {
            let padded = |j: &usize| graph.padding_attended() || *j < n;
            (b as usize * g..(b as usize + 1) * g).filter(padded).for_each(|j| row[1 + j] += 1.0);
        }
    }
    let logs: Vec<f32> = counts.into_iter().map(|c| if c > 0.0 { c.ln() } else { -1e9 }).collect();
    Tensor::from_data(TensorData::new(logs, [1, 1, n + 1, keys]), device)
}

/// The bias of every pair, `[1 | batch, heads, S, 1 + M·G]`.
fn dense_bias<B: Backend>(bias: &RelativeBias<B>, graph: &BlockGraph) -> Tensor<B, 4> {
    let [samples, n] = bias.coords.dims();
    let [rows, heads] = bias.table.dims();
    let (padding, device) = (graph.padding(), bias.table.device());
    let full = |value: usize, shape: [usize; 3]| Tensor::<B, 3, Int>::full(shape, value as i64, &device);
    let queries = bias.coords.clone().reshape([samples, n, 1]);
    let between = queries - bias.coords.clone().reshape([samples, 1, n]) + bias.centre as i64;
    let patch =
        Tensor::cat(vec![full(rows - 2, [samples, n, 1]), between, full(rows - 2, [samples, n, padding.max(1)])], 2);
    let patch = patch.slice([0..samples, 0..n, 0..1 + n + padding]);
    let class = Tensor::cat(vec![full(rows - 1, [samples, 1, 1]), full(rows - 3, [samples, 1, n + padding])], 2);
    let index = Tensor::cat(vec![class, patch], 1);
    let keys = 1 + n + padding;
    let flat = bias.table.clone().select(0, index.reshape([samples * (n + 1) * keys]));
    flat.reshape([samples, (n + 1) * keys, heads]).swap_dims(1, 2).reshape([samples, heads, n + 1, keys])
}
