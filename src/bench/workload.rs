//! One timed unit of work: weights, a batch, and what is done with them.

use super::Direction;
use crate::Result;
use crate::backend::TrainBackend;
use crate::config::ModelConfig;
use crate::loss::MaskRules;
use crate::model::{Objective, Pairs, PretrainDraws, Svitt, VideoDraws, VideoEncoder};
use crate::train::{AdamW, AdamWSettings};
use burn::module::AutodiffModule;
use burn::optim::{GradientsParams, Optimizer};
use burn::tensor::{Distribution, Int, Tensor};
use std::time::Instant;

/// Text tokens of the timed batch, as in pretraining (SPEC §8).
const TEXT: usize = 32;

pub(super) struct Workload<B: TrainBackend> {
    kind: Kind<B>,
    video: Tensor<B, 5>,
    device: B::Device,
    step: u64,
}

enum Kind<B: TrainBackend> {
    Forward(Box<VideoEncoder<B::InnerBackend>>),
    ForwardBackward(Box<VideoEncoder<B>>),
    Train(Box<Training<B>>),
}

struct Training<B: TrainBackend> {
    model: Svitt<B>,
    optimizer: AdamW<B>,
    ids: Vec<i64>,
    vocab: usize,
}

impl<B: TrainBackend> Workload<B> {
    pub(super) fn new(config: &ModelConfig, direction: Direction, batch: usize, device: &B::Device) -> Result<Self> {
        let size = config.video.image_size;
        let shape = [batch, config.video.frames, 3, size, size];
        let video = Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), device);
        let encoder =
            || VideoEncoder::<B>::new(&config.video, config.compat, &mut crate::model::init::Init::new(0, device));
        let kind = match direction {
            Direction::Forward => Kind::Forward(Box::new(encoder().valid())),
            Direction::ForwardBackward => Kind::ForwardBackward(Box::new(encoder())),
            Direction::Train => Kind::Train(Box::new(Training {
                model: Svitt::new(config, 0, device)?,
                optimizer: AdamW::new(AdamWSettings::default(), device),
                ids: (0..batch * TEXT).map(|i| 1000 + (i as i64 * 7919) % 20_000).collect(),
                vocab: config.text.vocab_size,
            })),
        };
        Ok(Self { kind, video, device: device.clone(), step: 0 })
    }

    /// Does the work once and waits until the device is done.
    pub(super) fn run(&mut self) -> Result<()> {
        self.step += 1;
        let draws = VideoDraws::evaluation(self.step);
        match &mut self.kind {
            Kind::Forward(encoder) => {
                encoder.forward(self.video.clone().inner(), &draws, None)?;
            }
            Kind::ForwardBackward(encoder) => {
                let output = encoder.forward(self.video.clone(), &draws, None)?;
                let gradients = output.hidden.mean().add(output.pooled.mean()).backward();
                drop(GradientsParams::from_grads(gradients, &**encoder));
            }
            Kind::Train(training) => training.step(&self.video, self.step, &self.device)?,
        }
        B::sync(&self.device)
            .map_err(|e| crate::Error::backend(B::name(&self.device), e.to_string(), "use a smaller --batch"))
    }

    /// Seconds of one [`Self::run`].
    pub(super) fn timed(&mut self) -> Result<f64> {
        let start = Instant::now();
        self.run()?;
        Ok(start.elapsed().as_secs_f64())
    }
}

impl<B: TrainBackend> Training<B> {
    fn step(&mut self, video: &Tensor<B, 5>, step: u64, device: &B::Device) -> Result<()> {
        let batch = video.dims()[0];
        let int = |values: Vec<i64>| Tensor::<B, 1, Int>::from_data(values.as_slice(), device);
        let pairs = Pairs {
            video: video.clone(),
            token_ids: int(self.ids.clone()).reshape([batch, TEXT]),
            token_mask: Tensor::ones([batch, TEXT], device),
            identity: Tensor::arange(0..batch as i64, device),
        };
        let (probability, vocab_size) = (0.5, self.vocab);
        let rules = MaskRules { probability, vocab_size, mask_id: 103, never: vec![0, 101], always: Vec::new() };
        let draws = PretrainDraws::seeded(step, &self.ids, [batch, TEXT], Some(&rules), device);
        let losses = self.model.losses(&pairs, &draws, &Objective::default())?.losses;
        let gradients = GradientsParams::from_grads(losses.total.backward(), &self.model);
        self.model = self.optimizer.step(1e-5, self.model.clone(), gradients);
        Ok(())
    }
}
