//! A retrieval model measured: encode, rank by two encoders, re-rank by the matching head.

use super::{
    BidirectionalMetrics, ClipPlan, EncodeOptions, EncodeStats, EncodedClips, EncodedStore, FeatureStore, MatchScorer,
    Reranked, RetrievalSet, TextBank, VideoSet, encode_clips, encode_videos, mean_features, rank_dual,
    require_directions, require_finite, rerank,
};
use crate::Result;
use crate::config::{ClipEnsemble, ModelConfig};
use crate::eval::metrics::RankCounter;
use crate::model::{Svitt, VideoDraws};
use burn::tensor::{Tensor, TensorData};
use svitt_ops::SvittBackend;

/// A model, its configuration and device.
pub struct EvalModel<'a, B: SvittBackend, M> {
    /// The model, without gradients.
    pub model: &'a M,
    /// Its sizes.
    pub config: &'a ModelConfig,
    /// Where it runs.
    pub device: &'a B::Device,
}

impl<B: SvittBackend, M> EvalModel<'_, B, M> {
    /// Encodes the videos of `inputs` that `store` does not hold yet: `encode` makes of their clips
    /// `[clips, frames, 3, size, size]` and how many videos these are what is kept of each.
    ///
    /// # Errors
    /// A video that cannot be read, unless that is allowed; what `encode` finds wrong.
    pub(super) fn encode_missing(
        &self,
        inputs: &EvalInputs<'_>,
        store: &mut dyn EncodedStore,
        encode: impl Fn(Tensor<B, 5>, usize, &VideoDraws) -> Result<Vec<EncodedClips>>,
    ) -> Result<EncodeStats> {
        let EvalInputs { videos, plan, encoding, score, .. } = *inputs;
        let (size, draws) = (self.config.video.image_size, VideoDraws::evaluation(score.seed));
        encode_videos(videos, plan, encoding, store, &mut |pixels, count| {
            let pixels = TensorData::new(pixels, [count * plan.clips, plan.frames, 3, size, size]);
            encode(Tensor::from_data(pixels, self.device), count, &draws)
        })
    }
}

/// What every evaluation takes: texts, videos, and how they are encoded and scored.
#[derive(Clone, Copy)]
pub struct EvalInputs<'a> {
    /// Captions or questions as ids, without padding.
    pub texts: &'a [Vec<i64>],
    /// Their videos.
    pub videos: &'a dyn VideoSet,
    /// Which frames make which clip.
    pub plan: &'a ClipPlan,
    /// How videos are read.
    pub encoding: &'a EncodeOptions,
    /// How pairs or answers are scored; the batch is pairs, texts or questions per forward.
    pub score: &'a ScoreOptions,
}

/// How pairs are scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreOptions {
    /// Candidates re-ranked per query; 0 leaves the two encoders' ranking alone.
    pub k: usize,
    /// What joins the clips.
    pub ensemble: ClipEnsemble,
    /// Seed of the block graphs.
    pub seed: u64,
    /// Pairs, or texts, per forward.
    pub batch: usize,
}

/// Ranks, and what they were made of.
#[derive(Clone, Debug)]
pub struct RetrievalOutcome {
    /// By the two encoders: texts' videos, videos' texts.
    pub dual: [RankCounter; 2],
    /// After re-ranking; none with k = 0.
    pub reranked: Option<[RankCounter; 2]>,
    /// The re-ranked scores.
    pub scores: Reranked,
    /// Numbers of the videos that were ranked.
    pub present: Vec<usize>,
    /// Their features, means over clips, `[present, e]`.
    pub video_features: Vec<f32>,
    /// `[texts, e]`.
    pub text_features: Vec<f32>,
    /// Statistics of the encoded videos.
    pub coverage: EncodeStats,
}

impl RetrievalOutcome {
    /// Figures of the two encoders.
    pub fn dual_metrics(&self) -> BidirectionalMetrics {
        directions(&self.dual)
    }

    /// The headline figures: re-ranked where that was done.
    pub fn metrics(&self) -> BidirectionalMetrics {
        directions(self.reranked.as_ref().unwrap_or(&self.dual))
    }
}

fn directions([t2v, v2t]: &[RankCounter; 2]) -> BidirectionalMetrics {
    BidirectionalMetrics { t2v: t2v.metrics(), v2t: v2t.metrics() }
}

/// Encodes the videos of `inputs` that `store` does not hold yet.
///
/// # Errors
/// A video that cannot be read, unless that is allowed; clips of another size than the model's.
pub(super) fn encode_gallery<B: SvittBackend>(
    eval_model: &EvalModel<'_, B, Svitt<B>>,
    inputs: &EvalInputs<'_>,
    store: &mut FeatureStore,
) -> Result<EncodeStats> {
    let clips = inputs.plan.clips;
    eval_model.encode_missing(inputs, store, |pixels, _, draws| encode_clips(eval_model.model, pixels, clips, draws))
}

/// Ranks the videos and texts of `ranked`, taking from `store` what is encoded already.
///
/// Videos that are missing are counted: their texts and they themselves are misses.
///
/// # Errors
/// A video that cannot be read, unless that is allowed; clips of another size than the model's.
pub fn evaluate_retrieval<B: SvittBackend>(
    model: &EvalModel<'_, B, Svitt<B>>,
    ranked: &RetrievalSet,
    inputs: &EvalInputs<'_>,
    store: &mut FeatureStore,
) -> Result<RetrievalOutcome> {
    let coverage = encode_gallery(model, inputs, store)?;
    let EvalModel { model, config, device } = *model;
    let EvalInputs { texts, plan, encoding, score, .. } = *inputs;
    let bank = TextBank::encode(model, texts, score.batch, device);
    let (truths, present) = ranked.truths(|video| store.contains(video));
    let width = config.embed_dim;
    let features: Vec<f32> = present.iter().flat_map(|&video| store.features(video).iter().copied()).collect();
    let features = mean_features(&features, plan.clips, width);
    require_directions("video features", &features, width)?;
    require_directions("text features", &bank.features, width)?;
    let mut dual = rank_dual(&features, &bank.features, width, &truths);
    let scorer = MatchScorer {
        model,
        device,
        videos: &*store,
        texts: &bank,
        clips: plan.clips,
        ensemble: score.ensemble,
        batch: score.batch,
    };
    let (mut reranked, mut scores) = (None, Reranked::default());
    if score.k > 0 {
        let mut ticker = encoding.progress.counter("re-ranking videos", present.len());
        scores = rerank(&features, &bank.features, width, score.k, |video, texts| {
            ticker.tick(1);
            let scores = scorer.scores(present[video], texts)?;
            require_finite("matching scores", &scores).map(|()| scores)
        })?;
        reranked = Some(scores.ranks(&truths));
    }
    for _missing in present.len()..ranked.videos.len() {
        dual[1].push_miss();
        reranked.iter_mut().for_each(|ranks| ranks[1].push_miss());
    }
    let text_features = bank.features;
    Ok(RetrievalOutcome { dual, reranked, scores, present, video_features: features, text_features, coverage })
}
