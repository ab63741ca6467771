//! Where a run writes, and how it is told to stop.

use crate::{Error, Result};
use burn_train::Interrupter;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of runs without `--out`.
const DEFAULT: &str = "runs/pretrain";

/// The folder a run writes to. A folder that already holds something is never written over: a new run gets a numbered
/// sibling, `--resume` takes the folder, or without `--out` its newest sibling.
///
/// # Errors
/// The folder cannot be made, or is a file.
pub fn place(out: Option<&Path>, resume: bool) -> Result<PathBuf> {
    let wanted = out.unwrap_or(Path::new(DEFAULT));
    let folder = match (resume, out) {
        (true, Some(_)) => wanted.to_path_buf(),
        (true, None) => newest(wanted),
        (false, _) => (1..).map(|n| sibling(wanted, n)).find(|folder| is_free(folder)).unwrap_or_default(),
    };
    if folder.is_file() {
        return Err(Error::file(&folder, "is a file", "give a folder as --out"));
    }
    fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
    Ok(folder)
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
        Ok(mut entries) => entries.next().is_none(),
        // A file in the way is no free place, but it is the first choice that must be reported.
        Err(_) => !folder.exists() || folder.is_file(),
    }
}

fn newest(folder: &Path) -> PathBuf {
    let existing = (1..).map(|n| sibling(folder, n)).take_while(|folder| folder.exists()).last();
    existing.unwrap_or_else(|| folder.to_path_buf())
}

/// Ctrl-C and SIGTERM: the first one saves and stops, a second one ends the process at once.
#[derive(Clone, Default)]
pub struct StopSignal {
    /// What the training loop looks at.
    pub interrupter: Interrupter,
}

impl StopSignal {
    /// Listens to the signals of this process.
    ///
    /// # Errors
    /// Another listener is already there.
    pub fn listen() -> Result<Self> {
        let signal = Self::default();
        let interrupter = signal.interrupter.clone();
        ctrlc::set_handler(move || {
            if interrupter.should_stop() {
                std::process::exit(130);
            }
            eprintln!("stopping: saving a checkpoint first (once more ends at once)");
            interrupter.stop(Some("signal"));
        })
        .map_err(|e| Error::setting("signals", e.to_string(), "start the run from its own process"))?;
        Ok(signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_over() {
        let base = tempfile::tempdir().unwrap();
        let wanted = base.path().join("deep/run");
        assert_eq!(place(Some(&wanted), false).unwrap(), wanted);
        assert_eq!(place(Some(&wanted), false).unwrap(), wanted, "an empty folder is taken");
        fs::write(wanted.join("metrics.jsonl"), "x").unwrap();
        let second = place(Some(&wanted), false).unwrap();
        assert_eq!(second, base.path().join("deep/run-2"));
        fs::write(second.join("metrics.jsonl"), "x").unwrap();
        assert_eq!(place(Some(&wanted), false).unwrap(), base.path().join("deep/run-3"));
        assert_eq!(place(Some(&wanted), true).unwrap(), wanted, "a named folder is resumed itself");
        assert_eq!(newest(&wanted), base.path().join("deep/run-3"));
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("out");
        fs::write(&file, "x").unwrap();
        assert!(place(Some(&file), false).unwrap_err().to_string().contains("is a file"));
    }
}
