//! A training step of the whole model: forward, three losses, backward.

use super::input::{StepInput, StepOutput};
use crate::model::{Pairs, PretrainDraws, Svitt};
use burn::module::AutodiffModule;
use burn::optim::{GradientsParams, Optimizer};
use burn::tensor::{Tensor, backend::AutodiffBackend};
use burn_train::{TrainOutput, TrainStep};
use svitt_ops::TrainBackend;

impl<B: TrainBackend> TrainStep for Svitt<B> {
    type Input = StepInput<B>;
    type Output = StepOutput<B::InnerBackend>;

    fn step(&self, StepInput { batch, key, step_config, peers }: StepInput<B>) -> TrainOutput<Self::Output> {
        let shape = [batch.host.len(), batch.host.tokens];
        let device = batch.video.device();
        let masking = step_config.masking.as_ref();
        let mut draws = PretrainDraws::seeded(key.seed("step"), &batch.host.token_ids, shape, masking, &device)
            .with_keep_range(step_config.keep_range, key.shared_seed("keep rate"));
        // One draw of block graphs serves a batch, on however many devices it lies; and one keep rate, so that no
        // device waits for another.
        draws.video.graph = PretrainDraws::<B>::graph(key.shared_seed("step"));
        let pairs = Pairs {
            video: batch.video,
            token_ids: batch.token_ids,
            token_mask: batch.token_mask,
            identity: batch.identity,
        };
        let frozen = step_config.frozen_encoders.then(|| self.clone().with_frozen_encoders());
        let model = frozen.as_ref().unwrap_or(self);
        let losses = match model.losses_with_gather(&pairs, &draws, &step_config.objective, peers.as_deref()) {
            Ok(output) => output.losses,
            // The loader was built for this model's clips and the stage was validated: nothing a person can cause.
            Err(error) => unreachable!("a validated stage met a clip of another size: {error}"),
        };
        let each = Tensor::cat(vec![losses.vtc, losses.vtm, losses.mlm], 0).inner();
        let output = StepOutput { losses: each, total: losses.total.clone().inner(), line: Default::default() };
        TrainOutput::new(self, losses.total.backward(), output)
    }

    /// An optimizer step, after which the temperature is put back into its range; the published code does so before
    /// each forward (docs/model.md, "Contrastive loss").
    fn optimize<A, O>(self, optim: &mut O, lr: f64, grads: GradientsParams) -> Self
    where
        A: AutodiffBackend,
        O: Optimizer<Self, A>,
        Self: AutodiffModule<A>,
    {
        optim.step(lr, self, grads).clamp_temperature()
    }
}
