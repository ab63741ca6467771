//! The library's warnings, which are `log` records, as lines on standard error.

use crate::terminal::note;
use log::{LevelFilter, Log, Metadata, Record};

struct Lines;

impl Log for Lines {
    /// Warnings and errors of this project's crates; those of graphics drivers and others are not for users.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Warn && metadata.target().starts_with("svitt")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            note(format!("warning: {}", record.args()));
        }
    }

    fn flush(&self) {}
}

/// Prints warnings from here on, unless the process has another logger.
pub fn print() {
    if log::set_logger(&Lines).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
