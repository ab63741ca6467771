//! Tests that cannot test, because a program or a device is missing, are named and counted instead of passing in
//! silence. Every crate with such tests includes this file as a module.
//!
//! [`skipped`] says so at once, past libtest's capture, and notes it in a file of the run, whose process is the parent
//! of all test programs. The last test program of `cargo test`, xtask's, lists them. Where `SVITT_SKIPPED` names a file,
//! it is that one: `.ci/run` looks there and fails for anything it installs itself.
#![allow(dead_code, reason = "crates note, xtask lists")]

use std::fs::{self, File};
use std::io::Write;
use std::panic::Location;
use std::path::{Path, PathBuf};

/// Notes that the running test is skipped because it needs `what`, a program or device this machine lacks.
#[track_caller]
pub fn skipped(what: &str) {
    let (thread, place) = (std::thread::current(), Location::caller());
    // With --test-threads=1 tests run on the main thread.
    let test = thread.name().filter(|name| *name != "main").map_or_else(|| place.to_string(), str::to_owned);
    let line = format!("{} {test}: needs {what}", env!("CARGO_PKG_NAME"));
    let _ = writeln!(std::io::stderr().lock(), "\nskipped: {line}");
    note(&run_file(), &line);
}

/// Adds `line` to `file`.
pub fn note(file: &Path, line: &str) {
    fs::create_dir_all(file.parent().unwrap_or(Path::new("."))).unwrap();
    let mut file = File::options().create(true).append(true).open(file).unwrap();
    // One write, so that lines of tests that run at the same time stay whole.
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// The tests skipped so far in this run; the file of the run goes away unless `SVITT_SKIPPED` names it.
pub fn listed() -> Vec<String> {
    let file = run_file();
    let lines = read(&file);
    if std::env::var_os("SVITT_SKIPPED").is_none() {
        let _ = fs::remove_file(file);
    }
    lines
}

/// The lines of `file`, sorted, each once; none where there is no such file.
pub fn read(file: &Path) -> Vec<String> {
    let mut lines: Vec<String> = fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect();
    lines.sort();
    lines.dedup();
    lines
}

fn run_file() -> PathBuf {
    if let Some(named) = std::env::var_os("SVITT_SKIPPED") {
        return named.into();
    }
    // Test programs lie in target/PROFILE/deps.
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap_or(Path::new(".")).join("skipped-tests").join(run().to_string())
}

/// The process that runs the tests: cargo.
#[cfg(unix)]
fn run() -> u32 {
    std::os::unix::process::parent_id()
}

/// Elsewhere one file serves all runs.
#[cfg(not(unix))]
fn run() -> u32 {
    0
}
