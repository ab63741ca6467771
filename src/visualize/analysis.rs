//! Runs a clip through a model and copies what is drawn to the host.

use super::ModelVariant;
use super::layer_graph::LayerGraph;
use crate::Result;
use crate::config::VideoConfig;
use crate::eval::match_scoring::padded;
use crate::eval::{host, require_directions, require_finite};
use crate::model::{EncodedVideo, FusionOptions, Trace, VideoDraws};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use serde::Serialize;
use svitt_ops::SvittBackend;

/// What pruned the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PrunedBy {
    /// The class token of the video.
    Class,
    /// Position 0 of the text.
    Text,
}

/// The patches kept by a pruning layer.
#[derive(Clone, Debug, PartialEq)]
pub struct PruningStage {
    /// 0-based layer: of the video encoder, or of BERT.
    pub layer: usize,
    /// Who chose.
    pub by: PrunedBy,
    /// Every patch of the clip in raster order, `[frames · grid · grid]`.
    pub alive: Vec<bool>,
}

/// The result of one clip in one model.
#[derive(Clone, Debug)]
pub struct ClipAnalysis {
    /// Pruning layers in the order they act.
    pub stages: Vec<PruningStage>,
    /// Per video layer, the class token's attention to every patch; none where a patch is no longer alive.
    pub attention: Vec<Vec<Option<f32>>>,
    /// What patches may attend to in every video layer.
    pub graphs: Vec<LayerGraph>,
    /// Probability that text and clip belong together; none without a text.
    pub matched: Option<f32>,
}

/// Runs `pixels` `[clips, frames, 3, size, size]` through `variant`, each clip with its text of `texts` (as many, given
/// as ids without padding; or none at all). `seed` draws the block graphs, and the random selection.
///
/// # Errors
/// Clips of another size than the model's.
pub fn analyze_clips<B: SvittBackend>(
    variant: &ModelVariant<B>,
    pixels: Vec<f32>,
    texts: &[Vec<i64>],
    seed: u64,
    device: &B::Device,
) -> Result<Vec<ClipAnalysis>> {
    let video = &variant.config.video;
    let (frames, size) = (video.frames, video.image_size);
    let clips = pixels.len() / (frames * 3 * size * size);
    let pixels = Tensor::from_data(TensorData::new(pixels, [clips, frames, 3, size, size]), device);
    let mut trace = Trace::default();
    let encoded = variant.model.encode_video_traced(pixels, &VideoDraws::evaluation(seed), Some(&mut trace))?;
    let patches = video.patches();
    require_directions("video features", &host(encoded.feature.clone()), variant.config.embed_dim)?;
    let mut analyses = video_stages(&trace, clips, patches)?;
    if !texts.is_empty() {
        add_text_stages(variant, encoded, texts, seed, &mut analyses)?;
    }
    Ok(analyses)
}

/// What the video encoder did with each of `clips` clips.
fn video_stages<B: Backend>(trace: &Trace<B>, clips: usize, patches: usize) -> Result<Vec<ClipAnalysis>> {
    let ids: Vec<_> = trace.token_ids.iter().map(|ids| rows(ids.clone(), clips)).collect();
    let attention: Vec<Vec<f32>> = trace.class_attention.iter().map(|attention| host(attention.clone())).collect();
    attention.iter().try_for_each(|values| require_finite("attention values", values))?;
    let pruned: Vec<_> = trace.pruned.iter().map(|p| (p.layer, rows(p.token_ids.clone(), clips))).collect();
    let layer_graph = |layer: usize, clip: usize| {
        let chosen = trace.chosen[layer].as_ref();
        let sequence = chosen.map_or(0, |chosen| clip * chosen.dims()[0] / clips);
        LayerGraph::new(trace.graphs[layer].clone(), &ids[layer][clip], chosen, sequence)
    };
    let one = |clip: usize| {
        let layers = ids.iter().zip(&attention);
        ClipAnalysis {
            stages: pruned
                .iter()
                .map(|(layer, ids)| PruningStage::new(*layer, PrunedBy::Class, &ids[clip], patches))
                .collect(),
            attention: layers.map(|(ids, values)| spread(&ids[clip], values, clip, patches)).collect(),
            // With frames encoded one by one, every frame has this graph; that of the first is drawn.
            graphs: (0..ids.len()).map(|layer| layer_graph(layer, clip)).collect(),
            matched: None,
        }
    };
    Ok((0..clips).map(one).collect())
}

