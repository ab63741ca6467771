//! The metrics log of a run: one line of `metrics.jsonl` per logged step, and the same as text.

use super::event_file::EventFile;
use crate::{Error, Result, files, input};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes of a log: a line takes 400, so this is 335,000 logged lines, one for every tenth step.
const LARGEST: u64 = 128 << 20;

/// The losses of one step, unsmoothed: three of pretraining, or the one of question answering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossValues {
    /// Video-text contrastive.
    pub vtc: f64,
    /// Video-text matching.
    pub vtm: f64,
    /// Masked language modelling.
    pub mlm: f64,
    /// Words of answers, in question answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<f64>,
}

impl LossValues {
    /// Whether every loss is a number.
    pub fn is_finite(&self) -> bool {
        [self.vtc, self.vtm, self.mlm, self.answer.unwrap_or(0.0)].iter().all(|loss| loss.is_finite())
    }
}

/// One logged step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Stage, counted from 1.
    pub stage: usize,
    /// Its name.
    pub stage_name: String,
    /// Optimizer steps of the whole run, this one included.
    pub step: usize,
    /// Optimizer steps of the stage, this one included.
    pub stage_step: usize,
    /// Optimizer steps the stage will have.
    pub stage_steps: usize,
    /// Losses of this step; where `finite` is false, of the last logged step that had finite ones, because JSON has no
    /// other numbers.
    pub losses: LossValues,
    /// Whether the losses of this step were numbers.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub finite: bool,
    /// Learning rate of this step.
    pub lr: f64,
    /// Clips per second since the last logged step.
    pub clips_per_s: f64,
    /// Share of that time spent waiting for data, 0 to 1.
    pub data_wait_share: f64,
    /// Largest resident memory so far, MB; 0 where the system does not say.
    pub memory_mb: f64,
    /// Updates skipped for a non-finite loss or gradient, in this stage.
    pub skipped_updates: usize,
    /// Seconds this stage will still take at the present speed.
    pub eta_s: f64,
    /// What process 0 exchanged with the others, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<ExchangeLog>,
}

/// The exchange of process 0 with the other processes since the last logged step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExchangeLog {
    /// Processes in the job.
    pub processes: usize,
    /// Megabytes (10⁶ bytes) sent to others, per optimizer step.
    pub mb_per_step: f64,
    /// Seconds an exchange was under way, waiting for slower processes included, per optimizer step.
    pub s_per_step: f64,
    /// Share of the time that the training thread waited for it, 0 to 1.
    pub wait_share: f64,
}

fn yes() -> bool {
    true
}

impl LogLine {
    /// The line shown to the user.
    pub fn summary(&self) -> String {
        let LossValues { vtc, vtm, mlm, answer } = self.losses;
        let losses = match answer {
            Some(answer) => format!("answer {answer:.3}"),
            None => format!("vtc {vtc:.3}  vtm {vtm:.3}  mlm {mlm:.3}"),
        };
        let losses = if self.finite { losses } else { "loss not finite".into() };
        let exchange = self.exchange.map_or_else(String::new, |x| format!("  exchange {:.0} %", 100.0 * x.wait_share));
        format!(
            "{} {}/{}  {losses}  lr {:.1e}  {:.0} clips/s  data {:.0} %{exchange}  {:.0} MB  ETA {}",
            self.stage_name,
            self.stage_step,
            self.stage_steps,
            self.lr,
            self.clips_per_s,
            100.0 * self.data_wait_share,
            self.memory_mb,
            format_duration(self.eta_s),
        )
    }
}

