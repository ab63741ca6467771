//! The video encoder: joint space-time attention over all frames of a clip, sparse in edges and nodes
//! (docs/model.md, "Video encoder").

use super::init::Init;
use super::patch_embedding::PatchEmbedding;
use super::trace::{Pruned, Trace};
use super::video_layer::VideoLayer;
use crate::config::{Compat, NodeSparsity, Precision, Selection, Sparsity, TokenOrder, VideoConfig};
use crate::{Error, Result};
use burn::module::Module;
use burn::nn::LayerNorm;
use burn::tensor::{DType, Int, Tensor, TensorData, backend::Backend};
use std::sync::Arc;
use svitt_ops::SvittBackend;
use svitt_ops::device::cast;
use svitt_ops::rng::{self, Rng};
use svitt_ops::sparse::{BlockGraph, RelativeBias};
use svitt_ops::tokens::{TokenMap, gather_patches, keep_top, token_order};

/// The encoder's weights, and the settings that are not weights.
#[derive(Module, Debug)]
pub struct VideoEncoder<B: Backend> {
    /// Patch embedding and class token.
    pub embeddings: PatchEmbedding<B>,
    /// The transformer layers.
    pub layers: Vec<VideoLayer<B>>,
    /// The norm behind the mean of the patch tokens (docs/model.md, "Pooled video feature").
    pub pool_norm: LayerNorm<B>,
    #[module(skip)]
    config: VideoConfig,
    #[module(skip)]
    compat: Compat,
    #[module(skip)]
    pub(super) precision: Precision,
}

/// Source of a forward's block graphs.
#[derive(Clone, Debug)]
pub enum GraphSource {
    /// Drawn per layer from this seed: training takes a new one every step, evaluation a fixed one.
    Seeded(u64),
    /// Given: one table of `[blocks][K_l + K_r]` block numbers per layer (see [`BlockGraph::from_table`]).
    Injected(Vec<Vec<Vec<usize>>>),
}

/// Everything random in a forward.
#[derive(Clone, Debug)]
pub struct VideoDraws {
    /// The block graphs.
    pub graph: GraphSource,
    /// Seed of the stochastic depth; `None` in evaluation.
    pub drop_path_seed: Option<u64>,
    /// Seed of random token selection (the baseline); unused by attention-based selection.
    pub selection_seed: u64,
    /// q_v of this forward in place of the configured one, at the same layers: how one set of weights serves many
    /// budgets. Without configured layers it has no effect.
    pub keep_rate: Option<f64>,
}

impl VideoDraws {
    /// The draws of an evaluation under `seed`: fixed graphs, nothing dropped.
    pub fn evaluation(seed: u64) -> Self {
        Self { graph: GraphSource::Seeded(seed), drop_path_seed: None, selection_seed: seed, keep_rate: None }
    }
}

/// What the encoder returns.
#[derive(Clone, Debug)]
pub struct VideoOutput<B: Backend> {
    /// Last layer's output, not normalised: `[batch, 1 + tokens, d]`, in the encoder's precision.
    pub hidden: Tensor<B, 3>,
    /// The norm of the mean patch token: `[batch, d]`, f32.
    pub pooled: Tensor<B, 2>,
    /// Original patch ids of the tokens alive, `[batch, tokens]`.
    pub token_ids: Tensor<B, 2, Int>,
}

impl<B: Backend> VideoEncoder<B> {
    /// Fresh weights for `config`.
    pub fn new(config: &VideoConfig, compat: Compat, init: &mut Init<B>) -> Self {
        let embeddings = PatchEmbedding::new(config, init);
        let layers = (0..config.layers).map(|layer| VideoLayer::new(config, layer, init)).collect();
        let pool_norm = init.layer_norm(config.hidden, config.layer_norm_eps);
        Self { embeddings, layers, pool_norm, config: config.clone(), compat, precision: Precision::F32 }
    }

    /// The same weights, computed with in `precision` from here on. The backend must support it
    /// (see [`crate::backend::precision`]).
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Sizes, sparsity and order.
    pub fn config(&self) -> &VideoConfig {
        &self.config
    }

    /// Which rules the encoder follows.
    pub fn compat(&self) -> Compat {
        self.compat
    }

    /// The same weights under other edge and node sparsity: test-time sparsification of a dense model, say.
    ///
    /// # Errors
    /// The settings do not fit the encoder's sizes.
    pub fn with_sparsity(mut self, sparsity: Sparsity) -> Result<Self> {
        sparsity.validate(self.config.patches(), self.config.layers)?;
        self.config.sparsity = sparsity;
        Ok(self)
    }

    /// The same weights with the tokens in another order.
    pub fn with_order(mut self, order: TokenOrder) -> Self {
        self.config.order = order;
        self
    }

    /// Checks that `video` `[batch, frames, 3, size, size]` is what the encoder was built for.
    ///
    /// # Errors
    /// Another image size, number of channels or number of frames.
    pub fn check_input(&self, [_, frames, channels, height, width]: [usize; 5]) -> Result<()> {
        let VideoConfig { image_size, frames: expected, .. } = self.config;
        if [channels, height, width] != [3, image_size, image_size] {
            let problem =
                format!("the model takes 3 × {image_size} × {image_size} pixels, not {channels} × {height} × {width}");
            return Err(Error::setting("image_size", problem, format!("resize the frames to {image_size}")));
        }
        if frames != expected {
            let problem = format!("the model's position tables are for {expected} frames, not {frames}");
            return Err(Error::setting(
                "frames",
                problem,
                format!("read clips of {expected} frames, or convert the tables"),
            ));
        }
        Ok(())
    }
}

