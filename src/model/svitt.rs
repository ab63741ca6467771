//! The whole model: video encoder, text and fusion encoder, and the heads between them
//! (docs/model.md, "Projection heads"). Singularity and UMT are this model under other choices of
//! [`crate::config::VideoConfig`].

use super::bert::Bert;
use super::draws::VideoDraws;
use super::fusion::{FusionOptions, VideoTokens};
use super::heads::unit_rows;
use super::init::Init;
use super::layers::{Mode, linear};
use super::temporal::TemporalEncoder;
use super::trace::Trace;
use super::video::{VideoEncoder, VideoOutput};
use crate::Result;
use crate::config::{ModelConfig, Precision};
use crate::loss::TEMPERATURE_RANGE;
use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{DType, Int, Tensor, backend::Backend};
use svitt_ops::SvittBackend;
use svitt_ops::device::cast;

/// SViTT, Singularity or UMT.
#[derive(Module, Debug)]
pub struct Svitt<B: Backend> {
    /// Clips to tokens.
    pub video: VideoEncoder<B>,
    /// Over the video tokens that cross-attention sees.
    pub video_norm: LayerNorm<B>,
    /// What joins frames that were encoded one by one, in models that have it.
    pub temporal: Option<TemporalEncoder<B>>,
    /// Texts to tokens, texts and videos to tokens, tokens to words.
    pub text: Bert<B>,
    /// Pooled video to the shared space, `[d, e]`.
    pub video_proj: Linear<B>,
    /// Text position 0 to the shared space, `[hidden, e]`.
    pub text_proj: Linear<B>,
    /// Temperature: cosines are divided by it, `[1]`.
    pub temp: Param<Tensor<B, 1>>,
    /// Fused text position 0 to (no match, match), `[hidden, 2]`.
    pub itm_head: Linear<B>,
}

/// Encoded videos.
#[derive(Clone, Debug)]
pub struct EncodedVideo<B: Backend> {
    /// What cross-attention sees, `[batch, 1 + tokens, d]`, the class token first; with frames encoded one by one
    /// `[batch, frames · (1 + tokens), d]`, each with its own; without class token `[batch, tokens, d]`.
    pub embeds: Tensor<B, 3>,
    /// Vectors of the shared space, `[batch, e]`: of length 1, or, where frames are compared one by one, the mean of
    /// theirs, not longer than 1. The product with a text's vector is the score.
    pub feature: Tensor<B, 2>,
    /// Original patch ids of the tokens alive, `[batch, tokens]`.
    pub token_ids: Tensor<B, 2, Int>,
}

/// Encoded texts.
#[derive(Clone, Debug)]
pub struct EncodedText<B: Backend> {
    /// Output of the text layers, `[batch, tokens, hidden]`.
    pub embeds: Tensor<B, 3>,
    /// Unit vectors of the shared space, `[batch, e]`.
    pub feature: Tensor<B, 2>,
}

impl<B: SvittBackend> Svitt<B> {
    /// Fresh weights for `config`, drawn from `seed`: the same numbers on every backend.
    ///
    /// # Errors
    /// Sizes that do not fit together (see [`ModelConfig::validate`]).
    pub fn new(config: &ModelConfig, seed: u64, device: &B::Device) -> Result<Self> {
        config.validate()?;
        let init = &mut Init::new(seed, device);
        let (video_width, hidden, shared) = (config.video.hidden, config.text.hidden, config.embed_dim);
        Ok(Self {
            video: VideoEncoder::new(&config.video, config.compat, init),
            video_norm: init.layer_norm(video_width, config.video.layer_norm_eps),
            temporal: temporal(config, init),
            text: Bert::new(&config.text, video_width, config.compat, true, init)
                .with_clip_token(config.video.has_clip_token()),
            video_proj: init.linear(video_width, shared),
            text_proj: init.linear(hidden, shared),
            temp: init.constant([1], config.temperature),
            itm_head: init.linear(hidden, 2),
        })
    }

