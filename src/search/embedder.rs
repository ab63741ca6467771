//! The model in a search: embeds clips and texts, scores pairs with the matching head.

use crate::config::{ModelConfig, Precision};
use crate::data::Benchmark;
use crate::digest::sha256_hex;
use crate::eval::match_scoring::padded;
use crate::eval::{Budget, host, require_directions, require_finite, tokenizer};
use crate::index::ModelId;
use crate::loss::TEMPERATURE_RANGE;
use crate::model::{Svitt, VideoDraws};
use crate::text::{Tokenizer, clean};
use crate::weights::checkpoint::CONFIG;
use crate::weights::{CheckpointInfo, CheckpointPart, open_svitt, read_info};
use crate::{Error, Result};
use burn::tensor::{Int, Tensor, TensorData};
use std::path::Path;
use svitt_ops::SvittBackend;
use svitt_video::{Frames, Transform};

/// Seed of the block graphs: a clip has one embedding, whenever it is made.
const GRAPHS: u64 = 0;

/// A text never has more tokens than the longest of the benchmarks.
const MOST_TOKENS: usize = 64;

/// A checkpoint that embeds and compares. A clone shares its weights.
#[derive(Clone)]
pub struct Embedder<B: SvittBackend> {
    model: Svitt<B>,
    config: ModelConfig,
    tokenizer: Tokenizer,
    transform: Transform,
    device: B::Device,
    id: ModelId,
    arithmetic: String,
}

/// Which model lies in checkpoint folder `folder`, read from its description and its vocabulary: the one in `vocab` or
/// the one beside the weights. That the weights are what the description says is checked when they are loaded.
///
/// # Errors
/// There is no checkpoint, one that cannot compare texts with videos, or no vocabulary.
pub fn identify(folder: &Path, vocab: Option<&Path>) -> Result<ModelId> {
    let (info, weights) = read_info(&folder.join(CONFIG))?;
    if info.part != CheckpointPart::Pretraining {
        let remedy = "give a checkpoint of pretraining or of fine-tuning for retrieval";
        return Err(Error::file(folder, "its model cannot compare texts with videos", remedy));
    }
    model_id(folder, &info, weights, &read_tokenizer(folder, vocab, &info)?)
}

fn model_id(folder: &Path, info: &CheckpointInfo, weights: String, tokenizer: &Tokenizer) -> Result<ModelId> {
    let mut model = info.model.clone();
    let sparsity = std::mem::take(&mut model.video.sparsity);
    let configuration = serde_json::to_string(&model).map_err(|e| Error::Fault(e.to_string()))?;
    Ok(ModelId {
        model: folder.display().to_string(),
        weights,
        configuration: sha256_hex(configuration),
        sparsity,
        vocabulary: tokenizer.sha256(),
        dim: info.model.embed_dim,
        precision: Precision::F32,
    })
}

/// By the rules of any benchmark of real videos: the given file, the one beside the weights, data/vocab.txt.
fn read_tokenizer(folder: &Path, vocab: Option<&Path>, info: &CheckpointInfo) -> Result<Tokenizer> {
    let sha256 = info.vocabulary.as_ref().map(|vocabulary| vocabulary.sha256.as_str());
    tokenizer(Benchmark::Msrvtt, folder, vocab, info.model.text.vocab_size, sha256)
}

/// The words of `text` that `tokenizer` has no entry for, as they were cleaned.
pub fn unknown_words(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    let unknown = |word: &&str| tokenizer.encode_raw(word, MOST_TOKENS).tokens().contains(&tokenizer.special().unk);
    clean(text).split_whitespace().filter(unknown).map(str::to_owned).collect()
}

impl<B: SvittBackend> Embedder<B> {
    /// Opens the checkpoint in `folder`, with the vocabulary in `vocab` or the one beside its weights.
    ///
    /// # Errors
    /// The folder holds no such checkpoint, or no vocabulary.
    pub fn open(folder: &Path, vocab: Option<&Path>, device: &B::Device) -> Result<Self> {
        // Refuses a model of another kind before its weights are read.
        identify(folder, vocab)?;
        let opened = open_svitt::<B>(folder, None, device)?;
        let tokenizer = read_tokenizer(folder, vocab, &opened.info)?;
        let id = model_id(folder, &opened.info, opened.weights_sha256, &tokenizer)?;
        let transform = Transform::new(opened.config.video.image_size);
        let arithmetic = Precision::F32.name().to_owned();
        let (model, config, device) = (opened.model, opened.config, device.clone());
        Ok(Self { model, config, tokenizer, transform, device, id, arithmetic })
    }

    /// The same model, computing in `precision`, which reports call `arithmetic`.
    pub fn with_precision(self, precision: Precision, arithmetic: String) -> Self {
        let id = ModelId { precision, ..self.id };
        Self { model: self.model.with_precision(precision), arithmetic, id, ..self }
    }

    /// The same model, named as one that computes in `precision`: what an index asks for that another machine began,
    /// whether this one can or computes in what is nearest to it.
    pub fn named_as(self, precision: Precision) -> Self {
        Self { id: ModelId { precision, ..self.id }, ..self }
    }

    /// What products are computed in, for reports.
    pub fn arithmetic(&self) -> &str {
        &self.arithmetic
    }