/// Adds what the texts keep of each clip.
fn add_text_stages<B: SvittBackend>(
    variant: &ModelVariant<B>,
    encoded: EncodedVideo<B>,
    texts: &[Vec<i64>],
    seed: u64,
    analyses: &mut [ClipAnalysis],
) -> Result<()> {
    let (clips, patches) = (analyses.len(), variant.config.video.patches());
    let model = &variant.model;
    let (ids, mask, _) = padded::<B>(texts, &encoded.feature.device());
    let states = model.encode_text(ids, mask.clone()).embeds;
    let logits = host(model.match_logits(states.clone(), mask.clone(), encoded.embeds.clone()));
    require_finite("matching scores", &logits)?;
    let run = FusionOptions { selection_seed: seed, ..FusionOptions::default() };
    let fused = model.text.fuse(states, mask, encoded.embeds.into(), run, None);
    let kept: Vec<_> = fused.kept.into_iter().map(|kept| rows(kept, clips)).collect();
    let mut layers = variant.config.text.cross.as_ref().map_or(Vec::new(), |cross| cross.layers.clone());
    layers.sort_unstable();
    let alive = rows(encoded.token_ids, clips);
    for (clip, analysis) in analyses.iter_mut().enumerate() {
        let mut alive = ranked_tokens(&variant.config.video, &alive[clip]);
        for (&layer, kept) in layers.iter().zip(&kept) {
            alive = kept[clip].iter().map(|&place| alive[place]).collect();
            let ids: Vec<usize> = alive.iter().flatten().copied().collect();
            analysis.stages.push(PruningStage::new(layer, PrunedBy::Text, &ids, patches));
        }
        analysis.matched = logits.get(2 * clip..2 * clip + 2).map(|pair| 1.0 / (1.0 + (pair[0] - pair[1]).exp()));
    }
    Ok(())
}

/// The patches at the places that texts rank; class tokens of single frames are ranked with them and are no patch.
fn ranked_tokens(video: &VideoConfig, patches: &[usize]) -> Vec<Option<usize>> {
    if !video.class_token || video.has_clip_token() {
        return patches.iter().copied().map(Some).collect();
    }
    let each = patches.len() / video.sequences().max(1);
    let of_frame = |frame: &[usize]| std::iter::once(None).chain(frame.iter().copied().map(Some)).collect::<Vec<_>>();
    patches.chunks(each.max(1)).flat_map(of_frame).collect()
}

impl PruningStage {
    fn new(layer: usize, by: PrunedBy, ids: &[usize], patches: usize) -> Self {
        let mut alive = vec![false; patches];
        ids.iter().for_each(|&id| alive[id] = true);
        Self { layer, by, alive }
    }

    /// How many patches are alive.
    pub fn count(&self) -> usize {
        self.alive.iter().filter(|alive| **alive).count()
    }
}

/// `values` `[clips, tokens]` of one clip at the patches `ids` name.
fn spread(ids: &[usize], values: &[f32], clip: usize, patches: usize) -> Vec<Option<f32>> {
    let mut grid = vec![None; patches];
    let row = &values[clip * ids.len()..(clip + 1) * ids.len()];
    ids.iter().zip(row).for_each(|(&id, &value)| grid[id] = Some(value));
    grid
}

