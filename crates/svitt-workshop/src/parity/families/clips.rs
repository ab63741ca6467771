//! What becomes of clips and texts: tokens for fusion, vectors, cosines, matching scores.

use super::FamilySet;
use crate::parity::fixture::Fixture;
use crate::parity::report::FileCheck;
use crate::parity::tolerance::TensorKind;
use burn::tensor::{Int, Tensor, backend::Backend};
use svitt::Result;
use svitt::config::VideoConfig;
use svitt::model::layers::linear;
use svitt::model::{EncodedText, EncodedVideo, Svitt, VideoDraws, VideoOutput, unit_rows};
use svitt_ops::SvittBackend;

/// The texts of a set.
pub struct Texts<B: Backend> {
    /// `[texts, tokens]`.
    pub ids: Tensor<B, 2, Int>,
    /// `[texts, tokens]`.
    pub mask: Tensor<B, 2>,
}

impl<B: SvittBackend> Texts<B> {
    /// The texts `ids` and `mask` of the outputs, whose ids `model` has.
    pub fn read(set: &FamilySet<B>, model: &Svitt<B>, ids: &str, mask: &str) -> Result<Self> {
        let words = model.text.embeddings.word.weight.dims()[0];
        let ids = set.outputs.ids::<B, 2>(ids, words, None, &set.device)?;
        set.outputs.expect(mask, &ids.dims())?;
        Ok(Self { ids, mask: set.outputs.float(mask, &set.device)? })
    }

    /// The texts as the model encodes them.
    pub fn encoded(&self, model: &Svitt<B>) -> EncodedText<B> {
        model.encode_text(self.ids.clone(), self.mask.clone())
    }

    /// The first `count` texts.
    pub fn first(&self, count: usize) -> Self {
        Self { ids: self.ids.clone().slice([0..count]), mask: self.mask.clone().slice([0..count]) }
    }

    /// The ids of every text, padding left out.
    pub fn lists(&self) -> Vec<Vec<i64>> {
        let tokens = self.ids.dims()[1];
        let ids: Vec<i64> = self.ids.clone().into_data().convert::<i64>().into_vec().unwrap_or_default();
        let mask: Vec<f32> = self.mask.clone().into_data().convert::<f32>().into_vec().unwrap_or_default();
        let list = |(ids, mask): (&[i64], &[f32])| {
            ids.iter().zip(mask).filter(|(_, mask)| **mask != 0.0).map(|(id, _)| *id).collect()
        };
        ids.chunks(tokens.max(1)).zip(mask.chunks(tokens.max(1))).map(list).collect()
    }
}

/// The pixels `name`, `[clips, frames, 3, size, size]`, of a size that `model` takes.
pub fn pixels<B: SvittBackend>(set: &FamilySet<B>, model: &Svitt<B>, name: &str) -> Result<Tensor<B, 5>> {
    let video = set.outputs.float::<B, 5>(name, &set.device)?;
    model.video.check_input(video.dims())?;
    Ok(symmetric(video, model.video.config()))
}

/// `video` as the official model takes it, in −1 to 1, as ours does.
pub fn symmetric<B: Backend>(video: Tensor<B, 5>, config: &VideoConfig) -> Tensor<B, 5> {
    let Some([factor, summand]) = config.pixels.from_symmetric() else { return video };
    let channels = |values: [f32; 3]| Tensor::<B, 1>::from_floats(values, &video.device()).reshape([1, 1, 3, 1, 1]);
    let (factor, summand) = (channels(factor), channels(summand));
    (video - summand) / factor
}

/// Compares what `TAG.…` names of the encoder's `output`: `embeds`, `pooled`, `projected`, `feature`, and with `texts`
/// `cosine`, `similarity` and `match`.
pub fn compare<B: SvittBackend>(
    fixture: &Fixture,
    tag: &str,
    model: &Svitt<B>,
    output: VideoOutput<B>,
    texts: &Texts<B>,
    check: &mut FileCheck,
) {
    let of = |part: &str| format!("{tag}.{part}");
    let frames = output.frames;
    let clips = output.token_ids.dims()[0];
    let encoded = model.read_out(output.clone(), &VideoDraws::evaluation(0));
    fixture.check(&of("embeds"), TensorKind::Hidden, encoded.embeds.clone(), check);
    let normed = svitt::model::layers::norm_f32(&model.video_norm, output.hidden.clone());
    let raw = model.video.config().pooling == svitt::config::Pooling::Raw;
    let pooled = model.video.pool(if raw { output.hidden } else { normed }, frames);
    let [vectors, d] = pooled.dims();
    fixture.check(&of("pooled"), TensorKind::Hidden, pooled.clone().reshape([clips, vectors / clips, d]), check);
    let projected = linear(&model.video_proj, pooled);
    let [_, e] = projected.dims();
    let feature = unit_rows(projected.clone());
    fixture.check(&of("projected"), TensorKind::Hidden, projected.reshape([clips, vectors / clips, e]), check);
    fixture.check(&of("feature"), TensorKind::Probability, feature.reshape([clips, vectors / clips, e]), check);
    scores(fixture, tag, model, &encoded, texts, check);
}

fn scores<B: SvittBackend>(
    fixture: &Fixture,
    tag: &str,
    model: &Svitt<B>,
    encoded: &EncodedVideo<B>,
    texts: &Texts<B>,
    check: &mut FileCheck,
) {
    let text = texts.encoded(model);
    let cosine = encoded.feature.clone().matmul(text.feature.transpose());
    fixture.check(&format!("{tag}.cosine"), TensorKind::Probability, cosine.clone(), check);
    let similarity = cosine / model.temp.val().reshape([1, 1]);
    fixture.check(&format!("{tag}.similarity"), TensorKind::Hidden, similarity, check);
    let name = format!("{tag}.match");
    if fixture.find(&name).is_some() {
        let of_clip = |clip: usize| {
            let video = encoded.embeds.clone().slice([clip..clip + 1]);
            model.match_logits(text.embeds.clone(), texts.mask.clone(), video)
        };
        let all = Tensor::stack::<3>((0..encoded.embeds.dims()[0]).map(of_clip).collect(), 0);
        fixture.check(&name, TensorKind::Hidden, all, check);
    }
}
