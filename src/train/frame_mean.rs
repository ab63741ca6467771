//! A baseline without temporal order: frames are encoded one by one, the video feature is the mean of the frames'
//! features, and cross-attention sees the frames' tokens as a set. If it exceeds the unordered ceiling, the benchmark
//! is broken.

use super::input::{StepInput, StepOutput};
use super::validate::RetrievalModel;
use crate::Result;
use crate::config::PUBLISHED_SHARPNESS;
use crate::loss::{contrastive, hard_negatives, masked_language, matching, similarity};
use crate::model::{PretrainDraws, Svitt, VideoDraws, VideoTokens};
use burn::module::{AutodiffModule, Module};
use burn::optim::{GradientsParams, Optimizer};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor};
use burn_train::{TrainOutput, TrainStep};
use svitt_ops::{SvittBackend, TrainBackend};

/// The baseline around a model of one-frame clips.
#[derive(Module, Debug)]
pub struct FrameMean<B: Backend> {
    /// Encodes frames and texts.
    pub model: Svitt<B>,
}

impl<B: SvittBackend> RetrievalModel<B> for FrameMean<B> {
    fn svitt(&self) -> &Svitt<B> {
        &self.model
    }

    fn encode(&self, video: Tensor<B, 5>, draws: &VideoDraws) -> Result<(Tensor<B, 2>, Tensor<B, 3>)> {
        let [batch, frames, channels, height, width] = video.dims();
        let encoded = self.model.encode_video(video.reshape([batch * frames, 1, channels, height, width]), draws)?;
        let [_, tokens, d] = encoded.embeds.dims();
        let shared = encoded.feature.dims()[1];
        let mean = encoded.feature.reshape([batch, frames, shared]).mean_dim(1).reshape([batch, shared]);
        let length = (mean.clone() * mean.clone()).sum_dim(1).add_scalar(1e-12).sqrt();
        Ok((mean / length, encoded.embeds.reshape([batch, frames * tokens, d])))
    }
}

impl<B: SvittBackend> FrameMean<B> {
    /// vtc, vtm and mlm, `[1]` each (docs/model.md, "Losses").
    fn losses(&self, input: &StepInput<B>) -> Result<[Tensor<B, 1>; 3]> {
        let (batch, model) = (&input.batch, &self.model);
        let (ids, mask) = (batch.token_ids.clone(), batch.token_mask.clone());
        let shape = [batch.host.len(), batch.host.tokens];
        let masking = input.step_config.masking.as_ref();
        let device = batch.video.device();
        let draws = PretrainDraws::seeded(input.key.seed("step"), &batch.host.token_ids, shape, masking, &device);
        let (feature, embeds) = self.encode(batch.video.clone(), &draws.video)?;
        let text = model.encode_text(ids, mask.clone());
        let vtc = |scores| match &input.peers {
            None => contrastive(scores, &batch.identity),
            Some(peers) => peers.contrastive(feature.clone(), text.feature.clone(), model.temp.val()),
        };
        let scores = similarity(feature.clone(), text.feature.clone(), model.temp.val());
        let negatives = hard_negatives(scores.clone(), &batch.identity, &draws.negatives, PUBLISHED_SHARPNESS);
        let own = Tensor::<B, 1, Int>::arange(0..shape[0] as i64, &device);
        let states = Tensor::cat(
            vec![text.embeds.clone(), text.embeds.clone(), text.embeds.select(0, negatives.text.clone())],
            0,
        );
        let masks = Tensor::cat(vec![mask.clone(), mask.clone(), mask.clone().select(0, negatives.text)], 0);
        let rows = Some(Tensor::cat(vec![own.clone(), negatives.video, own], 0));
        let logits = model.match_logits(states, masks, VideoTokens { embeds: embeds.clone(), rows });
        let words = draws.masked.and_then(|masked| {
            let logits = model.mlm_logits(masked.ids, mask, embeds)?;
            Some(masked_language(logits, masked.labels))
        });
        let mlm = words.unwrap_or_else(|| Tensor::zeros([1], &device));
        Ok([vtc(scores), matching(logits, &batch.identity), mlm])
    }
}

impl<B: TrainBackend> TrainStep for FrameMean<B> {
    type Input = StepInput<B>;
    type Output = StepOutput<B::InnerBackend>;

    fn step(&self, input: StepInput<B>) -> TrainOutput<Self::Output> {
        let losses = match self.losses(&input) {
            Ok(losses) => losses,
            // As in the model's own step: the loader was built for this model's clips.
            Err(error) => unreachable!("a validated stage met a clip of another size: {error}"),
        };
        let total = losses
            .iter()
            .cloned()
            .reduce(|a, b| a + b)
            .unwrap_or_else(|| Tensor::zeros([1], &input.batch.video.device()));
        let each = Tensor::cat(losses.to_vec(), 0).inner();
        let output = StepOutput { losses: each, total: total.clone().inner(), line: Default::default() };
        TrainOutput::new(self, total.backward(), output)
    }

    fn optimize<A, O>(self, optim: &mut O, lr: f64, grads: GradientsParams) -> Self
    where
        A: AutodiffBackend,
        O: Optimizer<Self, A>,
        Self: AutodiffModule<A>,
    {
        let stepped = optim.step(lr, self, grads);
        Self { model: stepped.model.clamp_temperature() }
    }
}
