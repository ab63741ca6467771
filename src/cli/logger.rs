//! What the library logs, as lines on standard error: warnings with that word before them, notices without.

use super::terminal::note;
use log::{Level, LevelFilter, Log, Metadata, Record};

struct Logger;

impl Log for Logger {
    /// Ours only: the runtimes below log what no person asked for.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info && metadata.target().starts_with("svitt")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        match record.level() {
            Level::Error => note(format_args!("error: {}", record.args())),
            Level::Warn => note(format_args!("warning: {}", record.args())),
            _ => note(record.args()),
        }
    }

    fn flush(&self) {}
}

/// Shows the library's records from now on; does nothing where the process has a logger.
pub fn install() {
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}