    /// The same model as sparse as `budget` says, or, where it says nothing, as the model of `index`, if that is the same
    /// model: a query needs no options to fit its index.
    ///
    /// # Errors
    /// As [`Budget::apply`].
    pub fn with_budget(mut self, budget: &Budget, index: Option<&ModelId>) -> Result<Self> {
        let as_indexed = index.filter(|id| *budget == Budget::default() && id.weights == self.id.weights);
        let video = self.model.video;
        self.model.video = match as_indexed {
            Some(id) => video.with_sparsity(id.sparsity.clone())?,
            None => budget.apply(video, &self.device)?,
        };
        self.id.sparsity = self.model.video.config().sparsity.clone();
        Ok(self)
    }

    /// The model's name, weights, sparsity and width.
    pub fn id(&self) -> &ModelId {
        &self.id
    }

    /// T: frames of a clip.
    pub fn frames(&self) -> usize {
        self.config.video.frames
    }

    /// Side of a frame, pixels.
    pub(super) fn image_size(&self) -> usize {
        self.config.video.image_size
    }

    /// The temperature of the contrastive loss.
    pub(super) fn temperature(&self) -> f32 {
        let [low, high] = TEMPERATURE_RANGE;
        host(self.model.temp.val()).first().map_or(high as f32, |temp| temp.clamp(low as f32, high as f32))
    }

    /// Its words.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// How decoded frames become what the model takes: the whole picture, whatever its shape.
    pub(super) fn transform(&self) -> &Transform {
        &self.transform
    }

    /// Decoded frames as the model takes them, `[frames, 3, size, size]`.
    pub fn pixels(&self, frames: &Frames) -> Vec<f32> {
        self.transform.apply(frames, &self.transform.whole(frames))
    }

    fn clips(&self, pixels: Vec<f32>) -> Tensor<B, 5> {
        let (frames, size) = (self.frames(), self.config.video.image_size);
        let clips = pixels.len() / (frames * 3 * size * size).max(1);
        Tensor::from_data(TensorData::new(pixels, [clips, frames, 3, size, size]), &self.device)
    }

    /// Vectors `[clips][dim]` of `pixels` `[clips, frames, 3, size, size]`: their product with a text's is the two
    /// encoders' score. Unit vectors, or, where a model's score is the mean of its frames' cosines, their mean over frames.
    ///
    /// # Errors
    /// The model refuses the clips.
    pub fn embed_clips(&self, pixels: Vec<f32>) -> Result<Vec<Vec<f32>>> {
        let encoded = self.model.encode_video(self.clips(pixels), &VideoDraws::evaluation(GRAPHS))?;
        let features = host(encoded.feature);
        require_directions("video features", &features, self.id.dim)?;
        Ok(features.chunks(self.id.dim.max(1)).map(<[f32]>::to_vec).collect())
    }

    /// A text as ids and mask, `[1, tokens]` each.
    ///
    /// # Errors
    /// Nothing of it is left after cleaning.
    fn ids(&self, text: &str) -> Result<(Tensor<B, 2, Int>, Tensor<B, 2>)> {
        if clean(text).trim().is_empty() {
            return Err(Error::setting("TEXT", "holds no word", "describe what the clip should show"));
        }
        let tokens = self.tokenizer.encode(text, MOST_TOKENS.min(self.config.text.max_positions)).tokens().to_vec();
        let (ids, mask, _) = padded(&[tokens], &self.device);
        Ok((ids, mask))
    }

    /// The unit vectors `[texts][dim]` of `texts`.
    ///
    /// # Errors
    /// A text without words.
    pub(super) fn embed_texts(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let most = MOST_TOKENS.min(self.config.text.max_positions);
        let ids = texts.iter().map(|text| match clean(text).trim() {
            "" => Err(Error::setting("text", format!("`{text}` holds no word"), "leave it out of the manifest")),
            _ => Ok(self.tokenizer.encode(text, most).tokens().to_vec()),
        });
        let (ids, mask, _) = padded(&ids.collect::<Result<Vec<_>>>()?, &self.device);
        let features = host(self.model.encode_text(ids, mask).feature);
        Ok(features.chunks(self.id.dim.max(1)).map(<[f32]>::to_vec).collect())
    }

    /// The unit vector `[dim]` of `text`.
    ///
    /// # Errors
    /// A text without words.
    pub fn embed_text(&self, text: &str) -> Result<Vec<f32>> {
        let (ids, mask) = self.ids(text)?;
        let feature = host(self.model.encode_text(ids, mask).feature);
        require_directions("text features", &feature, self.id.dim).map(|()| feature)
    }

    /// Log-odds, by the fusion encoder's matching head, that `text` matches each clip of `pixels` `[clips, frames, 3,
    /// size, size]`.
    ///
    /// # Errors
    /// A text without words; the model refuses the clips.
    pub fn match_text(&self, text: &str, pixels: Vec<f32>) -> Result<Vec<f32>> {
        let (ids, mask) = self.ids(text)?;
        let video = self.model.encode_video(self.clips(pixels), &VideoDraws::evaluation(GRAPHS))?.embeds;
        let clips = video.dims()[0];
        let states = self.model.encode_text(ids, mask.clone()).embeds.repeat_dim(0, clips);
        let logits = host(self.model.match_logits(states, mask.repeat_dim(0, clips), video));
        require_finite("matching scores", &logits)?;
        Ok(logits.chunks_exact(2).map(|pair| pair[1] - pair[0]).collect())
    }
}
