//! The video encoder: attention over all frames of a clip, or over each by itself, sparse in edges and nodes
//! (docs/model.md, "Video encoder").

use super::draws::{GraphSource, VideoDraws};
use super::init::Init;
use super::patch_embedding::PatchEmbedding;
use super::prune::Pruning;
use super::trace::Trace;
use super::video_layer::VideoLayer;
use crate::config::{Compat, FrameAttention, Positions, Precision, Sparsity, TokenOrder, VideoConfig};
use crate::{Error, Result};
use burn::module::Module;
use burn::nn::LayerNorm;
use burn::tensor::{Int, Tensor, backend::Backend};
use std::sync::Arc;
use svitt_ops::SvittBackend;
use svitt_ops::device::cast;
use svitt_ops::rng::{self, Rng};
use svitt_ops::sparse::{BlockGraph, RelativeBias};
use svitt_ops::tokens::{TokenMap, gather_patches, token_order};

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

/// What the encoder returns.
#[derive(Clone, Debug)]
pub struct VideoOutput<B: Backend> {
    /// Last layer's output, not normalised: `[sequences, 1 + tokens, d]`, in the encoder's precision. A sequence is a
    /// clip, or one frame where frames are encoded one by one, those of a clip behind each other.
    pub hidden: Tensor<B, 3>,
    /// Original patch ids of the tokens alive in the clip, `[batch, tokens]`.
    pub token_ids: Tensor<B, 2, Int>,
    /// Frames of a clip.
    pub frames: usize,
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
        sparsity.validate(self.config.sequence_patches(), self.config.layers)?;
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
    /// Another image size or number of channels, no frames, or another number of frames where position tables are
    /// for one number; frames that are encoded one by one, and fixed positions, take any.
    pub fn check_input(&self, [_, frames, channels, height, width]: [usize; 5]) -> Result<()> {
        let VideoConfig { image_size, frames: expected, .. } = self.config;
        if [channels, height, width] != [3, image_size, image_size] {
            let problem =
                format!("the model takes 3 × {image_size} × {image_size} pixels, not {channels} × {height} × {width}");
            return Err(Error::setting("image_size", problem, format!("resize the frames to {image_size}")));
        }
        if frames == 0 {
            return Err(Error::setting("frames", "a clip without frames has no tokens", "read at least one frame"));
        }
        if frames != expected && !self.config.takes_any_frames() {
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
    /// - `video`: `[batch, frames, 3, size, size]`, pixels in −1 to 1
    /// - output: see [`VideoOutput`]; `trace` collects every intermediate
    ///
    /// # Errors
    /// The clip has another size or length than the model, or injected graphs do not fit.
    pub fn forward(
        &self,
        video: Tensor<B, 5>,
        draws: &VideoDraws,
        trace: Option<&mut Trace<B>>,
    ) -> Result<VideoOutput<B>> {
        self.forward_visible(video, None, draws, trace)
    }

    /// [`Self::forward`] on some patches alone: `visible` `[sequences, kept]` are their places in each sequence,
    /// ascending; positions are those they had among all.
    ///
    /// # Errors
    /// As [`Self::forward`]; places for another number of sequences, or not as many of every frame where frames are
    /// pooled one by one.
    pub fn forward_visible(
        &self,
        video: Tensor<B, 5>,
        visible: Option<&Tensor<B, 2, Int>>,
        draws: &VideoDraws,
        mut trace: Option<&mut Trace<B>>,
    ) -> Result<VideoOutput<B>> {
        self.check_input(video.dims())?;
        let frames = video.dims()[1];
        let video = self.sequences(video);
        let groups = self.config.groups(video.dims()[1]);
        let (mut hidden, mut map) = self.embed(video, trace.as_deref_mut());
        if let Some(visible) = visible {
            check_visible(visible.dims(), hidden.dims()[0], groups)?;
            (hidden, map) = (gather_patches(hidden, visible), map.keep(visible));
            trace.iter_mut().for_each(|trace| trace.embeddings = Some(hidden.clone()));
        }
        let sparsity = self.config.sparsity.at_keep_rate(draws.keep_rate);
        let together = if self.joins_places() { frames } else { 1 };
        let arithmetic = self.precision.arithmetic();
        for (index, layer) in self.layers.iter().enumerate() {
            let tokens = hidden.dims()[1] - 1;
            let graph = self.graph(index, tokens, &draws.graph)?;
            let pruning = Pruning::of(&sparsity, index, tokens, groups, together);
            let drop_path = draws.drop_path_seed.map(|seed| rng::key(seed, &[index as u64]));
            let ranking = Pruning::ranking(pruning.as_ref(), &sparsity, trace.is_some());
            let out = layer.forward(hidden, &map, &graph, (arithmetic, drop_path), ranking);
            hidden = out.hidden;
            if let (Some(trace), Some(attention)) = (trace.as_deref_mut(), &out.ranking) {
                trace.class_attention.push(attention.clone());
                trace.token_ids.push(map.ids.clone());
            }
            if let Some(pruning) = pruning {
                (hidden, map) = pruning.apply(hidden, &map, out.ranking, draws.selection_seed, trace.as_deref_mut());
            }
            if let Some(trace) = trace.as_deref_mut() {
                trace.layers.push(hidden.clone());
                trace.graphs.push(graph);
                trace.chosen.push(out.chosen);
            }
        }
        let sequences = hidden.dims()[0];
        if let Some(trace) = trace {
            self.by_clip(trace, sequences, frames);
        }
        let token_ids = self.clip_ids(map.ids, sequences, frames);
        Ok(VideoOutput { hidden, token_ids, frames })
    }

    /// Pixels in −1 to 1, `[.., .., 3, .., ..]`, in the scale the weights were trained with.
    pub fn scaled(&self, video: Tensor<B, 5>) -> Tensor<B, 5> {
        let Some([factor, summand]) = self.config.pixels.from_symmetric() else { return video };
        let channels = |values: [f32; 3]| Tensor::<B, 1>::from_floats(values, &video.device()).reshape([1, 1, 3, 1, 1]);
        let (factor, summand) = (channels(factor), channels(summand));
        video * factor + summand
    }

    /// Sequences of a clip of `frames` frames.
    pub(super) fn sequences_of(&self, frames: usize) -> usize {
        if self.config.attention == FrameAttention::PerFrame { frames } else { 1 }
    }

    /// Whether a place stays or goes in all frames of a clip together, because what follows joins the frames of a place.
    fn joins_places(&self) -> bool {
        self.config.temporal.as_ref().is_some_and(|temporal| temporal.layers > 0)
    }

    /// `video` `[batch, frames, …]` as sequences: clips, or clips of one frame.
    fn sequences(&self, video: Tensor<B, 5>) -> Tensor<B, 5> {
        let [batch, frames, channels, height, width] = video.dims();
        match self.config.attention {
            FrameAttention::Joint => video,
            FrameAttention::PerFrame => video.reshape([batch * frames, 1, channels, height, width]),
        }
    }

    /// `ids` `[1 | sequences, tokens]` of patches in their sequences as ids in the clip, `[batch, tokens]`.
    fn clip_ids(&self, ids: Tensor<B, 2, Int>, sequences: usize, frames: usize) -> Tensor<B, 2, Int> {
        let (tokens, each) = (ids.dims()[1], self.sequences_of(frames));
        let ids = ids.expand([sequences, tokens]);
        if each == 1 {
            return ids;
        }
        let area = (self.config.grid() * self.config.grid()) as i64;
        let first = Tensor::<B, 1, Int>::arange(0..each as i64, &ids.device()).mul_scalar(area).reshape([1, each, 1]);
        let batch = sequences / each;
        (ids.reshape([batch, each, tokens]) + first.expand([batch, each, tokens])).reshape([batch, each * tokens])
    }

    /// What `trace` says of patches, by clip: with frames encoded one by one their rows follow each other.
    fn by_clip(&self, trace: &mut Trace<B>, sequences: usize, frames: usize) {
        let each = self.sequences_of(frames);
        if each == 1 {
            return;
        }
        let beside = |x: Tensor<B, 2>| {
            let tokens = x.dims()[1];
            x.reshape([sequences / each, each * tokens])
        };
        let ids = |ids: Tensor<B, 2, Int>| self.clip_ids(ids, sequences, frames);
        trace.class_attention = std::mem::take(&mut trace.class_attention).into_iter().map(beside).collect();
        trace.token_ids = std::mem::take(&mut trace.token_ids).into_iter().map(ids).collect();
        for pruned in &mut trace.pruned {
            pruned.scores = beside(pruned.scores.clone());
            pruned.token_ids = ids(pruned.token_ids.clone());
        }
    }

    fn embed(&self, video: Tensor<B, 5>, trace: Option<&mut Trace<B>>) -> (Tensor<B, 3>, TokenMap<B>) {
        let (order, frames) = (self.config.order, video.dims()[1]);
        let (grid, device) = (self.config.grid(), video.device());
        let places = token_order(order, frames, grid);
        let coords = match self.config.positions {
            Positions::Relative => RelativeBias::<B>::raster_coords(frames, grid),
            Positions::Sinusoid { .. } => vec![0; places.len()],
        };
        let map = TokenMap::new(&places, &coords, &device);
        let patches = self.embeddings.patches(self.scaled(video), self.precision.dtype());
        let patches = self.embeddings.with_positions(patches, &self.config);
        let patches = match order {
            TokenOrder::Raster => patches,
            _ => patches.select(1, map.ids.clone().reshape([places.len()])),
        };
        let hidden = self.embeddings.with_class(cast(patches, B::residual_dtype(self.precision.arithmetic())));
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
}

fn check_visible([rows, kept]: [usize; 2], sequences: usize, groups: usize) -> Result<()> {
    if rows == sequences && kept > 0 && kept.is_multiple_of(groups) {
        return Ok(());
    }
    let problem = format!("{rows} × {kept} places do not fit {sequences} sequences of {groups} equal parts");
    Err(Error::setting("visible", problem, "give as many places of every frame, one row for each sequence"))
}
