//! One timed unit of work: weights, a batch, and what is done with them.

use super::BenchDirection;
use burn::module::AutodiffModule;
use burn::optim::{GradientsParams, Optimizer};
use burn::tensor::{Distribution, Int, Tensor};
use std::time::Instant;
use svitt::Result;
use svitt::backend::{BackendKind, BackendTask, dispatch, precision};
use svitt::config::{ModelConfig, Precision};
use svitt::loss::MaskRules;
use svitt::model::init::Init;
use svitt::model::{Objective, Pairs, PretrainDraws, Svitt, VideoDraws, VideoEncoder};
use svitt::train::{AdamW, AdamWSettings};
use svitt_ops::TrainBackend;

/// Text tokens of the timed batch, as in pretraining (docs/model.md, "Published settings").
const TEXT: usize = 32;

/// Work that can be repeated, on whichever backend it was prepared for.
pub(super) trait TimedWork {
    /// Does the work once and waits until the device is done.
    fn run(&mut self) -> Result<()>;

    /// Bytes the device's allocator holds, most of it for this work; 0 on CPUs.
    fn device_bytes(&self) -> u64;

    /// Seconds of one [`Self::run`].
    fn timed(&mut self) -> Result<f64> {
        let start = Instant::now();
        self.run()?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// Weights and a batch of `batch` clips for `direction` on `kind`.
///
/// # Errors
/// The backend cannot be used, or `config` does not fit.
pub(super) fn prepare(
    kind: BackendKind,
    config: &ModelConfig,
    direction: BenchDirection,
    batch: usize,
    precision: Precision,
) -> Result<Box<dyn TimedWork>> {
    dispatch(kind, WorkloadSpec { kind, config, direction, batch, precision })?
}

struct WorkloadSpec<'a> {
    kind: BackendKind,
    config: &'a ModelConfig,
    direction: BenchDirection,
    batch: usize,
    precision: Precision,
}

impl BackendTask for WorkloadSpec<'_> {
    type Output = Result<Box<dyn TimedWork>>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let precision = precision::<B>(self.kind, &device, Some(self.precision), Precision::F32)?;
        Ok(Box::new(Workload::<B>::new(&Self { precision, ..self }, &device)?))
    }
}

struct Workload<B: TrainBackend> {
    kind: WorkloadKind<B>,
    video: Tensor<B, 5>,
    device: B::Device,
    step: u64,
}

enum WorkloadKind<B: TrainBackend> {
    Forward(Box<VideoEncoder<B::InnerBackend>>),
    ForwardBackward(Box<VideoEncoder<B>>),
    /// The model is absent while its optimizer step consumes it, so that no second copy of the weights is alive.
    Train(Box<TrainingState<B>>),
}

struct TrainingState<B: TrainBackend> {
    model: Option<Svitt<B>>,
    optimizer: AdamW<B>,
    ids: Vec<i64>,
    vocab: usize,
}

impl<B: TrainBackend> Workload<B> {
    fn new(of: &WorkloadSpec, device: &B::Device) -> Result<Self> {
        let WorkloadSpec { config, direction, batch, precision, .. } = *of;
        let size = config.video.image_size;
        let shape = [batch, config.video.frames, 3, size, size];
        let video = Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), device);
        let encoder = || {
            VideoEncoder::<B>::new(&config.video, config.compat, &mut Init::new(0, device)).with_precision(precision)
        };
        let kind = match direction {
            BenchDirection::Forward => WorkloadKind::Forward(Box::new(encoder().valid())),
            BenchDirection::ForwardBackward => WorkloadKind::ForwardBackward(Box::new(encoder())),
            BenchDirection::Train => WorkloadKind::Train(Box::new(TrainingState {
                model: Some(Svitt::new(config, 0, device)?.with_precision(precision)),
                optimizer: AdamW::new(AdamWSettings::default(), device),
                ids: (0..batch * TEXT).map(|i| 1000 + (i as i64 * 7919) % 20_000).collect(),
                vocab: config.text.vocab_size,
            })),
        };
        Ok(Self { kind, video, device: device.clone(), step: 0 })
    }
}

impl<B: TrainBackend> TimedWork for Workload<B> {
    fn device_bytes(&self) -> u64 {
        B::reserved_bytes(&self.device)
    }

    fn run(&mut self) -> Result<()> {
        self.step += 1;
        let draws = VideoDraws::evaluation(self.step);
        match &mut self.kind {
            WorkloadKind::Forward(encoder) => {
                let output = encoder.forward(self.video.clone().inner(), &draws, None)?;
                encoder.pool(output.hidden, output.frames);
            }
            WorkloadKind::ForwardBackward(encoder) => {
                let output = encoder.forward(self.video.clone(), &draws, None)?;
                let pooled = encoder.pool(output.hidden.clone(), output.frames);
                let loss = output.hidden.mean().add(pooled.mean());
                drop(GradientsParams::from_grads(loss.backward(), &**encoder));
            }
            WorkloadKind::Train(training) => training.step(&self.video, self.step, &self.device)?,
        }
        B::sync(&self.device)
            .map_err(|e| svitt::Error::backend(B::name(&self.device), e.to_string(), "use a smaller --batch"))
    }
}

impl<B: TrainBackend> TrainingState<B> {
    fn step(&mut self, video: &Tensor<B, 5>, step: u64, device: &B::Device) -> Result<()> {
        let Some(model) = self.model.take() else { return Ok(()) };
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
        // The loss is dropped before the optimizer runs: it keeps the batch's activations alive.
        let gradients = {
            let losses = model.losses(&pairs, &draws, &Objective::default())?.losses;
            GradientsParams::from_grads(losses.total.backward(), &model)
        };
        self.model = Some(self.optimizer.step(1e-5, model, gradients));
        Ok(())
    }
}
