//! What burn-train asks for: the training batches as one of its loaders; and what this crate does not use, a loader of
//! validation batches, a writer of metric files, a renderer, and inference steps. Validation is of whole galleries,
//! after a stage; `metrics.jsonl` holds every number; programs show progress through [`super::TrainEvents`].

use super::metrics_log::LogLine;
use super::{AdamW, BatchStream, FrameMean, StepInput, WarmupCosine};
use crate::model::{Svitt, SvittQa};
use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::tensor::backend::Backend;
use burn_train::logger::MetricLogger;
use burn_train::metric::store::{EpochSummary, MetricsUpdate, Split};
use burn_train::metric::{
    Adaptor, Metric, MetricDefinition, MetricMetadata, MetricName, Numeric, NumericEntry, SerializedEntry,
};
use burn_train::renderer::{
    EvaluationName, EvaluationProgress, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining, ProgressType, TrainingProgress,
};
use burn_train::{InferenceStep, LearningComponentsMarker};
use std::sync::Arc;
use svitt_ops::SvittBackend;

/// The learner's type parameters for model `M`.
pub type Components<B, M> = LearningComponentsMarker<B, WarmupCosine, M, AdamW<B>>;

/// An inference step that does nothing, which the learner wants of every model.
macro_rules! no_inference {
    ($($model:ident),+) => {$(
        impl<B: SvittBackend> InferenceStep for $model<B> {
            type Input = ();
            type Output = ();

            fn step(&self, (): ()) {}
        }
    )+};
}
no_inference!(Svitt, SvittQa, FrameMean);

/// A number of the log line as a metric of burn-train, for the dashboard of the feature `tui`.
#[derive(Clone, Debug)]
pub struct LogMetric {
    name: &'static str,
    value: fn(&LogLine) -> f64,
    last: f64,
}

impl LogMetric {
    /// The metrics of a training stage.
    pub fn all() -> [Self; 4] {
        let metric = |name, value| Self { name, value, last: 0.0 };
        [
            metric("vtc", |line| line.losses.vtc),
            metric("vtm", |line| line.losses.vtm),
            metric("mlm", |line| line.losses.mlm),
            metric("clips/s", |line| line.clips_per_s),
        ]
    }
}

impl Metric for LogMetric {
    type Input = LogLine;

    fn name(&self) -> MetricName {
        Arc::new(self.name.to_string())
    }

    fn update(&mut self, line: &LogLine, _metadata: &MetricMetadata) -> SerializedEntry {
        self.last = (self.value)(line);
        SerializedEntry { formatted: format!("{:.4}", self.last), serialized: self.last.to_string() }
    }

    fn clear(&mut self) {}
}

impl Numeric for LogMetric {
    fn value(&self) -> NumericEntry {
        NumericEntry::Value(self.last)
    }

    fn running_value(&self) -> NumericEntry {
        self.value()
    }
}

impl Adaptor<LogLine> for LogLine {
    fn adapt(&self) -> LogLine {
        self.clone()
    }
}

impl<B: Backend> DataLoaderIterator<StepInput<B>> for BatchStream<B> {
    fn progress(&self) -> Progress {
        Progress::new(self.loader().position().batch, self.loader().batches())
    }
}

/// The training batches.
impl<B: Backend> DataLoader<B, StepInput<B>> for BatchStream<B> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<StepInput<B>> + 'a> {
        Box::new(self.clone())
    }

    fn num_items(&self) -> usize {
        self.loader().items()
    }

    fn to_device(&self, device: &B::Device) -> Arc<dyn DataLoader<B, StepInput<B>>> {
        Arc::new(self.on(device))
    }

    /// The whole sequence: a stage is never split.
    fn slice(&self, _start: usize, _end: usize) -> Arc<dyn DataLoader<B, StepInput<B>>> {
        Arc::new(self.clone())
    }
}

/// A loader of no batches.
pub struct NoValidation;

impl<B: Backend> DataLoader<B, ()> for NoValidation {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<()> + 'a> {
        Box::new(NoBatches)
    }

    fn num_items(&self) -> usize {
        0
    }

    fn to_device(&self, _device: &B::Device) -> Arc<dyn DataLoader<B, ()>> {
        Arc::new(Self)
    }

    fn slice(&self, _start: usize, _end: usize) -> Arc<dyn DataLoader<B, ()>> {
        Arc::new(Self)
    }
}

struct NoBatches;

impl Iterator for NoBatches {
    type Item = ();

    fn next(&mut self) -> Option<()> {
        None
    }
}

impl DataLoaderIterator<()> for NoBatches {
    fn progress(&self) -> Progress {
        Progress::new(0, 0)
    }
}

/// burn-train writes a file per metric and epoch unless it is given a logger.
pub struct NoFiles;

impl MetricLogger for NoFiles {
    fn log(&mut self, _update: MetricsUpdate, _epoch: usize, _split: &Split) {}

    fn read_numeric(&mut self, _name: &str, _epoch: usize, _split: &Split) -> Result<Vec<NumericEntry>, String> {
        Ok(Vec::new())
    }

    fn log_metric_definition(&mut self, _definition: MetricDefinition) {}

    fn log_epoch_summary(&mut self, _summary: EpochSummary) {}
}

/// burn-train prints unless it is given a renderer.
pub struct NoRenderer;

impl MetricsRendererTraining for NoRenderer {
    fn update_train(&mut self, _state: MetricState) {}

    fn update_valid(&mut self, _state: MetricState) {}

    fn render_train(&mut self, _item: TrainingProgress, _indicators: Vec<ProgressType>) {}

    fn render_valid(&mut self, _item: TrainingProgress, _indicators: Vec<ProgressType>) {}
}

impl MetricsRendererEvaluation for NoRenderer {
    fn update_test(&mut self, _name: EvaluationName, _state: MetricState) {}

    fn render_test(&mut self, _item: EvaluationProgress, _indicators: Vec<ProgressType>) {}
}

impl MetricsRenderer for NoRenderer {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, _definition: MetricDefinition) {}
}
