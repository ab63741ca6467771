//! Progress on standard error: one line that is rewritten on a terminal, a plain line every tenth elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// No progress is shown for work shorter than this.
const QUIET: Duration = Duration::from_secs(2);

/// Counts work and says how much is left.
pub struct ProgressReporter {
    what: &'static str,
    total: usize,
    done: usize,
    started: Instant,
    said: Instant,
    tenths: usize,
    terminal: bool,
}

impl ProgressReporter {
    /// Nothing of `total` is done yet.
    pub fn new(what: &'static str, total: usize) -> Self {
        let (started, terminal) = (Instant::now(), std::io::stderr().is_terminal());
        Self { what, total, done: 0, started, said: started, tenths: 0, terminal }
    }

    /// `count` more are done.
    pub fn tick(&mut self, count: usize) {
        self.done += count;
        if self.started.elapsed() < QUIET {
            return;
        }
        let tenths = 10 * self.done / self.total.max(1);
        let due = if self.terminal { self.said.elapsed().as_millis() > 200 } else { tenths > self.tenths };
        if due || (self.done >= self.total && self.terminal) {
            self.say();
            (self.said, self.tenths) = (Instant::now(), tenths);
        }
    }

    fn say(&self) {
        let left = (self.total.saturating_sub(self.done)) as f64;
        let eta = self.started.elapsed().as_secs_f64() * left / self.done.max(1) as f64;
        let line = format!("{}: {} of {}, {:.0} s left", self.what, self.done, self.total, eta);
        let mut out = std::io::stderr().lock();
        // A reader that has gone away does not end an evaluation.
        let _ = match self.terminal {
            true if self.done >= self.total => writeln!(out, "\r{line}\x1b[K"),
            true => write!(out, "\r{line}\x1b[K"),
            false => writeln!(out, "{line}"),
        };
    }
}
