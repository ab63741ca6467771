//! Files that strangers made: only regular files are opened, never more is read than a bound, and what is shown of
//! them cannot move a terminal's cursor.

use crate::{Error, Result};
use std::fs::File;
use std::io::Read;
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
    File::open(path).map_err(|e| Error::io(path, &e))
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
}
