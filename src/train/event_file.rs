//! The metrics log as TensorBoard reads it: an event file beside `metrics.jsonl`.

use super::metrics_log::LogLine;
use crate::{Error, Result};
use std::path::Path;

#[cfg(feature = "tensorboard")]
pub use written::EventFile;

/// What a logged step is called in TensorBoard, and its value. Losses that were not numbers have none.
#[cfg_attr(not(feature = "tensorboard"), allow(dead_code, reason = "what would be written"))]
fn scalars(line: &LogLine) -> Vec<(&'static str, f64)> {
    let losses = [("loss/vtc", line.losses.vtc), ("loss/vtm", line.losses.vtm), ("loss/mlm", line.losses.mlm)];
    let mut scalars = match (line.finite, line.losses.answer) {
        (false, _) => Vec::new(),
        (true, Some(answer)) => vec![("loss/answer", answer)],
        (true, None) => losses.to_vec(),
    };
    scalars.extend([
        ("stage", line.stage as f64),
        ("learning_rate", line.lr),
        ("clips_per_s", line.clips_per_s),
        ("data_wait_share", line.data_wait_share),
        ("memory_mb", line.memory_mb),
        ("skipped_updates", line.skipped_updates as f64),
    ]);
    if let Some(exchange) = line.exchange {
        scalars.extend([
            ("exchange/mb_per_step", exchange.mb_per_step),
            ("exchange/s_per_step", exchange.s_per_step),
            ("exchange/wait_share", exchange.wait_share),
        ]);
    }
    scalars
}

#[cfg(feature = "tensorboard")]
mod written {
    use super::super::event_format::Event;
    use super::{Error, LogLine, Path, Result, scalars};
    use std::fs::File;
    use std::io::Write;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::{SystemTime, UNIX_EPOCH};

    /// TensorBoard looks for `tfevents` in the name. One file a run, so that a resumed run shows no step twice.
    const NAME: &str = "events.out.tfevents.svitt";

    /// The event file of a run.
    #[derive(Clone, Debug)]
    pub struct EventFile {
        path: PathBuf,
        file: Arc<File>,
    }

    impl EventFile {
        /// Starts the event file of the run in `out`, with the `lines` it has already logged: TensorBoard shows these
        /// at the time of the resumption, because the log does not say when they were.
        ///
        /// # Errors
        /// The file cannot be written.
        pub fn create(out: &Path, lines: &[LogLine]) -> Result<Self> {
            let path = out.join(NAME);
            let file = Arc::new(File::create(&path).map_err(|error| Error::io(&path, &error))?);
            let events = Self { path, file };
            events.write(&Event::first(now()))?;
            lines.iter().try_for_each(|line| events.add(line))?;
            Ok(events)
        }

        /// Adds one line.
        ///
        /// # Errors
        /// The disk is full.
        pub fn add(&self, line: &LogLine) -> Result<()> {
            self.write(&Event::scalars(now(), line.step as i64, scalars(line)))
        }

        /// A record in one call, so that a reader sees it whole.
        fn write(&self, event: &Event) -> Result<()> {
            (&*self.file).write_all(&event.record()).map_err(|error| Error::io(&self.path, &error))
        }
    }

    /// Seconds since 1970.
    fn now() -> f64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::train::LossValues;
        use crate::train::event_format;

        /// Step, name and value of everything in the file.
        fn read(out: &Path) -> Vec<(i64, String, f32)> {
            let events = event_format::read(&std::fs::read(out.join(NAME)).unwrap());
            assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
            let rows = |event: Event| {
                let values = event.summary.unwrap().values.into_iter();
                values.map(move |value| (event.step, value.tag, value.number.unwrap()))
            };
            events.into_iter().skip(1).flat_map(rows).collect()
        }

        #[test]
        fn every_logged_step_is_there_once() {
            let folder = tempfile::tempdir().unwrap();
            let losses = LossValues { vtc: 1.5, vtm: 0.5, mlm: 4.0, answer: None };
            let line = |step| LogLine { step, losses, finite: step != 20, lr: 1e-3, ..LogLine::default() };
            EventFile::create(folder.path(), &[]).unwrap().add(&line(99)).unwrap();
            let events = EventFile::create(folder.path(), &[line(1), line(10)]).unwrap();
            events.add(&line(20)).unwrap();
            let found = read(folder.path());
            let of = |name: &str| -> Vec<(i64, f32)> {
                let named = found.iter().filter(|(_, tag, _)| tag == name);
                named.map(|(step, _, value)| (*step, *value)).collect()
            };
            assert_eq!(of("loss/vtc"), [(1, 1.5), (10, 1.5)], "a loss that is no number is left out");
            assert_eq!(of("learning_rate"), [(1, 1e-3), (10, 1e-3), (20, 1e-3)]);
        }
    }
}

/// What builds without the feature have in its place.
#[cfg(not(feature = "tensorboard"))]
#[derive(Clone, Debug)]
pub enum EventFile {}

#[cfg(not(feature = "tensorboard"))]
impl EventFile {
    /// Refuses.
    ///
    /// # Errors
    /// Always: this build cannot write it.
    pub fn create(_out: &Path, _lines: &[LogLine]) -> Result<Self> {
        let remedy = "build with `--features tensorboard`, or leave it out";
        Err(Error::setting("tensorboard", "this build writes no event files", remedy))
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn add(&self, _line: &LogLine) -> Result<()> {
        match *self {}
    }
}
