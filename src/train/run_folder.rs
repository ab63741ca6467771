//! The output folder of a run, and the stop signal.

use crate::files::{self, HeldLock};
use crate::{Error, Result};
use burn_train::Interrupter;
use std::fs::{self, TryLockError};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The folder of runs without `--out`.
const DEFAULT: &str = "runs/pretrain";

/// Lock file of the run that writes to a folder.
const LOCK: &str = ".lock";

/// The folder of one run, kept from others until dropped. A run that ends before it has written anything leaves none.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The parents that were made for it, the deepest first.
    made: Vec<PathBuf>,
    /// Released by the system when the process ends, however it ends; none where the file system has no locks.
    _lock: Option<HeldLock>,
}

impl Deref for RunFolder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if is_free(&self.path) {
            let _ = fs::remove_file(self.path.join(LOCK)).and_then(|()| fs::remove_dir(&self.path));
            // One that holds something else by now is not removed by this.
            let _ = self.made.iter().try_for_each(fs::remove_dir);
        }
    }
}

/// The folder a run writes to. A folder that already holds something is never written over: a new run gets a numbered
/// sibling, `--resume` takes the folder, or without `--out` its newest sibling.
///
/// # Errors
/// The folder cannot be made, or is a file, or another run that is still going on writes to the folder to resume.
pub fn claim_run_folder(out: Option<&Path>, resume: bool) -> Result<RunFolder> {
    let wanted = out.unwrap_or(Path::new(DEFAULT));
    match (resume, out) {
        (true, Some(_)) => claim(wanted)?.ok_or_else(|| locked_error(wanted)),
        (true, None) => {
            let newest = newest(wanted);
            claim(&newest)?.ok_or_else(|| locked_error(&newest))
        }
        (false, _) => {
            for folder in (1..).map(|n| sibling(wanted, n)).filter(|folder| is_free(folder)) {
                // Another run may have claimed the folder since it was checked.
                if let Some(claimed) = claim(&folder)? {
                    return Ok(claimed);
                }
            }
            Err(locked_error(wanted))
        }
    }
}

/// Makes `folder` where it is missing and takes its lock; none if another run has it.
fn claim(folder: &Path) -> Result<Option<RunFolder>> {
    files::refuse_no_folder(folder)?;
    let parents = folder.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
    let made = parents.take_while(|parent| !parent.exists()).map(Path::to_path_buf).collect();
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
    let file = files::open_own(&folder.join(LOCK), "delete it, or give another option `out`")?;
    let lock = match file.try_lock() {
        Ok(()) => Some(HeldLock::of(file)),
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(_)) => None,
    };
    // What a killed run had half-written: files and stage folders appear under their names complete or not at all.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().ends_with(files::PARTIAL) {
            let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
        }
    }
    Ok(Some(RunFolder { path: folder.to_path_buf(), made, _lock: lock }))
}

fn locked_error(folder: &Path) -> Error {
    Error::file(folder, "another run is writing to it", "wait until it has ended, or give another option `out`")
}

/// `folder`, `folder-2`, `folder-3`, …
fn sibling(folder: &Path, n: usize) -> PathBuf {
    if n == 1 {
        return folder.to_path_buf();
    }
    let mut name = folder.file_name().unwrap_or_default().to_os_string();
    name.push(format!("-{n}"));
    folder.with_file_name(name)
}

fn is_free(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().all(|entry| entry.file_name() == LOCK),
        // A file in the way is no free place, but it is the first choice that must be reported.
        Err(_) => !folder.exists() || !folder.is_dir(),
    }
}

fn newest(folder: &Path) -> PathBuf {
    let existing = (1..).map(|n| sibling(folder, n)).take_while(|folder| folder.exists()).last();
    existing.unwrap_or_else(|| folder.to_path_buf())
}

/// Asks a run to save a checkpoint and to end: a program sets it off at Ctrl-C and SIGTERM.
#[derive(Clone, Default)]
pub struct StopSignal {
    /// What the training loop looks at.
    pub(super) interrupter: Interrupter,
    /// Runs that are between two checkpoints now, so that there is something to save.
    stepping: Arc<AtomicUsize>,
}

impl StopSignal {
    /// Asks the run to stop after its present step.
    pub fn set_off(&self) {
        self.interrupter.stop(Some("signal"));
    }

    /// Whether it was asked to.
    pub fn was_set_off(&self) -> bool {
        self.interrupter.should_stop()
    }

    /// Whether steps are being taken: then stopping at once would lose those since the last checkpoint.
    pub fn is_stepping(&self) -> bool {
        self.stepping.load(Ordering::Relaxed) > 0
    }

    /// Says that steps are being taken until the result is dropped.
    pub(super) fn stepping(&self) -> Stepping<'_> {
        self.stepping.fetch_add(1, Ordering::Relaxed);
        Stepping(&self.stepping)
    }
}

impl std::fmt::Debug for StopSignal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StopSignal").field("set_off", &self.was_set_off()).finish_non_exhaustive()
    }
}

pub(super) struct Stepping<'a>(&'a AtomicUsize);

impl Drop for Stepping<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_over() {
        let base = tempfile::tempdir().unwrap();
        let wanted = base.path().join("deep/run");
        let placed = |resume| claim_run_folder(Some(&wanted), resume).map(|folder| folder.to_path_buf());
        assert_eq!(placed(false).unwrap(), wanted);
        assert!(!base.path().join("deep").exists(), "a run that wrote nothing leaves nothing");
        fs::create_dir_all(&wanted).unwrap();
        let first = claim_run_folder(Some(&wanted), false).unwrap();
        assert_eq!(*first, *wanted, "an empty folder is taken");
        assert_eq!(placed(false).unwrap(), base.path().join("deep/run-2"), "the first run has written nothing yet");
        assert!(placed(true).unwrap_err().to_string().contains("another run"));
        fs::write(wanted.join("metrics.jsonl"), "x").unwrap();
        drop(first);
        let second = claim_run_folder(Some(&wanted), false).unwrap();
        assert_eq!(*second, *base.path().join("deep/run-2"));
        fs::write(second.join("metrics.jsonl"), "x").unwrap();
        assert_eq!(placed(false).unwrap(), base.path().join("deep/run-3"));
        assert_eq!(placed(true).unwrap(), wanted, "a named folder is resumed itself");
        assert_eq!(newest(&wanted), base.path().join("deep/run-2"));
    }

    #[test]
    fn a_file_instead_of_a_folder_is_named() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("out");
        fs::write(&file, "x").unwrap();
        assert!(claim_run_folder(Some(&file), false).unwrap_err().to_string().contains("is no folder"));
    }
}
