//! Evaluation on the gallery: recall of the dual encoder and after re-ranking, twins, heads, frame-order probes.

use super::report::{ProbeScore, Probes, ValidationScores};
use super::reranking::{self, TextCandidates};
use super::validation_set::ValidationSet;
use crate::Result;
use crate::data::Item;
use crate::eval::metrics::{rank_features, top_k};
use crate::eval::{FrameOrder, host, recall_among, reorder_frames, reversed_twins};
use crate::model::{EncodedText, Svitt, VideoDraws, VideoTokens};
use crate::text::Tokenizer;
use burn::tensor::{Int, Tensor, TensorData};
use svitt_ops::SvittBackend;

/// Seed of block graphs in validation: the same in every stage and run.
const SEED: u64 = 2023;

/// Clips or texts per forward pass.
const BATCH: usize = 48;

/// Text-video pairs per forward pass of the fusion encoder.
const PAIRS: usize = 1024;

/// What validation needs of a model.
pub trait RetrievalModel<B: SvittBackend> {
    /// Its text side and heads.
    fn svitt(&self) -> &Svitt<B>;

    /// Clips `[batch, frames, 3, size, size]` to unit features `[batch, e]` and what cross-attention sees of them,
    /// `[batch, tokens, d]`.
    ///
    /// # Errors
    /// Clips of another size or length than the model's.
    fn encode(&self, video: Tensor<B, 5>, draws: &VideoDraws) -> Result<(Tensor<B, 2>, Tensor<B, 3>)>;
}

impl<B: SvittBackend> RetrievalModel<B> for Svitt<B> {
    fn svitt(&self) -> &Svitt<B> {
        self
    }

    fn encode(&self, video: Tensor<B, 5>, draws: &VideoDraws) -> Result<(Tensor<B, 2>, Tensor<B, 3>)> {
        self.encode_video(video, draws).map(|encoded| (encoded.feature, encoded.embeds))
    }
}

/// A model about to be measured.
pub struct Validator<'a, B: SvittBackend> {
    /// The model, without gradients.
    pub model: &'a dyn RetrievalModel<B>,
    /// What it is measured on.
    pub set: &'a ValidationSet,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Tokens of a text.
    pub text_tokens: usize,
    /// Side of a frame, pixels.
    pub size: usize,
    /// Videos re-ranked per text.
    pub rerank_k: usize,
    /// Whether to measure frozen, shuffled and reversed clips, too: two more passes over the gallery.
    pub probes: bool,
}

/// Encoded texts and their ids, on the device.
struct Texts<B: SvittBackend> {
    ids: Vec<i64>,
    mask: Tensor<B, 2>,
    encoded: EncodedText<B>,
}

