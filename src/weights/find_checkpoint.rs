//! The checkpoint used when none is given: the newest under `./runs`.

use super::checkpoint::is_checkpoint;
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where training writes by default.
const RUNS: &str = "runs";

/// Folders below `runs` that are looked into: a run, its stages, their neighbours.
const DEPTH: usize = 3;

/// The checkpoint folder given, or the newest one under `./runs`.
///
/// # Errors
/// None was given and there is none.
pub fn given_or_newest(given: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(folder) = given {
        return Ok(folder);
    }
    newest(Path::new(RUNS), DEPTH).map(|(_, folder)| folder).ok_or_else(|| {
        let remedy = "give one (option `checkpoint`), or make one with `cargo run --release --example pretrain`";
        Error::setting("checkpoint", "is missing, and there is no checkpoint under ./runs", remedy)
    })
}

fn newest(folder: &Path, depth: usize) -> Option<(SystemTime, PathBuf)> {
    if is_checkpoint(folder) {
        let changed = std::fs::metadata(folder).and_then(|facts| facts.modified()).ok()?;
        return Some((changed, folder.to_path_buf()));
    }
    let entries = std::fs::read_dir(folder).ok().filter(|_| depth > 0)?;
    entries.flatten().filter(|entry| entry.path().is_dir()).filter_map(|entry| newest(&entry.path(), depth - 1)).max()
}
