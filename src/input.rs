//! Files that strangers made: only regular files are opened, never more is read than a bound, and what is shown of
//! them cannot move a terminal's cursor.

use crate::{Error, Result};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub use crate::printable::quoted as shown;

/// Opens the regular file `path`. Opening a pipe blocks until somebody writes, and a device may never end.
///
/// # Errors
/// There is no such file, or it is a folder, pipe, socket or device.
pub fn open(path: &Path) -> Result<File> {
    let facts = std::fs::metadata(path).map_err(|e| Error::io(path, &e))?;
    if facts.is_dir() {
        return Err(Error::file(path, "is a folder", "give a file"));
    }
    if !facts.is_file() {
        let problem = "is a pipe, socket or device, not a regular file";
        return Err(Error::file(path, problem, "copy what it gives into a file and name that"));
    }
    open_regular(path).map_err(|e| Error::io(path, &e))
}

/// Reads the whole of `path`, which may hold `most` bytes.
///
/// # Errors
/// As [`open`], and a file that is larger.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| Error::io(path, &e))?;
    if bytes.len() as u64 > most {
        let problem = format!("is larger than the {} MiB that such a file may have", most >> 20);
        return Err(Error::file(path, problem, "check that it is the right file"));
    }
    Ok(bytes)
}

/// Reads the whole of `path` as text, which may hold `most` bytes.
///
/// # Errors
/// As [`read`], and bytes that are not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    String::from_utf8(read(path, most)?).map_err(|_| Error::file(path, "is not UTF-8 text", "convert it to UTF-8"))
}

/// Opens the regular file `path` for reading. Anything else that may stand there is refused before it is opened,
/// because opening a pipe waits for its writer.
///
/// # Errors
/// There is nothing, or no regular file; or the system refuses.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    require(&std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    // What was opened need not be what was looked at.
    require(&file.metadata()?)?;
    Ok(file)
}

/// Reads the regular file `path` as text of at most `limit` bytes.
///
/// # Errors
/// As [`open_regular`]; a longer file, or one that is not UTF-8.
pub(crate) fn read_regular_text(path: &Path, limit: u64) -> io::Result<String> {
    let file = open_regular(path)?;
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
    fn only_regular_files_of_bounded_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(read(&path, 4).unwrap_err().to_string().contains("is larger than"));
        assert!(read(folder.path(), 4).unwrap_err().to_string().contains("is a folder"));
        #[cfg(unix)]
        assert!(open(Path::new("/dev/zero")).unwrap_err().to_string().contains("not a regular file"));
    }

    #[test]
    fn a_text_that_is_too_long_says_how_long_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "seven b").unwrap();
        assert_eq!(read_regular_text(&path, 7).unwrap(), "seven b");
        assert!(read_regular_text(&path, 6).unwrap_err().to_string().contains("7 bytes"));
        assert!(open_regular(dir.path()).unwrap_err().to_string().contains("not a regular file"));
        assert_eq!(open_regular(&dir.path().join("b")).unwrap_err().kind(), io::ErrorKind::NotFound);
        #[cfg(unix)]
        assert!(read_regular_text(Path::new("/dev/zero"), 100).unwrap_err().to_string().contains("not a regular file"));
    }
}
