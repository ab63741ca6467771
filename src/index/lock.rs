//! The lock of an index directory: one writer, or any number of readers that need it to stay as it is.

use crate::files::{self, HeldLock};
use crate::{Error, Result};
use std::fs::TryLockError;
use std::path::Path;

/// The file that is locked.
pub(super) const LOCK: &str = "lock";

/// The exclusive right to write to `dir`; the system releases it when the process ends, however it ends.
///
/// # Errors
/// Another process is indexing into it or reads all of it, or the directory cannot be written.
pub(super) fn exclusive(dir: &Path) -> Result<HeldLock> {
    let path = dir.join(LOCK);
    let file = files::open_own(&path, "delete it, or choose another directory with option `index`")?;
    match file.try_lock() {
        Ok(()) => Ok(HeldLock::of(file)),
        Err(TryLockError::WouldBlock) => Err(Error::file(
            dir,
            "another process is indexing into it",
            "wait until it has finished, or choose another directory with option `index`",
        )),
        Err(TryLockError::Error(e)) => Err(Error::io(path, &e)),
    }
}

/// Keeps writers out of an index until it is dropped.
#[derive(Debug)]
pub struct ReadGuard {
    _lock: HeldLock,
}

/// Keeps writers out of the index in `dir`, so that all of it can be read as it is at one moment; `remedy` says what to
/// do while somebody writes.
///
/// # Errors
/// There is no index, or a process is indexing into it.
pub(super) fn shared(dir: &Path, remedy: &str) -> Result<ReadGuard> {
    let path = dir.join(LOCK);
    let file = match crate::input::open(&path) {
        Err(e) if e.is_not_found() => {
            return Err(Error::file(dir, "there is no index here", "index a folder into it first (option `index`)"));
        }
        opened => opened?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(ReadGuard { _lock: HeldLock::of(file) }),
        Err(TryLockError::WouldBlock) => Err(Error::file(dir, "is still being written", remedy)),
        Err(TryLockError::Error(e)) => Err(Error::io(path, &e)),
    }
}
