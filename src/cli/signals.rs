//! Ctrl-C and SIGTERM: the first one saves and stops, a second one ends the process at once.

use super::terminal::note;
use crate::train::StopSignal;
use crate::{Error, Result};
use std::time::Duration;

/// How long a run may take from the first signal to its end. Checkpoints are a minute apart at most, so that no more is
/// lost if it is stuck (in a file that does not answer, or in a very long step).
const PATIENCE: Duration = Duration::from_secs(60);

/// Exit code after a signal.
const INTERRUPTED: i32 = 130;

/// Has a write beyond the size that files may have (`ulimit -f`) fail as one on a full disk does: by default the signal
/// ends the process, which can then neither say so nor remove what it had begun.
pub fn keep_running_on_full_files() {
    #[cfg(unix)]
    // SAFETY: no handler is installed; from here on the signal is ignored.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Sets `stop` on the first signal, for work that has nothing to save and ends by itself.
///
/// # Errors
/// Another listener is already there.
pub fn stop_on_signal(stop: crate::progress::StopFlag) -> Result<()> {
    let handler = move || {
        if stop.is_set() {
            std::process::exit(INTERRUPTED);
        }
        note("stopping (once more ends at once)");
        stop.set();
    };
    ctrlc::set_handler(handler).map_err(taken)
}

fn taken(problem: ctrlc::Error) -> Error {
    Error::setting("signals", problem.to_string(), "start the run from its own process")
}

/// Listens to the signals of this process.
///
/// # Errors
/// Another listener is already there.
pub fn listen() -> Result<StopSignal> {
    let signal = StopSignal::default();
    let told = signal.clone();
    ctrlc::set_handler(move || {
        if told.was_set_off() {
            std::process::exit(INTERRUPTED);
        }
        if !told.is_stepping() {
            note("interrupted: nothing was left to save");
            std::process::exit(INTERRUPTED);
        }
        note("stopping: saving a checkpoint first (once more ends at once)");
        told.set_off();
        // Signals are handled on this thread, which must be free for the second one.
        std::thread::spawn(|| {
            std::thread::sleep(PATIENCE);
            note(format_args!(
                "interrupted: the run did not come to its next checkpoint within {} s; --resume goes on from the last one",
                PATIENCE.as_secs()
            ));
            std::process::exit(INTERRUPTED);
        });
    })
    .map_err(taken)?;
    Ok(signal)
}
