//! Whether the weights of a checkpoint folder are the ones its description names.
//!
//! Hashing takes a second a gigabyte. Of a large file the result is therefore kept beside it, together with everything
//! the system tells of the file: size, both times, device and inode. The time of the last change of any kind cannot be
//! set by programs, so a file that was written over, replaced or restored under its old date is hashed again.

use super::hash::weights_hash;
use super::source::WeightSource;
use crate::checksums::sha256_of_file;
use crate::{Error, Result, files, input};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Smaller files are hashed every time: 64 MB take 60 ms.
const LARGE: u64 = 64 << 20;

/// A file changed this recently may change again within the resolution of its times, and is not remembered.
#[cfg(unix)]
const SETTLED_SECONDS: i64 = 3;

/// Checks that `weights` come from a file whose SHA-256 is `file_sha256`, or, where that is not known, that their names,
/// shapes and values hash to `weights_sha256`.
///
/// # Errors
/// They do not: they are damaged, or belong to another description.
pub(super) fn verify(weights: &WeightSource, weights_sha256: &str, file_sha256: Option<&str>) -> Result<()> {
    let (path, expected) = (weights.path(), file_sha256.unwrap_or(weights_sha256));
    let facts = FileFacts::of(path).filter(|facts| facts.size >= LARGE);
    if let Some(facts) = &facts
        && remembered(path).is_some_and(|known| known.sha256 == expected && known.file == *facts)
    {
        return Ok(());
    }
    let sha256 = if file_sha256.is_some() { sha256_of_file(path)? } else { weights_hash(weights) };
    if sha256 != expected {
        let problem = format!(
            "is damaged or belongs elsewhere: its SHA-256 is {sha256:.12}…, and the config.json beside it was written for \
             {expected:.12}…"
        );
        return Err(Error::file(path, problem, "restore the file, or import or train again"));
    }
    if let Some(file) = facts.filter(FileFacts::is_settled)
        && let Ok(text) = serde_json::to_string(&VerifiedFile { file, sha256 })
    {
        // Only time is lost where the folder cannot be written.
        let _ = files::write(&memory(path), text);
    }
    Ok(())
}

/// What is kept beside a large file.
#[derive(Serialize, Deserialize)]
struct VerifiedFile {
    file: FileFacts,
    sha256: String,
}

fn memory(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.verified"))
}

fn remembered(path: &Path) -> Option<VerifiedFile> {
    serde_json::from_str(&input::read_text(&memory(path), 4096).ok()?).ok()
}

/// What the system tells of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileFacts {
    size: u64,
    modified: [i64; 2],
    changed: [i64; 2],
    device: u64,
    inode: u64,
}

impl FileFacts {
    /// None where the system does not tell when a file was last changed in any way.
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let facts = std::fs::metadata(path).ok()?;
        Some(Self {
            size: facts.len(),
            modified: [facts.mtime(), facts.mtime_nsec()],
            changed: [facts.ctime(), facts.ctime_nsec()],
            device: facts.dev(),
            inode: facts.ino(),
        })
    }

    #[cfg(not(unix))]
    fn of(_: &Path) -> Option<Self> {
        None
    }

    /// Whether it was last changed long enough ago for a later change to show.
    #[cfg(unix)]
    fn is_settled(&self) -> bool {
        let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs() as i64);
        self.changed[0] + SETTLED_SECONDS < now
    }

    #[cfg(not(unix))]
    fn is_settled(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_file_that_was_replaced_under_its_old_date_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        std::fs::write(&path, "one").unwrap();
        let (before, date) = (FileFacts::of(&path).unwrap(), std::fs::metadata(&path).unwrap().modified().unwrap());
        assert_eq!(FileFacts::of(&path).unwrap(), before);
        assert!(!before.is_settled(), "it was written just now");
        assert!(FileFacts { changed: [1_000_000_000, 0], ..before.clone() }.is_settled());
        std::thread::sleep(std::time::Duration::from_millis(20));
        let file = std::fs::File::create(&path).unwrap();
        std::io::Write::write_all(&mut &file, b"two").unwrap();
        file.set_modified(date).unwrap();
        let after = FileFacts::of(&path).unwrap();
        assert_eq!((after.size, after.modified), (before.size, before.modified));
        assert_ne!(after, before);
        let text = serde_json::to_string(&VerifiedFile { file: after.clone(), sha256: "ab".into() }).unwrap();
        std::fs::write(memory(&path), text).unwrap();
        assert!(remembered(&path).is_some_and(|known| known.file == after && known.sha256 == "ab"));
    }
}
