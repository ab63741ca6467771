//! Lines on standard output and standard error, and the one progress bar. `println!` and `eprintln!` panic if the
//! stream is closed; a closed pipe (`| head`) or a full disk must not end a training run. What comes from outside is
//! escaped and cut here, whoever prints it.

use crate::printable;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The bar on standard error, while there is one.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn bar() -> MutexGuard<'static, Option<ProgressBar>> {
    BAR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes while no bar is in the way.
fn beside_the_bar<T>(write: impl FnOnce() -> T) -> T {
    match &*bar() {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// A line on standard output, if that takes it.
pub fn say(line: impl Display) {
    let _ = write_out(&format!("{line}\n"));
}

/// A line on standard error, if that takes it.
pub fn note(line: impl Display) {
    let line = line.to_string();
    let _ = beside_the_bar(|| writeln!(io::stderr().lock(), "{}", printable::message(&line)));
}

/// Text on standard output.
///
/// # Errors
/// The stream is closed, or its disk is full.
pub fn write_out(text: &str) -> io::Result<()> {
    beside_the_bar(|| {
        let mut out = io::stdout().lock();
        out.write_all(printable::lines(text).as_bytes()).and_then(|()| out.flush())
    })
}

/// Whether a bar on standard error is seen by a person.
pub fn shows_bars() -> bool {
    io::stderr().is_terminal()
}

/// Moves the bar to `done` of `total`, with `message` beside it; it appears with the first call and stays, as it is,
/// when all is done.
pub fn move_bar(done: usize, total: usize, message: &str) {
    let mut shown = bar();
    let bar = shown.get_or_insert_with(|| {
        let style =
            ProgressStyle::with_template("{bar:24} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr()).with_style(style)
    });
    bar.set_length(total as u64);
    bar.set_message(printable::message(message).into_owned());
    bar.set_position(done as u64);
    if done >= total {
        bar.abandon();
        *shown = None;
    }
}

/// Leaves the bar as it is and goes on below it.
pub fn end_bar() {
    if let Some(bar) = bar().take() {
        bar.abandon();
    }
}
