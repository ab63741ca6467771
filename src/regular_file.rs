//! Opens files that must be plain files: a pipe or a device under such a name would block the program or never end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Opens the regular file `path` for reading. Anything else that may stand there is refused before it is opened, because
/// opening a pipe waits for its writer.
///
/// # Errors
/// There is nothing, or no regular file; or the system refuses.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    require(&std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    // What was opened need not be what was looked at.
    require(&file.metadata()?)?;
    Ok(file)
}

/// Reads the regular file `path` as text of at most `limit` bytes.
///
/// # Errors
/// As [`open`]; a longer file, or one that is not UTF-8.
pub(crate) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let file = open(path)?;
    let (mut text, length) = (String::new(), file.metadata()?.len());
    if length > limit {
        let problem = format!("has {length} bytes, more than the {limit} that make sense here");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    file.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

fn require(facts: &std::fs::Metadata) -> io::Result<()> {
    if facts.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_sensible_length_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "seven b").unwrap();
        assert_eq!(read_text(&path, 7).unwrap(), "seven b");
        assert!(read_text(&path, 6).unwrap_err().to_string().contains("7 bytes"));
        assert!(open(dir.path()).unwrap_err().to_string().contains("not a regular file"));
        assert_eq!(open(&dir.path().join("b")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_device_is_refused_without_being_read() {
        assert!(read_text(Path::new("/dev/zero"), 100).unwrap_err().to_string().contains("not a regular file"));
    }
}
