//! What a run tells while it goes on.

use super::{LogLine, StageReport};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Something that happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum TrainEvent<'a> {
    /// The run is about to begin.
    Started {
        /// What it shows, in words.
        title: &'a str,
        /// The folder it writes to.
        out: &'a Path,
    },
    /// A step was logged.
    Step(&'a LogLine),
    /// A stage of pretraining was trained and measured.
    Stage(&'a StageReport),
    /// A fine-tuning was validated; what is called the best is on disk.
    Validated {
        /// Optimizer steps taken.
        step: usize,
        /// Optimizer steps of the whole run.
        steps: usize,
        /// The score that is compared, percent.
        score: f64,
        /// Whether it is the best so far.
        best: bool,
    },
}

/// What hears of events.
type Listener = dyn Fn(TrainEvent<'_>) + Send + Sync;

/// Who is told; nobody by default.
#[derive(Clone, Default)]
pub struct TrainEvents(Option<Arc<Listener>>);

impl TrainEvents {
    /// Tells `listener`, on the thread that trains.
    pub fn new(listener: impl Fn(TrainEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Tells of `event`.
    pub fn tell(&self, event: TrainEvent<'_>) {
        if let Some(listener) = &self.0 {
            listener(event);
        }
    }
}

impl fmt::Debug for TrainEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "TrainEvents(listener)" } else { "TrainEvents(nobody)" })
    }
}
