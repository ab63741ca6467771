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

/// Makes `folder` if it is not there and hands each path of `names` in it to `write`, in order. If one fails, the files
/// that were not there before are removed again, and so is the folder.
///
/// # Errors
/// The first of `write`, or of making the folder, as `not_made` puts it.
pub fn write_together<E>(
    folder: &Path,
    names: &[impl AsRef<Path>],
    not_made: impl FnOnce(std::io::Error) -> E,
    mut write: impl FnMut(&Path) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let new_folder = !folder.exists();
    std::fs::create_dir_all(folder).map_err(not_made)?;
    let mut new_files = Vec::new();
    for path in names.iter().map(|name| folder.join(name)) {
        let was_there = path.symlink_metadata().is_ok();
        if let Err(error) = write(&path) {
            new_files.iter().for_each(|file| drop(std::fs::remove_file(file)));
            if new_folder {
                let _ = std::fs::remove_dir(folder);
            }
            return Err(error);
        }
        new_files.extend((!was_there).then_some(path));
    }
    Ok(())
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

    #[test]
    fn files_that_belong_together_appear_together() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        std::fs::create_dir(&old).unwrap();
        std::fs::write(old.join("a"), "kept").unwrap();
        let names = ["a", "b", "c"].map(str::to_owned);
        for folder in [&old, &new] {
            let write = |path: &Path| match path.ends_with("c") {
                true => Err(std::io::Error::other("no room")),
                false => std::fs::write(path, "new"),
            };
            assert_eq!(write_together(folder, &names, |e| e, write).unwrap_err().to_string(), "no room");
        }
        assert!(!new.exists() && old.join("a").is_file() && !old.join("b").exists());
        write_together(&new, &names, |e| e, |path| std::fs::write(path, "new")).unwrap();
        assert_eq!(std::fs::read_dir(&new).unwrap().count(), 3);
    }
}
