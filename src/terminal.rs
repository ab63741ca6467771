//! Output while a command runs. `println!` and `eprintln!` panic if the stream is closed; a closed pipe (`| head`) or a
//! full disk must not end a training run.

use std::fmt::Display;
use std::io::Write;

/// A line on standard output, if that takes it.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A line on standard error, if that takes it.
pub fn note(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
