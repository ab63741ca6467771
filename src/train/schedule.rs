//! Linear warm-up, then half a cosine, counted in optimizer steps (docs/model.md, "Learning-rate schedule").

use burn::lr_scheduler::LrScheduler;
use burn::tensor::backend::Backend;

/// The learning rate of each optimizer step of one stage. Burn's own cosine starts over after its last step and is
/// advanced on every micro-batch, hence this one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmupCosine {
    /// Learning rate at multiplier 1.
    pub peak: f64,
    /// Steps of the stage, warm-up included.
    pub total: f64,
    /// Steps of linear warm-up; may be fractional, as epochs are.
    pub warmup: f64,
    /// Smallest multiplier, during warm-up and at the end.
    pub minimum: f64,
    /// Steps taken.
    pub taken: usize,
}

impl WarmupCosine {
    /// The multiplier of step `step`, counted from 0: `max(minimum, step/warmup)` before the end of warm-up, then
    /// `max(minimum, (1 + cos π·progress)/2)`.
    pub fn multiplier(&self, step: usize) -> f64 {
        let step = step as f64;
        if step < self.warmup {
            return self.minimum.max(step / self.warmup.max(1.0));
        }
        let progress = ((step - self.warmup) / (self.total - self.warmup).max(1.0)).min(1.0);
        self.minimum.max(0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))
    }

    /// The learning rate of step `step`, counted from 0.
    pub fn rate(&self, step: usize) -> f64 {
        self.peak * self.multiplier(step)
    }
}

impl LrScheduler for WarmupCosine {
    type Record<B: Backend> = usize;

    fn step(&mut self) -> f64 {
        self.taken += 1;
        self.rate(self.taken - 1)
    }

    fn to_record<B: Backend>(&self) -> usize {
        self.taken
    }

    fn load_record<B: Backend>(mut self, record: usize) -> Self {
        self.taken = record;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(total: f64, warmup: f64, minimum: f64) -> WarmupCosine {
        WarmupCosine { peak: 3e-5, total, warmup, minimum, taken: 0 }
    }

    /// (step, multiplier) pairs of the official scheduler.
    fn check(schedule: WarmupCosine, expected: &[(usize, f64)]) {
        for &(step, multiplier) in expected {
            let got = schedule.multiplier(step);
            assert!((got - multiplier).abs() < 1e-12, "step {step}: {got} is not {multiplier}");
        }
    }

    #[test]
    fn multipliers_are_the_published_ones() {
        check(
            schedule(100.0, 10.0, 0.01),
            &[(0, 0.01), (1, 0.1), (9, 0.9), (10, 1.0), (11, 0.9996954135095479), (55, 0.5), (99, 0.01), (102, 0.01)],
        );
        check(schedule(50.0, 0.0, 0.1), &[(0, 1.0), (1, 0.9990133642141358), (13, 0.8422735529643444), (52, 0.1)]);
        check(
            schedule(37.0, 9.25, 0.1),
            &[(0, 0.1), (1, 0.10810810810810811), (9, 0.972972972972973), (10, 0.9981987442712632), (39, 0.1)],
        );
    }

    #[test]
    #[cfg(feature = "flex")]
    fn the_scheduler_counts_steps_and_resumes() {
        let mut straight = schedule(20.0, 3.0, 0.05);
        (0..7).for_each(|_| {
            straight.step();
        });
        let record = straight.to_record::<burn::backend::Autodiff<burn_flex::Flex>>();
        let fresh = schedule(20.0, 3.0, 0.05);
        let mut resumed = fresh.load_record::<burn::backend::Autodiff<burn_flex::Flex>>(record);
        assert_eq!(resumed.step(), straight.step());
        assert_eq!(resumed.taken, 8);
    }
}
