//! Files that appear under their name only when they are complete.

use std::fs::File;
use std::path::Path;

use super::error::{Result, VideoError};

/// A file under a temporary name; deleted unless it is completed. It is locked as long as its run lives, so that another
/// run can tell it from one that was left behind.
pub(crate) struct PartialFile {
    file: File,
    name: tempfile::TempPath,
}

impl PartialFile {
    /// An empty file beside `target`, with a name that ends with `extension`.
    pub fn beside(target: &Path, extension: &str) -> Result<Self> {
        let suffix = format!(".part{extension}");
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let prefix = format!(".{}.", target.file_name().unwrap_or_default().to_string_lossy());
        clear(folder, &prefix, &suffix);
        let failed = |error| VideoError::not_written(target, error);
        let mut builder = tempfile::Builder::new();
        // What is new can be read by whom the system's mask lets read it, not by its owner alone.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let part = builder.prefix(&prefix).suffix(&suffix).tempfile_in(folder).map_err(failed)?;
        let (file, name) = part.into_parts();
        file.lock().map_err(failed)?;
        Ok(Self { file, name })
    }

    /// Its own name.
    pub fn path(&self) -> &Path {
        &self.name
    }

    /// A handle to write through.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name.
    pub fn complete(self, target: &Path) -> Result<()> {
        let failed = |error| VideoError::not_written(target, error);
        self.file.sync_all().map_err(failed)?;
        self.name.persist(target).map_err(|error| failed(error.error))
    }
}

/// Deletes what runs that were killed left behind: files of these names that nobody holds.
fn clear(folder: &Path, prefix: &str, suffix: &str) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
        let random = ours.is_some_and(|middle| middle.len() == 6 && middle.bytes().all(|b| b.is_ascii_alphanumeric()));
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if random && is_file && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            // Another run may have been faster.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_a_killed_run_left_is_cleared_and_what_another_run_holds_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.mp4");
        let held = PartialFile::beside(&target, ".mp4").unwrap();
        let left = dir.path().join(".a.mp4.Ab12cd.part.mp4");
        let other = dir.path().join(".a.mp4.mine.part.mp4");
        std::fs::write(&left, b"half").unwrap();
        std::fs::write(&other, b"not a name of ours").unwrap();
        let second = PartialFile::beside(&target, ".mp4").unwrap();
        assert!(!left.exists() && other.exists() && held.path().exists() && held.path() != second.path());
        second.file().write_all(b"whole").unwrap();
        second.complete(&target).unwrap();
        drop(held);
        assert_eq!(std::fs::read(&target).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
