//! A model as a scorer of choices.

use super::measure::{ChoiceScorer, Scored};
use crate::Result;
use crate::eval::{
    ClipPlan, ClipSource, EncodeOptions, EncodedClips, EncodedStore, EvalInputs, EvalModel, FeatureStore, FrameOrder,
    MatchScorer, ScoreOptions, TextBank, VideoBank, VideoSet, encode_clips, mean_features, require_directions,
    require_finite,
};
use crate::model::Svitt;
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
    /// Opens the folder of features under a plan, where they are to be kept for later runs. Those of controls are not.
    pub cache: &'a dyn Fn(&ClipPlan) -> Result<Option<FeatureStore>>,
    /// Opens the folder of scores under a plan, where jobs share the clips out among them: every order of frames has
    /// its own, and a clip that is scored there is not looked at again.
    pub scores: &'a dyn Fn(&ClipPlan) -> Result<Option<FeatureStore>>,
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
        let plan = ClipPlan { order, ..*self.plan };
        let (bank, places) = self.bank();
        let width = self.model.config.embed_dim;
        require_directions("text features", &bank.features, width)?;
        let texts = places.iter().map(|&place| bank.features[place * width..][..width].to_vec()).collect();
        let scored = Scored { videos: vec![Vec::new(); wanted.len()], texts, ..Scored::default() };
        let cache = if order == self.plan.order { (self.cache)(&plan)? } else { None };
        let scores = (self.scores)(&plan)?;
        let mut matching = MatchingStore { scorer: self, bank, places, wanted, cache, scores, scored };
        let Self { videos, encoding, score, .. } = *self;
        let inputs = EvalInputs { texts: &[], videos, plan: &plan, encoding, score };
        let coverage = self.model.encode_missing(&inputs, &mut matching, |pixels, _, draws| {
            encode_clips(self.model.model, pixels, plan.clips, draws)
        })?;
        Ok(Scored { coverage, ..matching.scored })
    }
}

/// Scores each clip as soon as it is encoded, so that no states have to be kept: those of a thousand clips of a base
/// model are gigabytes, and controls of frame order encode every clip three times more.
struct MatchingStore<'a, B: SvittBackend> {
    scorer: &'a ModelScorer<'a, B>,
    bank: TextBank,
    /// Where each text of the set stands in the bank.
    places: Vec<usize>,
    wanted: &'a [Vec<usize>],
    cache: Option<FeatureStore>,
    /// Features that are means over clips, and in place of states the matching scores with the texts that are wanted.
    scores: Option<FeatureStore>,
    scored: Scored,
}

impl<B: SvittBackend> MatchingStore<'_, B> {
    /// Scores `video` with the texts that are wanted for it.
    fn matched(&mut self, video: usize, encoded: EncodedClips) -> Result<EncodedClips> {
        let ModelScorer { model: EvalModel { model, config, device }, plan, score, .. } = self.scorer;
        let features = mean_features(&encoded.features, plan.clips, config.embed_dim);
        require_directions("video features", &features, config.embed_dim)?;
        let videos = VideoBank { videos: vec![encoded] };
        let scorer = MatchScorer {
            model: *model,
            device: *device,
            videos: &videos,
            texts: &self.bank,
            clips: plan.clips,
            ensemble: score.ensemble,
            batch: score.batch,
        };
        let texts = &self.wanted[video];
        let mut banked: Vec<usize> = texts.iter().map(|&text| self.places[text]).collect();
        banked.sort_unstable();
        banked.dedup();
        let scores = scorer.scores(0, &banked)?;
        require_finite("matching scores", &scores)?;
        let score = |text: usize| banked.binary_search(&self.places[text]).ok().map(|at| scores[at]);
        self.scored.matching.extend(texts.iter().filter_map(|&text| Some(((video, text), score(text)?))));
        self.scored.videos[video] = features;
        Ok(videos.videos.into_iter().next().unwrap_or_default())
    }
}

impl<B: SvittBackend> MatchingStore<'_, B> {
    /// Takes the scores of `video` from where a job kept them; returns whether they were there.
    fn recall_scores(&mut self, video: usize, stamp: &str) -> bool {
        let Some(kept) = self.scores.as_mut() else { return false };
        if !kept.load_cached(video, stamp) {
            return false;
        }
        let (features, texts) = (kept.features(video).to_vec(), &self.wanted[video]);
        let Ok(scores) = kept.states(video) else { return false };
        if (features.len(), scores.len()) != (self.scorer.model.config.embed_dim, texts.len()) {
            return false;
        }
        self.scored.matching.extend(texts.iter().zip(scores).map(|(&text, score)| ((video, text), score)));
        self.scored.videos[video] = features;
        true
    }

    /// Keeps the scores of `video`, where jobs share the clips out.
    fn keep_scores(&mut self, video: usize, stamp: &str) -> Result<()> {
        let Some(kept) = self.scores.as_mut() else { return Ok(()) };
        let states = self.wanted[video].iter().map(|&text| self.scored.matched(video, text)).collect();
        kept.keep(video, Some(stamp), EncodedClips { features: self.scored.videos[video].clone(), states })
    }
}

impl<B: SvittBackend> EncodedStore for MatchingStore<'_, B> {
    fn load_cached(&mut self, video: usize, stamp: &str) -> bool {
        if self.recall_scores(video, stamp) {
            return true;
        }
        let Some(cache) = self.cache.as_mut() else { return false };
        if !cache.load_cached(video, stamp) {
            return false;
        }
        let (features, states) = (cache.features(video).to_vec(), cache.states(video));
        // What cannot be scored is encoded again, and says then what is wrong with it.
        states.and_then(|states| self.matched(video, EncodedClips { features, states })).is_ok()
    }

    fn keep(&mut self, video: usize, stamp: Option<&str>, encoded: EncodedClips) -> Result<()> {
        let encoded = self.matched(video, encoded)?;
        if let Some(stamp) = stamp {
            self.keep_scores(video, stamp)?;
        }
        match (&mut self.cache, stamp) {
            (Some(cache), Some(_)) => cache.keep(video, stamp, encoded),
            _ => Ok(()),
        }
    }
}
