//! What goes into a training step and what comes out of it.

use super::finetune::TokenizedQuestions;
use super::metrics_log::LogLine;
use crate::data::VideoTextBatch;
use crate::loss::MaskRules;
use crate::model::{FeatureGather, Objective};
use burn::tensor::{Tensor, backend::Backend};
use burn_train::ItemLazy;
use std::sync::Arc;
use svitt_ops::rng::{Rng, key};

/// Identifies the random draws of one forward pass: all are functions of these numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepKey {
    /// Seed of the run.
    pub seed: u64,
    /// Stage, counted from 0.
    pub stage: usize,
    /// Batch of the stage, counted from 0.
    pub batch: usize,
    /// The worker that has this part of the batch, counted from 0.
    pub worker: usize,
}

impl StepKey {
    /// The seed of draw `purpose` of this pass.
    pub fn seed(&self, purpose: &str) -> u64 {
        let shared = self.shared_seed(purpose);
        if self.worker == 0 { shared } else { key(shared, &[self.worker as u64]) }
    }

    /// The seed of draw `purpose` that all workers have in common: worker 0's, and that of a run on one device.
    pub fn shared_seed(&self, purpose: &str) -> u64 {
        key(self.seed, &[self.stage as u64, self.batch as u64, svitt_ops::rng::text_key(purpose)])
    }

    /// The stream of draw `purpose` of this pass.
    pub fn rng(&self, purpose: &str) -> Rng {
        Rng::new(self.seed(purpose), &[])
    }
}

/// Settings shared by all steps of a stage.
#[derive(Clone, Debug, Default)]
pub struct StepConfig {
    /// Which losses count how much.
    pub objective: Objective,
    /// Leaves both encoders and the temperature as they are.
    pub frozen_encoders: bool,
    /// Where each step's q_v is drawn from; none: the configured one.
    pub keep_range: Option<[f64; 2]>,
    /// How words are masked; none: no masked-language loss.
    pub masking: Option<MaskRules>,
    /// Questions about the clips; empty outside question answering.
    pub clip_questions: Arc<TokenizedQuestions>,
}

/// A batch and the name of its draws.
#[derive(Clone, Debug)]
pub struct StepInput<B: Backend> {
    /// Clips and captions.
    pub batch: VideoTextBatch<B>,
    /// Its draws.
    pub key: StepKey,
    /// The run's losses and masking.
    pub step_config: Arc<StepConfig>,
    /// The other workers' batches, where contrastive negatives come from them too.
    pub peers: Option<Arc<dyn FeatureGather<B>>>,
}

/// The losses of one forward pass, still on the device.
#[derive(Clone, Debug)]
pub struct StepOutput<B: Backend> {
    /// vtc, vtm, mlm: `[3]`; in question answering the answers' alone: `[1]`.
    pub losses: Tensor<B, 1>,
    /// What was differentiated: `[1]`.
    pub total: Tensor<B, 1>,
    /// The log line, on logged steps.
    pub line: LogLine,
}

impl<B: Backend> ItemLazy for StepOutput<B> {
    type ItemSync = LogLine;

    fn sync(self) -> LogLine {
        self.line
    }
}
