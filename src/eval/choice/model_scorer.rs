//! A model as a scorer of choices.

use super::measure::{ChoiceScorer, Scored};
use crate::Result;
use crate::eval::{
    ClipPlan, EncodeOptions, EvalModel, FeatureStore, FrameOrder, MatchScorer, ScoreOptions, TextBank, VideoSet,
    encode_clips, encode_videos, mean_features, require_directions, require_finite,
};
use crate::model::{Svitt, VideoDraws};
use burn::tensor::{Tensor, TensorData};
use std::collections::HashMap;
use svitt_ops::SvittBackend;

/// A model, the clips and texts that it scores, and how.
pub struct ModelScorer<'a, B: SvittBackend> {
    /// The model.
    pub model: EvalModel<'a, B, Svitt<B>>,
    /// Texts as ids, without padding.
    pub texts: &'a [Vec<i64>],
    /// The clips.
    pub videos: &'a dyn VideoSet,
    /// Which frames make a clip; the order is replaced.
    pub plan: &'a ClipPlan,
    /// How videos are read.
    pub encoding: &'a EncodeOptions,
    /// How pairs are scored; every clip sees the same random edges, so both candidates of a pair do.
    pub score: &'a ScoreOptions,
    /// Makes the store for features under a plan.
    pub store: &'a dyn Fn(&ClipPlan) -> Result<FeatureStore>,
}

impl<B: SvittBackend> ModelScorer<'_, B> {
    /// The texts encoded once each: those that are equal after they were cut share a place, so that they tie exactly.
    fn bank(&self) -> (TextBank, Vec<usize>) {
        let mut distinct: Vec<Vec<i64>> = Vec::new();
        let mut places: HashMap<&[i64], usize> = HashMap::new();
        let place = |ids: &'_ Vec<i64>, distinct: &mut Vec<Vec<i64>>| {
            distinct.push(ids.clone());
            distinct.len() - 1
        };
        let places: Vec<usize> =
            self.texts.iter().map(|ids| *places.entry(ids).or_insert_with(|| place(ids, &mut distinct))).collect();
        (TextBank::encode(self.model.model, &distinct, self.score.batch, self.model.device), places)
    }
}

impl<B: SvittBackend> ChoiceScorer for ModelScorer<'_, B> {
    fn score(&mut self, order: FrameOrder, wanted: &[Vec<usize>]) -> Result<Scored> {
        let EvalModel { model, config, device } = self.model;
        let plan = ClipPlan { order, ..*self.plan };
        let mut store = (self.store)(&plan)?;
        let draws = VideoDraws::evaluation(self.score.seed);
        let coverage = encode_videos(self.videos, &plan, self.encoding, &mut store, &mut |pixels, count| {
            let size = config.video.image_size;
            let pixels = TensorData::new(pixels, [count * plan.clips, plan.frames, 3, size, size]);
            encode_clips(model, Tensor::<B, 5>::from_data(pixels, device), plan.clips, &draws)
        })?;
        let (bank, places) = self.bank();
        let width = config.embed_dim;
        require_directions("text features", &bank.features, width)?;
        let texts = places.iter().map(|&place| bank.features[place * width..][..width].to_vec()).collect();
        let videos: Vec<Vec<f32>> =
            (0..wanted.len()).map(|video| mean_features(store.features(video), plan.clips, width)).collect();
        let present: Vec<f32> = videos.iter().flatten().copied().collect();
        require_directions("video features", &present, width)?;
        let scorer = MatchScorer {
            model,
            device,
            videos: &store,
            texts: &bank,
            clips: plan.clips,
            ensemble: self.score.ensemble,
            batch: self.score.batch,
        };
        let mut ticker = self.encoding.progress.counter("matching videos", wanted.len());
        let mut matching = HashMap::new();
        for (video, texts) in wanted.iter().enumerate().filter(|(video, _)| store.contains(*video)) {
            let mut banked: Vec<usize> = texts.iter().map(|&text| places[text]).collect();
            banked.sort_unstable();
            banked.dedup();
            let scores = scorer.scores(video, &banked)?;
            require_finite("matching scores", &scores)?;
            let score = |text: usize| banked.binary_search(&places[text]).ok().map(|at| scores[at]);
            matching.extend(texts.iter().filter_map(|&text| Some(((video, text), score(text)?))));
            ticker.tick(1);
        }
        Ok(Scored { videos, texts, matching, coverage })
    }
}
