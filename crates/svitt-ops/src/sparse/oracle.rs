//! The reference implementation: a dense score matrix and a matrix of how often each query sees each key. Plain tensor
//! operations, differentiated by Burn, never optimised. Does not support mirrored windows. Chosen blocks are those of
//! [`top_blocks`], plain loops in f64 on the host.

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
    let chosen = (graph.chosen() > 0).then(|| top_blocks(&qkv, heads, graph));
    let seen = match &chosen {
        None => log_multiplicity(graph, None, [1, 1], &qkv.device()),
        Some(chosen) => log_multiplicity(graph, Some(chosen), [batch, heads], &qkv.device()),
    };
    let logits = scores + dense_bias(bias, graph) + seen;
    softmax(logits, 3).matmul(value).swap_dims(1, 2).reshape([batch, s, c])
}

/// The blocks that `graph` leaves to be chosen, `[batch, heads, M, chosen]` row-major: of the blocks that are not local
/// those with the largest product of mean query and mean key, the lower one of two equal, ascending. What is not a
/// number ranks last.
pub fn top_blocks<B: Backend>(qkv: &Tensor<B, 3>, heads: usize, graph: &BlockGraph) -> Vec<u32> {
    let [batch, s, width] = qkv.dims();
    let (c, d) = (width / 3, width / 3 / heads);
    let values: Vec<f64> = qkv.to_data().convert::<f64>().into_vec().unwrap_or_default();
    // The mean of a block's queries (part 0) or keys (part 1).
    let mean = |sample: usize, head: usize, part: usize, block: usize| -> Vec<f64> {
        let tokens = block * graph.block()..block * graph.block() + graph.size(block);
        let at = |token: usize, i: usize| values[(sample * s + 1 + token) * width + part * c + head * d + i];
        (0..d).map(|i| tokens.clone().map(|token| at(token, i)).sum::<f64>() / graph.size(block) as f64).collect()
    };
    let mut chosen = Vec::new();
    for (sample, head) in (0..batch).flat_map(|sample| (0..heads).map(move |head| (sample, head))) {
        let keys: Vec<Vec<f64>> = (0..graph.blocks()).map(|block| mean(sample, head, 1, block)).collect();
        for m in 0..graph.blocks() {
            let query = mean(sample, head, 0, m);
            let score = |key: usize| {
                let product = query.iter().zip(&keys[key]).map(|(q, k)| q * k).sum::<f64>();
                if product.is_nan() { f64::NEG_INFINITY } else { product + 0.0 }
            };
            let mut others: Vec<usize> = (0..graph.blocks()).filter(|&key| !graph.is_local(m, key)).collect();
            others.sort_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
            others.truncate(graph.chosen());
            others.sort_unstable();
            chosen.extend(others.into_iter().map(|key| key as u32));
        }
    }
    chosen
}

/// ln(how often query i sees key j), −1e9 for never: `[1, 1, S, 1 + M·G]`, or with `chosen` for all of
/// `[batch, heads]`.
fn log_multiplicity<B: Backend>(
    graph: &BlockGraph,
    chosen: Option<&[u32]>,
    [batch, heads]: [usize; 2],
    device: &B::Device,
) -> Tensor<B, 4> {
    let (n, g) = (graph.tokens(), graph.block());
    let keys = 1 + graph.blocks() * g;
    let mut counts = vec![0f32; batch * heads * (n + 1) * keys];
    for (of_head, counts) in counts.chunks_mut((n + 1) * keys).enumerate() {
        counts[..n + 1].fill(1.0);
        for i in 0..n {
            let row = &mut counts[(i + 1) * keys..(i + 2) * keys];
            row[0] = 1.0;
            let own = (of_head * graph.blocks() + i / g) * graph.chosen();
            let own = chosen.map_or(&[][..], |chosen| &chosen[own..own + graph.chosen()]);
            for &b in graph.key_row(i / g).iter().chain(own) {
                let padded = |j: &usize| graph.padding_attended() || *j < n;
                (b as usize * g..(b as usize + 1) * g).filter(padded).for_each(|j| row[1 + j] += 1.0);
            }
        }
    }
    let logs: Vec<f32> = counts.into_iter().map(|c| if c > 0.0 { c.ln() } else { -1e9 }).collect();
    Tensor::from_data(TensorData::new(logs, [batch, heads, n + 1, keys]), device)
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
