//! Ctrl-C and SIGTERM: the first one saves and stops, a second one ends the process at once.

use crate::terminal::note;
use crate::train::StopSignal;
use crate::{Error, Result};

/// Listens to the signals of this process.
///
/// # Errors
/// Another listener is already there.
pub fn listen() -> Result<StopSignal> {
    let signal = StopSignal::default();
    let interrupter = signal.interrupter.clone();
    ctrlc::set_handler(move || {
        if interrupter.should_stop() {
            std::process::exit(130);
        }
        note("stopping: saving a checkpoint first (once more ends at once)");
        interrupter.stop(Some("signal"));
    })
    .map_err(|e| Error::setting("signals", e.to_string(), "start the run from its own process"))?;
    Ok(signal)
}