    /// The same weights, computed with in `precision` from here on. The backend must support it
    /// (see [`crate::backend::precision`]).
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.video = self.video.with_precision(precision);
        self.text.precision = precision;
        self
    }

    /// Encodes `video` `[batch, frames, 3, size, size]`.
    ///
    /// # Errors
    /// A clip of another size or length than the model's.
    pub fn encode_video(&self, video: Tensor<B, 5>, draws: &VideoDraws) -> Result<EncodedVideo<B>> {
        self.encode_video_traced(video, draws, None)
    }

    /// [`Self::encode_video`], keeping the intermediates.
    ///
    /// # Errors
    /// As [`Self::encode_video`].
    pub fn encode_video_traced(
        &self,
        video: Tensor<B, 5>,
        draws: &VideoDraws,
        trace: Option<&mut Trace<B>>,
    ) -> Result<EncodedVideo<B>> {
        let output = self.video.forward(video, draws, trace)?;
        Ok(self.read_out(output, draws))
    }

    /// What the other parts of the model see of the video encoder's `output`.
    pub fn read_out(&self, output: VideoOutput<B>, draws: &VideoDraws) -> EncodedVideo<B> {
        EncodedVideo {
            embeds: self.video.for_fusion(&self.video_norm, self.temporal.as_ref(), &output, draws.mode()),
            feature: self.video.feature(&self.video_norm, &self.video_proj, &output),
            token_ids: output.token_ids,
        }
    }

    /// Encodes texts: `ids` and `mask` `[batch, tokens]`, 1 where a token stands.
    pub fn encode_text(&self, ids: Tensor<B, 2, Int>, mask: Tensor<B, 2>) -> EncodedText<B> {
        let embeds = self.text.text(ids, mask, Mode::Eval, None);
        EncodedText { feature: self.text_feature(embeds.clone()), embeds }
    }

    /// Whether texts and videos belong together: `text` `[batch, tokens, hidden]` from [`Self::encode_text`] under
    /// `mask` `[batch, tokens]`, with `video` (as many as texts, or one for all) to logits `[batch, 2]`, class 1: match.
    pub fn match_logits(
        &self,
        text: Tensor<B, 3>,
        mask: Tensor<B, 2>,
        video: impl Into<VideoTokens<B>>,
    ) -> Tensor<B, 2> {
        let fused = self.text.fuse(text, mask, video.into(), FusionOptions::default(), None);
        linear(&self.itm_head, first_token(fused.hidden))
    }

    /// Scores of every word at every position of masked texts that see `video`: `ids` and `mask` `[batch, tokens]` to
    /// `[batch, tokens, vocab]`; none for a model without word head.
    pub fn mlm_logits(
        &self,
        ids: Tensor<B, 2, Int>,
        mask: Tensor<B, 2>,
        video: impl Into<VideoTokens<B>>,
    ) -> Option<Tensor<B, 3>> {
        let text = self.text.text(ids, mask.clone(), Mode::Eval, None);
        self.text.words(self.text.fuse(text, mask, video.into(), FusionOptions::default(), None).hidden)
    }

    /// Unit vectors `[batch, e]` of the shared space from `embeds` `[batch, tokens, hidden]`.
    pub(super) fn text_feature(&self, embeds: Tensor<B, 3>) -> Tensor<B, 2> {
        unit_rows(linear(&self.text_proj, first_token(embeds)))
    }

    /// The model with both encoders and the temperature as constants: gradients reach the fusion encoder and the matching
    /// head alone, and nothing is kept of the encoders' forward for a backward pass. (A detached tensor would be.)
    #[must_use]
    pub fn with_frozen_encoders(self) -> Self {
        Self {
            video: self.video.no_grad(),
            video_norm: self.video_norm.no_grad(),
            temporal: self.temporal.no_grad(),
            text: self.text.with_frozen_text(),
            video_proj: self.video_proj.no_grad(),
            text_proj: self.text_proj.no_grad(),
            temp: self.temp.no_grad(),
            ..self
        }
    }

    /// The model with its temperature put back into [`TEMPERATURE_RANGE`], without gradient; training calls it before
    /// every forward.
    pub fn clamp_temperature(mut self) -> Self {
        let [low, high] = TEMPERATURE_RANGE;
        self.temp = self.temp.map(|temp| {
            let tracked = temp.is_require_grad();
            // A detached leaf is still tracked in Burn 0.21, and what is computed from it is no leaf.
            temp.detach().set_require_grad(false).clamp(low, high).set_require_grad(tracked)
        });
        self
    }
}