/// `x` `[1 or clips, n]` as one list per clip.
fn rows<B: Backend>(x: Tensor<B, 2, Int>, clips: usize) -> Vec<Vec<usize>> {
    let [_, n] = x.dims();
    let all: Vec<i64> = x.expand([clips, n]).into_data().convert::<i64>().into_vec().unwrap_or_default();
    all.chunks(n.max(1)).map(|row| row.iter().map(|&id| id as usize).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::variants;
    use super::*;
    use crate::config::{Compat, NodeSparsity, Sparsity};
    use crate::model::Svitt;
    use crate::testing::{noise, on_cpu_backends, randomized, small_sparse_config};

    /// 27 patches, .6 kept after layer 0: 17; of these .3 by the text: 6.
    fn stages_shrink_and_ids_stay_original<B: SvittBackend>() {
        let (config, device) = (small_sparse_config(Compat::Corrected), Default::default());
        let model = randomized(Svitt::<B>::new(&config, 1, &device).unwrap(), 2);
        let [dense, sparse] = variants(&model, &config, None, Some(0.3)).unwrap();
        assert_eq!(
            (dense.name(), sparse.name(), dense.tokens_left(), sparse.tokens_left()),
            ("dense", "hybrid", 27, 17)
        );
        assert!(sparse.flops < dense.flops && sparse.trained && !dense.trained);
        let asked = Sparsity { edge: None, node: Some(NodeSparsity::by_class(0.3, &[0])) };
        let [_, other] = variants(&model, &config, Some(asked), Some(0.3)).unwrap();
        assert_eq!((other.name(), other.tokens_left(), other.trained), ("node", 9, false));
        let pixels = host(noise::<B, 5>(3, [2, 3, 3, 12, 12]));
        let texts = [vec![1, 9, 30], vec![1, 17]];
        let analyses = analyze_clips(&sparse, pixels.clone(), &texts, 0, &device).unwrap();
        for analysis in &analyses {
            let counts: Vec<_> = analysis.stages.iter().map(|stage| (stage.layer, stage.by, stage.count())).collect();
            assert_eq!(counts, [(0, PrunedBy::Class, 17), (2, PrunedBy::Text, 6)]);
            let [class, text] = [0, 1].map(|stage| &analysis.stages[stage].alive);
            assert!(class.iter().zip(text).all(|(class, text)| *class || !text), "the text chooses among the living");
            assert!(analysis.attention[0].iter().all(Option::is_some));
            let seen: Vec<bool> = analysis.attention[1].iter().map(Option::is_some).collect();
            assert_eq!(seen, *class, "layer 1 sees what layer 0 kept");
            assert!((0.0..=1.0).contains(&analysis.matched.unwrap()));
            assert_eq!(analysis.graphs[1].ids.len(), analysis.graphs[1].graph.tokens());
        }
        assert_ne!(analyses[0].stages[0], analyses[1].stages[0], "each clip has its own");
        let whole = analyze_clips(&dense, pixels.clone(), &[], 0, &device).unwrap();
        assert!(whole[0].stages.is_empty() && whole[0].matched.is_none() && whole[0].attention.len() == 2);
        let random = sparse.with_random_pruning().unwrap();
        let [a, b] = [5, 6].map(|seed| analyze_clips(&random, pixels.clone(), &texts, seed, &device).unwrap());
        assert!(a[0].stages[0].count() == 17 && a[0].stages[0] != b[0].stages[0], "the draw depends on the seed");
        for value in [f32::NAN, f32::INFINITY, 3e38] {
            let mut broken = sparse.clone();
            let gamma = broken.model.video_norm.gamma.val();
            broken.model.video_norm.gamma = burn::module::Param::from_tensor(gamma.full_like(value));
            let message = analyze_clips(&broken, pixels.clone(), &texts, 0, &device).unwrap_err().to_string();
            assert!(message.contains("not finite"), "{message}");
        }
    }

    on_cpu_backends!(stages_shrink_and_ids_stay_original);
}
