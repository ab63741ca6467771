//! Decides on the device whether a step is applied or skipped (non-finite loss or gradient). Only
//! [`NonFiniteCheck::read`], for log lines, reads back to the host.

use burn::tensor::{Tensor, backend::Backend};
use serde::{Deserialize, Serialize};

/// Added to the norm before dividing, as PyTorch's `clip_grad_norm_` does.
const NORM_EPSILON: f64 = 1e-6;

/// Whether the current step is applied, and counters of skipped steps.
#[derive(Clone, Debug)]
pub struct NonFiniteCheck<B: Backend> {
    /// 1 where the last judged step was applied, 0 where it was skipped: `[1]`.
    pub applied: Tensor<B, 1>,
    /// Skipped steps in a row up to now, skipped steps in all, the last skipped step (counted from 1, 0 for none):
    /// `[3]`.
    pub skip_counts: Tensor<B, 1>,
    /// Steps judged.
    pub steps: usize,
    loss: Option<Tensor<B, 1>>,
}

/// Skip counters on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedSteps {
    /// Skipped steps in a row up to now.
    pub streak: usize,
    /// Skipped steps in all.
    pub total: usize,
    /// The last skipped step of the stage, counted from 1; 0 for none.
    pub last: usize,
}

impl<B: Backend> NonFiniteCheck<B> {
    /// No step judged yet.
    pub fn new(device: &B::Device) -> Self {
        Self { applied: Tensor::zeros([1], device), skip_counts: Tensor::zeros([3], device), steps: 0, loss: None }
    }

    /// Goes on from saved counts.
    pub fn resume(steps: usize, skipped: SkippedSteps, device: &B::Device) -> Self {
        let skip_counts = [skipped.streak as f32, skipped.total as f32, skipped.last as f32];
        Self { skip_counts: Tensor::from_floats(skip_counts, device), steps, ..Self::new(device) }
    }

    /// The loss the next verdict depends on: `[1]`.
    pub fn observe(&mut self, loss: Tensor<B, 1>) {
        self.loss = Some(loss);
    }

    /// Decides on a step by its loss and the sum of squared gradients (`[1]`); returns the factor `[1]` that clips the
    /// global norm to `max_norm`.
    pub fn update(&mut self, squares: Tensor<B, 1>, max_norm: Option<f64>) -> Option<Tensor<B, 1>> {
        self.steps += 1;
        let evidence = match self.loss.take() {
            Some(loss) => squares.clone() + loss,
            None => squares.clone(),
        };
        // x − x is 0 for finite x and NaN otherwise, on every backend.
        self.applied = (evidence.clone() - evidence).equal_elem(0.0).float();
        let skipped = self.applied.clone().neg().add_scalar(1.0);
        let [streak, total, last] = [0, 1, 2].map(|place| self.skip_counts.clone().narrow(0, place, 1));
        let step = skipped.clone().mul_scalar(self.steps as f64);
        let parts = vec![(streak + 1.0) * skipped.clone(), total + skipped, last * self.applied.clone() + step];
        self.skip_counts = Tensor::cat(parts, 0);
        max_norm.map(|limit| squares.sqrt().add_scalar(NORM_EPSILON).recip().mul_scalar(limit).clamp_max(1.0))
    }

    /// The counts on the host; waits for the device.
    pub fn read(&self) -> SkippedSteps {
        let data = self.skip_counts.to_data().convert::<f32>();
        match data.as_slice::<f32>() {
            Ok(&[streak, total, last]) => {
                SkippedSteps { streak: streak as usize, total: total as usize, last: last as usize }
            }
            _ => SkippedSteps::default(),
        }
    }
}