impl<B: SvittBackend> Validator<'_, B> {
    /// All scores of the model.
    ///
    /// # Errors
    /// Clips of another size or length than the model's.
    pub fn scores(&self) -> Result<ValidationScores> {
        let (set, truths) = (self.set, self.set.truths());
        let captions: Vec<&str> = set.items.iter().map(|item| item.caption.as_str()).collect();
        let texts = self.texts(&captions);
        let (clips, embeds) = self.clips(FrameOrder::None, true)?;
        let words = host(texts.encoded.feature.clone());
        let width = texts.encoded.feature.dims()[1];
        let forward = rank_features(&words, &clips, width, &truths);
        let metrics = forward.metrics();
        let mut scores = ValidationScores {
            r1: metrics.r1,
            r5: metrics.r5,
            r10: metrics.r10,
            v2t_r1: rank_features(&clips, &words, width, &truths).metrics().r1,
            rerank_k: self.rerank_k.min(set.items.len()),
            ceilings: set.ceilings,
            gallery: set.items.len(),
            ..ValidationScores::default()
        };
        [scores.r1_seen, scores.r1_unseen] =
            [true, false].map(|seen| recall_among(forward.best_ranks(), &set.seen, seen));
        let reversed = self.clips(FrameOrder::Reverse, false)?.0;
        scores.twin_accuracy = self.twins([&clips, &reversed], &words, width);
        let r1 = |clips: &[f32]| ProbeScore { r1: rank_features(&words, clips, width, &truths).metrics().r1 };
        if self.probes {
            scores.probes = Some(Probes {
                freeze: r1(&self.clips(FrameOrder::Freeze, false)?.0),
                shuffle: r1(&self.clips(FrameOrder::Shuffle, false)?.0),
                reverse: r1(&reversed),
            });
        }
        let embeds = Tensor::cat(embeds, 0);
        self.rerank(&mut scores, &texts, &embeds, [&words, &clips], width, &truths);
        scores.mlm_direction_accuracy = self.keyword_accuracy(&texts, &embeds);
        Ok(scores)
    }

    fn device(&self) -> B::Device {
        self.model.svitt().temp.val().device()
    }

    fn texts(&self, captions: &[&str]) -> Texts<B> {
        let device = self.device();
        let encodings: Vec<_> = captions.iter().map(|text| self.tokenizer.encode(text, self.text_tokens)).collect();
        let ids: Vec<i64> = encodings.iter().flat_map(|e| e.ids.iter().copied()).collect();
        let mask: Vec<f32> = encodings.iter().flat_map(|e| e.mask.iter().copied()).collect();
        let shape = [captions.len(), self.text_tokens];
        let mask = Tensor::<B, 2>::from_data(TensorData::new(mask, shape), &device);
        let tensor = Tensor::<B, 2, Int>::from_data(TensorData::new(ids.clone(), shape), &device);
        Texts { ids, encoded: self.model.svitt().encode_text(tensor, mask.clone()), mask }
    }

    /// Features `[clips · e]` of all clips in `order`, and what cross-attention sees of them if asked for.
    fn clips(&self, order: FrameOrder, keep_embeds: bool) -> Result<(Vec<f32>, Vec<Tensor<B, 3>>)> {
        let (mut features, mut embeds) = (Vec::new(), Vec::new());
        let frames = self.set.frames;
        let arranged = |item: &Item| reorder_frames(&item.frames, frames, order.indices(frames, item.index, 0));
        for items in self.set.items.chunks(BATCH) {
            let pixels: Vec<f32> = items.iter().flat_map(&arranged).collect();
            let shape = [items.len(), frames, 3, self.size, self.size];
            let video = Tensor::<B, 5>::from_data(TensorData::new(pixels, shape), &self.device());
            let (feature, seen) = self.model.encode(video, &VideoDraws::evaluation(SEED))?;
            features.extend(host(feature));
            if keep_embeds {
                embeds.push(seen);
            }
        }
        Ok((features, embeds))
    }

    fn twins(&self, clips: [&[f32]; 2], words: &[f32], width: usize) -> Option<f64> {
        let captions: Vec<&str> = self.set.twins.iter().map(|twin| twin.reversed_caption.as_str()).collect();
        if captions.is_empty() {
            return None;
        }
        let other = host(self.texts(&captions).encoded.feature);
        let entries: Vec<usize> = self.set.twins.iter().map(|twin| twin.entry).collect();
        Some(reversed_twins(&entries, clips, [words, &other], width).pair)
    }

    /// Re-ranks each text's best videos by the matching head, and asks it about the true and the hardest false video.
    fn rerank(
        &self,
        scores: &mut ValidationScores,
        texts: &Texts<B>,
        embeds: &Tensor<B, 3>,
        [words, clips]: [&[f32]; 2],
        width: usize,
        truths: &[Vec<usize>],
    ) {
        let dual = |text: usize| -> Vec<f32> {
            let word = &words[text * width..(text + 1) * width];
            clips.chunks(width).map(|clip| dot(clip, word)).collect()
        };
        let k = scores.rerank_k;
        let candidates: Vec<TextCandidates> =
            truths.iter().enumerate().map(|(text, truth)| TextCandidates::of(&dual(text), k, truth)).collect();
        let asked: Vec<[usize; 2]> = candidates.iter().enumerate().flat_map(|(text, of)| of.pairs(text)).collect();
        let logits = self.match_logits(texts, embeds, &asked);
        let temperature = host(self.model.svitt().temp.val())[0];
        reranking::score(scores, &candidates, truths, &logits, temperature);
    }

    /// Logits (no match, match) of (text, video) pairs.
    fn match_logits(&self, texts: &Texts<B>, embeds: &Tensor<B, 3>, pairs: &[[usize; 2]]) -> Vec<[f32; 2]> {
        let device = self.device();
        let index = |pairs: &[[usize; 2]], side: usize| {
            let values: Vec<i64> = pairs.iter().map(|pair| pair[side] as i64).collect();
            Tensor::<B, 1, Int>::from_data(TensorData::new(values, [pairs.len()]), &device)
        };
        let mut logits = Vec::with_capacity(pairs.len());
        for pairs in pairs.chunks(PAIRS) {
            let rows = index(pairs, 0);
            let video = VideoTokens { embeds: embeds.clone(), rows: Some(index(pairs, 1)) };
            let (text, mask) =
                (texts.encoded.embeds.clone().select(0, rows.clone()), texts.mask.clone().select(0, rows));
            let flat = host(self.model.svitt().match_logits(text, mask, video));
            logits.extend(flat.chunks_exact(2).map(|pair| [pair[0], pair[1]]));
        }
        logits
    }

    /// How many of the words that only the clip tells are named right when they are masked, percent.
    fn keyword_accuracy(&self, texts: &Texts<B>, embeds: &Tensor<B, 3>) -> Option<f64> {
        let (tokens, clips) = (self.text_tokens, self.set.items.len());
        let (mask_id, keywords) = (self.tokenizer.special().mask, &self.set.keywords);
        if keywords.is_empty() {
            return None;
        }
        let masked: Vec<i64> = texts.ids.iter().map(|id| if keywords.contains(id) { mask_id } else { *id }).collect();
        let ids = Tensor::<B, 2, Int>::from_data(TensorData::new(masked, [clips, tokens]), &self.device());
        let (mut right, mut all) = (0usize, 0usize);
        for start in (0..clips).step_by(BATCH) {
            let end = (start + BATCH).min(clips);
            let rows = |ids: Tensor<B, 2, Int>| ids.slice([start..end]);
            let mask = texts.mask.clone().slice([start..end]);
            let logits = self.model.svitt().mlm_logits(rows(ids.clone()), mask, embeds.clone().slice([start..end]))?;
            let vocab = logits.dims()[2];
            let values = host(logits);
            for (place, word) in values.chunks_exact(vocab).enumerate() {
                let truth = texts.ids[start * tokens + place];
                if keywords.contains(&truth) {
                    all += 1;
                    right += usize::from(top_k(word, 1) == [truth as usize]);
                }
            }
        }
        Some(100.0 * right as f64 / all.max(1) as f64)
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