/// The temporal encoder of `config`, if it has one.
pub(super) fn temporal<B: SvittBackend>(config: &ModelConfig, init: &mut Init<B>) -> Option<TemporalEncoder<B>> {
    let temporal = config.video.temporal.as_ref()?;
    Some(TemporalEncoder::new(temporal, &config.video, &config.text, init))
}

/// Position 0 of `x` `[batch, tokens, width]`, in f32 for the heads: `[batch, width]`.
pub(super) fn first_token<B: Backend>(x: Tensor<B, 3>) -> Tensor<B, 2> {
    let [batch, _, width] = x.dims();
    cast(x.slice([0..batch, 0..1, 0..width]), DType::F32).reshape([batch, width])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Compat;
    use crate::testing::{assert_close, host, noise, on_cpu_backends, randomized, small_config};
    use burn::backend::Autodiff;

    fn features_are_unit_vectors_and_logits_have_their_shapes<B: SvittBackend>() {
        let device = Default::default();
        let model = randomized(Svitt::<B>::new(&small_config(Compat::Corrected), 1, &device).unwrap(), 2);
        let video = model.encode_video(noise(3, [2, 3, 3, 12, 12]), &VideoDraws::evaluation(0)).unwrap();
        let ids = Tensor::from_data([[1, 9, 30, 4], [1, 17, 5, 0]], &device);
        let mask = Tensor::from_data([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0]], &device);
        let text = model.encode_text(ids.clone(), mask.clone());
        for feature in [video.feature, text.feature] {
            assert_eq!(feature.dims(), [2, 7]);
            assert_close(feature.powi_scalar(2).sum_dim(1), Tensor::ones([2, 1], &device), 1e-5);
        }
        assert_eq!(video.embeds.dims(), [2, 28, 15]);
        assert_eq!(model.match_logits(text.embeds, mask.clone(), video.embeds.clone()).dims(), [2, 2]);
        assert_eq!(model.mlm_logits(ids, mask, video.embeds).unwrap().dims(), [2, 4, 41]);
    }

    fn the_temperature_is_put_back<B: SvittBackend>()
    where
        Autodiff<B>: SvittBackend,
    {
        let mut model = Svitt::<Autodiff<B>>::new(&small_config(Compat::Corrected), 1, &Default::default()).unwrap();
        let id = model.temp.id;
        model.temp = model.temp.map(|temp| Tensor::full([1], 3.07, &temp.device()));
        model.temp = model.temp.set_require_grad(true);
        let model = model.clamp_temperature();
        assert!(model.temp.val().is_require_grad(), "it still learns");
        assert_eq!((host(model.temp.val()), model.temp.id), (vec![0.5], id));
    }

    on_cpu_backends!(features_are_unit_vectors_and_logits_have_their_shapes, the_temperature_is_put_back);

    #[test]
    #[cfg(all(feature = "ndarray", feature = "flex"))]
    fn fresh_weights_are_the_same_on_every_backend() {
        let config = small_config(Compat::Corrected);
        let a = Svitt::<burn_ndarray::NdArray>::new(&config, 5, &Default::default()).unwrap();
        let b = Svitt::<burn_flex::Flex>::new(&config, 5, &Default::default()).unwrap();
        assert_eq!(host(a.text.embeddings.word.weight.val()), host(b.text.embeddings.word.weight.val()));
        assert_eq!(host(a.itm_head.weight.val()), host(b.itm_head.weight.val()));
        assert_eq!(host(a.video.layers[1].qkv.val()), host(b.video.layers[1].qkv.val()));
    }
}
