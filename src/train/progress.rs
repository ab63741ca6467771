//! Progress of a stage: burn-train's metric events as one line per logged step, rewritten in place on a terminal.
//! (Burn's plain renderer prints no values; its dashboard is the feature `tui`.)

use super::metrics_log::LogLine;
use burn_train::metric::{
    Adaptor, Metric, MetricDefinition, MetricId, MetricMetadata, MetricName, Numeric, NumericEntry, SerializedEntry,
};
use burn_train::renderer::{
    EvaluationName, EvaluationProgress, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining, ProgressType, TrainingProgress,
};
use std::io::{IsTerminal, Write};
use std::sync::Arc;

/// A number of the log line as a metric of burn-train, for its store and its dashboard.
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

/// The whole log line as a text metric; [`Progress`] prints it.
#[derive(Clone, Debug)]
pub struct LogLineMetric;

const LOG_LINE: &str = "progress";

impl Metric for LogLineMetric {
    type Input = LogLine;

    fn name(&self) -> MetricName {
        Arc::new(LOG_LINE.to_string())
    }

    fn update(&mut self, line: &LogLine, _metadata: &MetricMetadata) -> SerializedEntry {
        SerializedEntry { formatted: line.sentence(), serialized: line.step.to_string() }
    }

    fn clear(&mut self) {}
}

impl Adaptor<LogLine> for LogLine {
    fn adapt(&self) -> LogLine {
        self.clone()
    }
}

/// The renderer.
#[derive(Clone, Debug)]
pub struct Progress {
    terminal: bool,
    sentence: Option<MetricId>,
    line: String,
}

impl Default for Progress {
    fn default() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), sentence: None, line: String::new() }
    }
}

impl Progress {
    fn show(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return;
        }
        let mut out = std::io::stdout().lock();
        // A closed pipe must not end a training run.
        let _ = if self.terminal {
            write!(out, "\r\x1b[2K{line}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
    }
}

impl MetricsRendererTraining for Progress {
    fn update_train(&mut self, state: MetricState) {
        if let MetricState::Generic(entry) = state
            && Some(&entry.metric_id) == self.sentence.as_ref()
        {
            self.line = entry.serialized_entry.formatted;
        }
    }

    fn update_valid(&mut self, _state: MetricState) {}

    fn render_train(&mut self, _item: TrainingProgress, _indicators: Vec<ProgressType>) {
        self.show();
    }

    fn render_valid(&mut self, _item: TrainingProgress, _indicators: Vec<ProgressType>) {}

    fn on_train_end(&mut self, _summary: Option<burn_train::LearnerSummary>) -> Result<(), Box<dyn std::error::Error>> {
        if self.terminal {
            crate::terminal::say("");
        }
        Ok(())
    }
}

impl MetricsRendererEvaluation for Progress {
    fn update_test(&mut self, _name: EvaluationName, _state: MetricState) {}

    fn render_test(&mut self, _item: EvaluationProgress, _indicators: Vec<ProgressType>) {}
}

impl MetricsRenderer for Progress {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, definition: MetricDefinition) {
        if definition.name == LOG_LINE {
            self.sentence = Some(definition.metric_id);
        }
    }
}
