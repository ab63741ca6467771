//! Time of the parts of a layer: matrix products, attention and branches, at the size of the base encoder's first
//! layer.

use super::BenchOptions;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Distribution, Int, Tensor};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;
use svitt::Result;
use svitt::backend::{BackendKind, BackendTask, precision};
use svitt::config::{BlockChoice, Compat, EdgeSparsity, Precision};
use svitt::profile::published;
use svitt_ops::TrainBackend;
use svitt_ops::device::{cast, matmul};
use svitt_ops::fused::{feed_forward, norm_linear};
use svitt_ops::rng::Rng;
use svitt_ops::sparse::{BlockGraph, RelativeBias, sparse_attention, top_blocks};
use svitt_ops::tokens::{gather_patches, keep_top};

/// One part of a layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartTiming {
    /// What it is.
    pub name: String,
    /// T.
    pub frames: usize,
    /// Clips at once.
    pub batch: usize,
    /// Whether the gradients of all inputs are computed, too.
    pub backward: bool,
    /// Median of the repeats, milliseconds.
    pub median_ms: f64,
    /// Fastest repeat, milliseconds.
    pub min_ms: f64,
    /// Slowest repeat, milliseconds.
    pub max_ms: f64,
    /// GFLOP/s of its products; 0 where it has none.
    pub gflops: f64,
}

/// Measures every part for every clip length of `options`.
pub(super) struct PartsTask<'a> {
    pub kind: BackendKind,
    pub options: &'a BenchOptions,
    pub seen: &'a mut dyn FnMut(&PartTiming),
}

impl BackendTask for PartsTask<'_> {
    type Output = Result<Vec<PartTiming>>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let precision = precision::<B>(self.kind, &device, Some(self.options.precision), Precision::F32)?;
        let options = BenchOptions { precision, ..self.options.clone() };
        let mut parts = Vec::new();
        for &frames in &options.frames {
            let layer = FirstLayer::<B>::new(frames, &options, &device);
            layer.measure(&mut |part| {
                (self.seen)(&part);
                parts.push(part);
            });
        }
        Ok(parts)
    }
}

/// The sizes of the first layer, where no token is pruned yet.
struct FirstLayer<'a, B: TrainBackend> {
    options: &'a BenchOptions,
    frames: usize,
    grid: usize,
    hidden: usize,
    inner: usize,
    heads: usize,
    device: &'a B::Device,
}

type BenchReport<'a> = dyn FnMut(PartTiming) + 'a;

impl<'a, B: TrainBackend> FirstLayer<'a, B> {
    fn new(frames: usize, options: &'a BenchOptions, device: &'a B::Device) -> Self {
        let video = published::base_in_mode(frames, "dense").video;
        let grid = video.image_size / video.patch_size;
        Self { options, frames, grid, hidden: video.hidden, inner: video.ffn, heads: video.heads, device }
    }

    fn tokens(&self) -> usize {
        self.frames * self.grid * self.grid
    }

    fn rows(&self) -> usize {
        self.options.batch * (self.tokens() + 1)
    }

    fn random<const D: usize>(&self, shape: [usize; D]) -> Tensor<B, D> {
        let x = Tensor::<B, D>::random(shape, Distribution::Uniform(-1.0, 1.0), self.device);
        cast(x, self.options.precision.dtype())
    }

    fn measure(&self, report: &mut BenchReport) {
        let (d, inner) = (self.hidden, self.inner);
        for (name, from, to) in [("qkv", d, 3 * d), ("attention out", d, d), ("up", d, inner), ("down", inner, d)] {
            self.product(name, from, to, report);
        }
        self.branches(report);
        self.attention("edge", report);
        self.attention("top edge", report);
        self.attention("dense", report);
        self.pruning(report);
    }

    /// Rows of `from` values to rows of `to`; backward adds two products.
    fn product(&self, name: &str, from: usize, to: usize, report: &mut BenchReport) {
        let (x, weight) = (self.random([self.rows(), from]), self.random([from, to]));
        let flops = 2.0 * (self.rows() * from * to) as f64;
        let name = format!("product {name} {from}×{to}");
        self.both(&name, flops, 3.0 * flops, report, || {
            let (x, weight) = (x.clone().require_grad(), weight.clone().require_grad());
            matmul(x, weight)
        });
    }

    fn branches(&self, report: &mut BenchReport) {
        let (d, inner, rows) = (self.hidden, self.inner, self.rows() as f64);
        let norm: LayerNorm<B> = LayerNormConfig::new(d).init(self.device);
        let linear = |from, to| -> Linear<B> { LinearConfig::new(from, to).init(self.device) };
        let (qkv, up, down) = (linear(d, 3 * d), linear(d, inner), linear(inner, d));
        let arithmetic = self.options.precision.arithmetic();
        let x = cast(self.random([self.options.batch, self.tokens() + 1, d]), B::residual_dtype(arithmetic));
        let flops = 6.0 * rows * (d * d) as f64;
        self.both("norm, qkv, bias", flops, 3.0 * flops, report, || {
            let bias = Tensor::zeros([3 * d], self.device);
            norm_linear(x.clone().require_grad(), &norm, 1e-12, qkv.weight.val(), bias, arithmetic)
        });
        let flops = 4.0 * rows * (d * inner) as f64;
        self.both("feed-forward branch", flops, 3.0 * flops, report, || {
            let scale = Tensor::ones([d], self.device);
            feed_forward(x.clone().require_grad(), (&norm, 1e-12), [&up, &down], scale, None, arithmetic)
        });
    }

