//! The model's side of retrieval: encodes clips and texts in batches, and scores pairs with the matching head.

use super::{EncodedClips, host};
use crate::Result;
use crate::config::ClipEnsemble;
use crate::model::{Svitt, VideoDraws};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use svitt_ops::SvittBackend;

/// Where the matching head takes the states of a video from: memory, or a cache on disk.
pub trait ClipSource {
    /// States of all clips of `video`, `[clips, 1 + tokens, d]` row-major.
    ///
    /// # Errors
    /// They cannot be read back.
    fn states(&self, video: usize) -> Result<Vec<f32>>;
}

/// Encoded videos in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VideoBank {
    /// One entry per video.
    pub videos: Vec<EncodedClips>,
}

impl ClipSource for VideoBank {
    fn states(&self, video: usize) -> Result<Vec<f32>> {
        Ok(self.videos.get(video).map(|encoded| encoded.states.clone()).unwrap_or_default())
    }
}

/// Encoded texts on the host; each keeps only as many positions as it has tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextBank {
    /// Unit vectors of the shared space, `[texts, e]`.
    pub features: Vec<f32>,
    /// Per text `[tokens, hidden]`.
    states: Vec<Vec<f32>>,
    hidden: usize,
}

impl TextBank {
    /// Encodes texts, `batch` at a time, each given by its `ids` without padding.
    ///
    /// Positions behind the last token are not kept: padding is hidden from every query, so position 0, which all
    /// heads read, does not depend on it.
    pub fn encode<B: SvittBackend>(model: &Svitt<B>, texts: &[Vec<i64>], batch: usize, device: &B::Device) -> Self {
        let mut bank = Self::default();
        for chunk in texts.chunks(batch.max(1)) {
            let (ids, mask, tokens) = padded(chunk, device);
            let encoded = model.encode_text(ids, mask);
            bank.hidden = encoded.embeds.dims()[2];
            bank.features.extend(host(encoded.feature));
            let states = host(encoded.embeds);
            let rows = states.chunks_exact((tokens * bank.hidden).max(1));
            bank.states.extend(rows.zip(chunk).map(|(row, ids)| row[..ids.len() * bank.hidden].to_vec()));
        }
        bank
    }

    /// Texts in the bank.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// States `[texts, tokens, hidden]` and mask `[texts, tokens]` of `texts`, padded to the longest of them.
    fn batch<B: Backend>(&self, texts: &[usize], device: &B::Device) -> (Tensor<B, 3>, Tensor<B, 2>) {
        let tokens = texts.iter().map(|&text| self.states[text].len()).max().unwrap_or(0) / self.hidden.max(1);
        let mut states = vec![0.0; texts.len() * tokens * self.hidden];
        let mut mask = vec![0.0; texts.len() * tokens];
        for (row, &text) in texts.iter().enumerate() {
            let source = &self.states[text];
            states[row * tokens * self.hidden..][..source.len()].copy_from_slice(source);
            mask[row * tokens..][..source.len() / self.hidden].fill(1.0);
        }
        let states = TensorData::new(states, [texts.len(), tokens, self.hidden]);
        (Tensor::from_data(states, device), Tensor::from_data(TensorData::new(mask, [texts.len(), tokens]), device))
    }
}

/// `texts` as ids and mask `[texts, tokens]`, padded to the longest, whose length comes third.
pub(crate) fn padded<B: Backend>(texts: &[Vec<i64>], device: &B::Device) -> (Tensor<B, 2, Int>, Tensor<B, 2>, usize) {
    let tokens = texts.iter().map(Vec::len).max().unwrap_or(0);
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for text in texts {
        ids.extend(text.iter().copied().chain(std::iter::repeat(0)).take(tokens));
        mask.extend((0..tokens).map(|position| if position < text.len() { 1.0f32 } else { 0.0 }));
    }
    let shape = [texts.len(), tokens];
    let ids = Tensor::from_data(TensorData::new(ids, shape), device);
    (ids, Tensor::from_data(TensorData::new(mask, shape), device), tokens)
}

/// Encodes the clips of several videos at once: `pixels` `[videos · clips, frames, 3, size, size]`, one [`EncodedClips`] per
/// video.
///
/// # Errors
/// Clips of another size or length than the model's.
pub fn encode_clips<B: SvittBackend>(
    model: &Svitt<B>,
    pixels: Tensor<B, 5>,
    clips: usize,
    draws: &VideoDraws,
) -> Result<Vec<EncodedClips>> {
    let videos = pixels.dims()[0] / clips.max(1);
    let encoded = model.encode_video(pixels, draws)?;
    let (features, states) = (host(encoded.feature), host(encoded.embeds));
    let [features_each, states_each] = [features.len(), states.len()].map(|all| (all / videos.max(1)).max(1));
    let pairs = features.chunks_exact(features_each).zip(states.chunks_exact(states_each));
    Ok(pairs.map(|(f, s)| EncodedClips { features: f.to_vec(), states: s.to_vec() }).collect())
}

/// Scores pairs with the matching head: the logit of class 1, joined over clips.
pub struct MatchScorer<'a, B: SvittBackend, S: ClipSource> {
    /// The model.
    pub model: &'a Svitt<B>,
    /// Where it runs.
    pub device: &'a B::Device,
    /// States of the videos.
    pub videos: &'a S,
    /// States of the texts.
    pub texts: &'a TextBank,
    /// Clips per video.
    pub clips: usize,
    /// What joins the clips.
    pub ensemble: ClipEnsemble,
    /// Pairs per forward.
    pub batch: usize,
}

impl<B: SvittBackend, S: ClipSource> MatchScorer<'_, B, S> {
    /// The matching score of `video` with each of `texts`.
    ///
    /// # Errors
    /// The states of the video cannot be read.
    pub fn scores(&self, video: usize, texts: &[usize]) -> Result<Vec<f32>> {
        let states = self.videos.states(video)?;
        let width = self.model.video_norm.gamma.dims()[0];
        let tokens = states.len() / (self.clips * width).max(1);
        let clips = states.chunks_exact((tokens * width).max(1));
        let clips: Vec<Tensor<B, 3>> = clips
            .map(|clip| Tensor::from_data(TensorData::new(clip.to_vec(), [1, tokens, width]), self.device))
            .collect();
        let mut scores = Vec::with_capacity(texts.len());
        for chunk in texts.chunks(self.batch.max(1)) {
            let (text, mask) = self.texts.batch::<B>(chunk, self.device);
            let per_clip: Vec<Vec<f32>> = clips
                .iter()
                .map(|clip| host(self.model.match_logits(text.clone(), mask.clone(), clip.clone())))
                .collect();
            let joined = |pair: usize| {
                let logits: Vec<f32> = per_clip.iter().map(|logits| logits[2 * pair + 1]).collect();
                self.ensemble.join(&logits)
            };
            scores.extend((0..chunk.len()).map(joined));
        }
        Ok(scores)
    }
}
