//! How long a stage lasts, and when it does what.

use super::WarmupCosine;
use crate::config::Stage;

/// What the loop must know of its stage.
#[derive(Clone, Debug)]
pub struct StagePlan {
    /// The stage's name.
    pub name: String,
    /// Its optimizer steps.
    pub steps: usize,
    /// Stop after this many of them (`--max-steps`), at most `steps`.
    pub stop_at: usize,
    /// Micro-batches per optimizer step.
    pub accumulate: usize,
    /// Micro-batches in one pass over the data, each counted once for all workers: an accumulation never reaches into
    /// the next pass.
    pub batches_per_epoch: usize,
    /// Take contrastive negatives from all workers' batches, not from a worker's own alone.
    pub global_negatives: bool,
    /// Learning rates.
    pub schedule: WarmupCosine,
    /// Seconds between checkpoints.
    pub checkpoint_seconds: f64,
    /// Optimizer steps between checkpoints, or none.
    pub checkpoint_steps: Option<usize>,
}

impl StagePlan {
    /// The whole of `stage` on data of `batches` micro-batches a pass; a checkpoint every `checkpoint_seconds`, and
    /// negatives of each worker's own.
    pub fn of(stage: &Stage, batches: usize, checkpoint_seconds: f64) -> Self {
        let batches_per_epoch = batches.max(1);
        let per_epoch = batches_per_epoch.div_ceil(stage.accumulate);
        let steps = (stage.length.steps(per_epoch).round() as usize).max(1);
        Self {
            name: stage.name.clone(),
            steps,
            stop_at: steps,
            accumulate: stage.accumulate,
            batches_per_epoch,
            global_negatives: false,
            schedule: WarmupCosine {
                peak: stage.learning_rate,
                total: steps as f64,
                warmup: stage.warmup.steps(per_epoch),
                minimum: stage.min_multiplier,
                taken: 0,
            },
            checkpoint_seconds,
            checkpoint_steps: None,
        }
    }

    /// Optimizer steps of one pass over the data.
    pub fn steps_per_epoch(&self) -> usize {
        self.batches_per_epoch.div_ceil(self.accumulate)
    }

    /// Micro-batches of the optimizer step that starts at micro-batch `batch` of the stage.
    pub fn micro_batches(&self, batch: usize) -> usize {
        let left = self.batches_per_epoch - batch % self.batches_per_epoch;
        self.accumulate.min(left)
    }

    /// The schedule after `taken` steps.
    pub fn schedule_after(&self, taken: usize) -> WarmupCosine {
        WarmupCosine { taken, ..self.schedule }
    }
}