    /// Two products of every query and key forward, five backward.
    fn attention(&self, mode: &str, report: &mut BenchReport) {
        let tokens = self.tokens();
        let (graph, keys) = match mode {
            "edge" | "top edge" => {
                let blocks = if mode == "edge" { BlockChoice::Random } else { BlockChoice::Top };
                let edge = EdgeSparsity::new(1, 3, 56).with_blocks(blocks);
                let graph = BlockGraph::draw(tokens, &edge, Compat::Corrected, &mut Rng::new(0, &[]));
                let keys = graph.width() * graph.block() + 1;
                (graph, keys)
            }
            _ => (BlockGraph::dense(tokens), tokens + 1),
        };
        let graph = Arc::new(graph);
        let side = 2 * self.grid - 1;
        let table = self.random([(2 * self.frames - 1) * side * side + 3, self.heads]);
        let coords = RelativeBias::<B>::raster_coords(self.frames, self.grid);
        let coords = Tensor::<B, 1, Int>::from_data(coords.as_slice(), self.device).reshape([1, tokens]);
        let centre = RelativeBias::<B>::raster_centre(self.frames, self.grid);
        let qkv = self.random([self.options.batch, tokens + 1, 3 * self.hidden]);
        if graph.chosen() > 0 {
            let flops = 2.0 * (self.options.batch * self.hidden * (tokens + graph.blocks().pow(2))) as f64;
            self.once("choice of blocks", false, flops, report, &mut || drop(top_blocks(&qkv, self.heads, &graph)));
        }
        let edges = (tokens * keys + tokens + 1) * self.options.batch;
        let flops = 4.0 * (edges * self.hidden) as f64;
        self.both(&format!("{mode} attention"), flops, 3.5 * flops, report, || {
            let bias = RelativeBias { table: table.clone().require_grad(), coords: coords.clone(), centre };
            sparse_attention(qkv.clone().require_grad(), &bias, &graph).out
        });
    }

    /// Ranking, and taking the kept rows: .7 of them.
    fn pruning(&self, report: &mut BenchReport) {
        let (tokens, keep) = (self.tokens(), svitt::config::kept_tokens(0.7, self.tokens()));
        let scores = self.random([self.options.batch, tokens]);
        let kept = keep_top(scores.clone(), keep);
        self.once("selection of .7", false, 0.0, report, &mut || drop(keep_top(scores.clone(), keep)));
        let x = self.random([self.options.batch, tokens + 1, self.hidden]);
        self.both("kept rows", 0.0, 0.0, report, || gather_patches(x.clone().require_grad(), &kept));
    }

    fn both<const D: usize>(
        &self,
        name: &str,
        flops: f64,
        with_backward: f64,
        report: &mut BenchReport,
        forward: impl Fn() -> Tensor<B, D>,
    ) {
        self.once(name, false, flops, report, &mut || drop(forward()));
        self.once(name, true, with_backward, report, &mut || {
            let y = forward();
            // Σ y: its gradient of ones costs no pass over other data
            drop(y.sum().backward());
        });
    }

    fn once(&self, name: &str, backward: bool, flops: f64, report: &mut BenchReport, work: &mut dyn FnMut()) {
        let mut timed = || {
            let start = Instant::now();
            work();
            // an error of the device shows in the next call that can return one
            let _ = B::sync(self.device);
            start.elapsed().as_secs_f64() * 1e3
        };
        timed();
        let mut ms: Vec<f64> = (0..self.options.repeats.max(1)).map(|_| timed()).collect();
        ms.sort_by(f64::total_cmp);
        let median_ms = ms[ms.len() / 2];
        report(PartTiming {
            name: name.into(),
            frames: self.frames,
            batch: self.options.batch,
            backward,
            median_ms,
            min_ms: ms[0],
            max_ms: ms[ms.len() - 1],
            gflops: flops / median_ms / 1e6,
        });
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_layer_is_timed() {
        let options = BenchOptions {
            model: svitt::config::NamedModel::SvittBase,
            frames: vec![1],
            modes: Vec::new(),
            keep: Vec::new(),
            directions: Vec::new(),
            parts: true,
            precision: Precision::F32,
            batch: 1,
            repeats: 1,
            prepare: |_| {},
        };
        let mut seen = 0;
        let parts = super::super::parts(BackendKind::Flex, &options, |_| seen += 1).unwrap();
        // four blocks, all of which are seen: nothing is chosen
        assert_eq!((parts.len(), seen), (21, 21), "ten parts in two directions, and selection");
        for part in &parts {
            assert!(part.min_ms > 0.0 && part.min_ms <= part.median_ms && part.median_ms <= part.max_ms, "{part:?}");
            assert_eq!(part.gflops > 0.0, !part.name.contains("selection") && !part.name.contains("rows"), "{part:?}");
        }
        // 197 tokens: 2 · 197 · 768 · 2304 multiplications and additions
        let qkv = &parts[0];
        assert!((qkv.gflops * qkv.median_ms / 1e3 - 0.697).abs() < 1e-3, "{qkv:?}");
    }
}