/// Seconds as `1:02:03` or `2:03`.
pub fn format_duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        hours => format!("{hours}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

/// `metrics.jsonl` of one run.
#[derive(Clone, Debug)]
pub struct MetricsLog {
    file: PathBuf,
    events: Option<EventFile>,
}

impl MetricsLog {
    /// Opens the metrics log of the run in `out` and cuts every line beyond optimizer step `step` of the run: a resumed
    /// run writes those again.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn open(out: &Path, step: usize) -> Result<Self> {
        let metrics_log = Self { file: out.join("metrics.jsonl"), events: None };
        let kept: Vec<LogLine> = metrics_log.lines()?.into_iter().filter(|line| line.step <= step).collect();
        let text = kept.iter().map(to_line).collect::<Result<String>>()?;
        files::write_own(&metrics_log.file, text)?;
        Ok(metrics_log)
    }

    /// The same, with an event file for TensorBoard beside it if `wanted`.
    ///
    /// # Errors
    /// The file cannot be written, or this build cannot write it.
    pub fn with_tensorboard(self, wanted: bool) -> Result<Self> {
        let folder = self.file.parent().unwrap_or(Path::new(""));
        let events = if wanted { Some(EventFile::create(folder, &self.lines()?)?) } else { None };
        Ok(Self { events, ..self })
    }

    /// Adds one line.
    ///
    /// # Errors
    /// The disk is full.
    pub fn add(&self, line: &LogLine) -> Result<()> {
        let text = to_line(line)?;
        let write = || OpenOptions::new().append(true).create(true).open(&self.file)?.write_all(text.as_bytes());
        write().map_err(|e| Error::io(&self.file, &e))?;
        self.events.as_ref().map_or(Ok(()), |events| events.add(line))
    }

    /// All lines; a last line cut short by a kill is left out.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn lines(&self) -> Result<Vec<LogLine>> {
        match input::read(&self.file, LARGEST) {
            // The file may be cut inside a multi-byte character.
            Ok(bytes) => {
                Ok(String::from_utf8_lossy(&bytes).lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
            }
            Err(e) if e.is_not_found() => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }
}

fn to_line(line: &LogLine) -> Result<String> {
    let text = serde_json::to_string(line)
        .map_err(|e| Error::setting("metrics.jsonl", e.to_string(), "report this as a bug"))?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: usize) -> LogLine {
        LogLine {
            step,
            stage_step: step,
            stage_steps: 40,
            stage_name: "ördnung".into(),
            finite: true,
            eta_s: 71.6,
            ..LogLine::default()
        }
    }

    #[test]
    fn lines_beyond_the_checkpoint_are_cut() {
        let folder = tempfile::tempdir().unwrap();
        let metrics_log = MetricsLog::open(folder.path(), 0).unwrap();
        [1, 10, 20, 30].iter().for_each(|&step| metrics_log.add(&line(step)).unwrap());
        let file = folder.path().join("metrics.jsonl");
        let half = [std::fs::read(&file).unwrap().as_slice(), b"{\"stage\":1,\"stage_name\":\"\xc3"].concat();
        std::fs::write(&file, half).unwrap();
        let resumed = MetricsLog::open(folder.path(), 20).unwrap();
        let steps: Vec<usize> = resumed.lines().unwrap().iter().map(|line| line.step).collect();
        assert_eq!(steps, [1, 10, 20]);
    }

    #[test]
    #[cfg(unix)]
    fn a_link_is_replaced_and_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (precious, file) = (folder.path().join("precious"), folder.path().join("metrics.jsonl"));
        std::fs::write(&precious, "mine").unwrap();
        std::os::unix::fs::symlink(&precious, &file).unwrap();
        MetricsLog::open(folder.path(), 0).unwrap().add(&line(1)).unwrap();
        assert_eq!(std::fs::read(&precious).unwrap(), b"mine");
        assert!(std::fs::read_to_string(&file).unwrap().contains("\"step\":1"));
    }

    #[test]
    fn the_text_line_has_its_fields() {
        let summary = line(7).summary();
        assert!(summary.starts_with("ördnung 7/40  vtc 0.000") && summary.ends_with("ETA 1:12"), "{summary}");
        assert_eq!(format_duration(3723.0), "1:02:03");
        let lost = LogLine { finite: false, ..line(7) };
        assert!(lost.summary().contains("loss not finite"), "{}", lost.summary());
        assert_eq!(serde_json::from_str::<LogLine>(&to_line(&lost).unwrap()).unwrap(), lost);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_known_on_linux() {
        assert!(crate::profile::peak_memory_mb() > 1.0);
    }
}