impl<B: SvittBackend> VideoEncoder<B> {
    /// Encodes clips.
    ///
    /// # Shapes
    /// - `video`: `[batch, frames, 3, size, size]`, normalised pixels
    /// - output: see [`VideoOutput`]; `trace` collects every intermediate
    ///
    /// # Errors
    /// The clip has another size or length than the model, or injected graphs do not fit.
    pub fn forward(
        &self,
        video: Tensor<B, 5>,
        draws: &VideoDraws,
        mut trace: Option<&mut Trace<B>>,
    ) -> Result<VideoOutput<B>> {
        self.check_input(video.dims())?;
        let (mut hidden, mut map) = self.embed(video, trace.as_deref_mut());
        let sparsity = self.config.sparsity.at_keep_rate(draws.keep_rate);
        for (index, layer) in self.layers.iter().enumerate() {
            let tokens = hidden.dims()[1] - 1;
            let graph = self.graph(index, tokens, &draws.graph)?;
            let node = sparsity.node.as_ref().filter(|_| sparsity.tokens_after(index, tokens) < tokens);
            let drop_path = draws.drop_path_seed.map(|seed| rng::key(seed, &[index as u64]));
            let by_attention = node.is_some_and(|node| node.selection != Selection::Random);
            let out = layer.forward(hidden, &map, &graph, drop_path, by_attention || trace.is_some());
            hidden = out.hidden;
            if let (Some(trace), Some(attention)) = (trace.as_deref_mut(), &out.class_attention) {
                trace.class_attention.push(attention.clone());
                trace.token_ids.push(map.ids.clone());
            }
            if let Some(node) = node {
                let attention = out.class_attention.filter(|_| by_attention);
                let scores = attention.unwrap_or_else(|| self.noise(&hidden, draws.selection_seed, index));
                (hidden, map) = self.prune(hidden, &map, scores, node, index, trace.as_deref_mut());
            }
            if let Some(trace) = trace.as_deref_mut() {
                trace.layers.push(hidden.clone());
                trace.graphs.push(graph);
            }
        }
        let [batch, s, d] = hidden.dims();
        let patches = cast(hidden.clone().slice([0..batch, 1..s, 0..d]), DType::F32);
        let mean = patches.mean_dim(1).reshape([batch, d]);
        Ok(VideoOutput { hidden, pooled: self.pool_norm.forward(mean), token_ids: map.ids.expand([batch, s - 1]) })
    }

    fn embed(&self, video: Tensor<B, 5>, trace: Option<&mut Trace<B>>) -> (Tensor<B, 3>, TokenMap<B>) {
        let VideoConfig { frames, order, .. } = self.config;
        let (grid, device) = (self.config.grid(), video.device());
        let places = token_order(order, frames, grid);
        let map = TokenMap::new(&places, &RelativeBias::<B>::raster_coords(frames, grid), &device);
        let patches = self.embeddings.patches(cast(video, self.precision.dtype()));
        let patches = match order {
            TokenOrder::Raster => patches,
            _ => patches.select(1, map.ids.clone().reshape([places.len()])),
        };
        let hidden = self.embeddings.with_class(patches);
        if let Some(trace) = trace {
            trace.embeddings = Some(hidden.clone());
            trace.token_order = places;
        }
        (hidden, map)
    }

    fn graph(&self, layer: usize, tokens: usize, source: &GraphSource) -> Result<Arc<BlockGraph>> {
        let Some(edge) = &self.config.sparsity.edge else { return Ok(Arc::new(BlockGraph::dense(tokens))) };
        let graph = match source {
            GraphSource::Seeded(seed) => {
                BlockGraph::draw(tokens, edge, self.compat, &mut Rng::new(*seed, &[layer as u64]))
            }
            GraphSource::Injected(tables) => {
                let table = tables.get(layer).map_or(&[][..], Vec::as_slice);
                BlockGraph::from_table(tokens, edge, self.compat, table)?
            }
        };
        Ok(Arc::new(graph))
    }

    fn noise(&self, hidden: &Tensor<B, 3>, seed: u64, layer: usize) -> Tensor<B, 2> {
        let [batch, s, _] = hidden.dims();
        let mut rng = Rng::new(seed, &[layer as u64]);
        let noise: Vec<f32> = (0..batch * (s - 1)).map(|_| rng.uniform() as f32).collect();
        Tensor::from_data(TensorData::new(noise, [batch, s - 1]), &hidden.device())
    }

    fn prune(
        &self,
        hidden: Tensor<B, 3>,
        map: &TokenMap<B>,
        scores: Tensor<B, 2>,
        node: &NodeSparsity,
        layer: usize,
        trace: Option<&mut Trace<B>>,
    ) -> (Tensor<B, 3>, TokenMap<B>) {
        let tokens = scores.dims()[1];
        let kept = keep_top(scores.clone(), crate::config::kept_tokens(node.keep_rate, tokens));
        let map = map.keep(&kept);
        if let Some(trace) = trace {
            trace.pruned.push(Pruned { layer, scores, token_ids: map.ids.clone() });
        }
        (gather_patches(hidden, &kept), map)
    }
}
