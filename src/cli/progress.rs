//! Progress of long work: a bar on a terminal, plain lines elsewhere.

use super::output;
use super::terminal::{end_bar, move_bar, note, say, shows_bars};
use crate::progress::ProgressSink;
use crate::train::{StageReport, TrainEvent, TrainEvents, stage_ceilings, stage_rows};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// No progress is shown of work shorter than this.
const QUIET: Duration = Duration::from_secs(2);

/// Shows how far work is, on standard error: a bar on a terminal, a line every tenth elsewhere.
pub fn shown() -> ProgressSink {
    let state = Mutex::new(Work { what: String::new(), started: Instant::now(), done: 0, tenths: 0 });
    ProgressSink::new(move |progress| {
        let mut work = state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = work.line(progress.what, progress.done, progress.total, shows_bars()) {
            match shows_bars() {
                true => move_bar(progress.done, progress.total, &line),
                false => note(line),
            }
        }
    })
}

/// The work that is being shown.
struct Work {
    what: String,
    started: Instant,
    done: usize,
    tenths: usize,
}

impl Work {
    /// The line for `done` of `total`, if one is due.
    fn line(&mut self, what: &str, done: usize, total: usize, bar: bool) -> Option<String> {
        if what != self.what || done < self.done {
            *self = Self { what: what.to_owned(), started: Instant::now(), done: 0, tenths: 0 };
        }
        self.done = done;
        let taken = self.started.elapsed();
        let tenths = 10 * done / total.max(1);
        if taken < QUIET || (!bar && tenths <= self.tenths) {
            return None;
        }
        self.tenths = tenths;
        let left = taken.as_secs_f64() * total.saturating_sub(done) as f64 / done.max(1) as f64;
        Some(format!("{what}: {done} of {total}, {left:.0} s left"))
    }
}

/// Shows how a training goes: a bar on a terminal and a line per logged step elsewhere; tables of stages on standard
/// output.
pub fn training() -> TrainEvents {
    let person = shows_bars() && std::io::stdout().is_terminal();
    TrainEvents::new(move |event| match event {
        TrainEvent::Started { title, out } => say(format_args!("{title}\nwriting to {}", out.display())),
        // burn-train's dashboard has the terminal then.
        TrainEvent::Step(_) if person && cfg!(feature = "tui") => {}
        TrainEvent::Step(line) if person => move_bar(line.stage_step, line.stage_steps, &line.summary()),
        TrainEvent::Step(line) => say(line.summary()),
        TrainEvent::Stage(report) => {
            end_bar();
            say(format_args!("{}\n", stages_text(std::slice::from_ref(report))));
        }
        TrainEvent::Validated { step, steps, score, best } => {
            end_bar();
            let best = if best { ", the best so far" } else { "" };
            say(format_args!("step {step} of {steps}: validation {score:.2}{best}"));
        }
    })
}

/// The table of stages as plain text, ceilings below.
pub fn stages_text(stages: &[StageReport]) -> String {
    let ceilings: Vec<String> = stages.iter().map(stage_ceilings).collect();
    output::columns(&stage_rows(stages)) + &ceilings.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_come_every_tenth_and_not_for_short_work() {
        let long_ago = Instant::now() - Duration::from_secs(10);
        let mut work = Work { what: "counting".into(), started: long_ago, done: 0, tenths: 0 };
        let lines: Vec<String> =
            [1, 19, 20, 21, 39, 40].into_iter().filter_map(|done| work.line("counting", done, 200, false)).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("counting: 20 of 200, 9") && lines[1].starts_with("counting: 40 of 200, 4"));
        // Other work begins anew, and is quiet for its first seconds.
        assert_eq!(work.line("asking", 190, 200, false), None);
    }
}
