//! The one reader of input files, which strangers may have made: only regular files are opened, and never more is read
//! than a bound. What they hold is shown with [`shown`], so that it cannot move a terminal's cursor.

use crate::{Error, Result};
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

pub use crate::printable::quoted as shown;

/// Opens the regular file `path`. Opening a pipe blocks until somebody writes, and a device may never end.
///
/// # Errors
/// There is no such file, or it is a folder, pipe, socket or device.
pub fn open(path: &Path) -> Result<File> {
    open_regular(path).map_err(|problem| match problem.kind() {
        ErrorKind::InvalidInput => Error::file(path, problem.to_string(), "give a file with the same content"),
        _ => Error::io(path, &problem),
    })
}

/// As [`open`], with the system's kinds of errors; `InvalidInput` stands for what is no regular file.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    require_regular(&std::fs::metadata(path)?)?;
    let file = svitt_video::open_without_waiting(path)?;
    // What was opened need not be what was looked at.
    require_regular(&file.metadata()?)?;
    Ok(file)
}

pub(crate) fn require_regular(facts: &Metadata) -> io::Result<()> {
    match () {
        () if facts.is_file() => Ok(()),
        () if facts.is_dir() => Err(io::Error::new(ErrorKind::InvalidInput, "is a folder, not a regular file")),
        () => Err(io::Error::new(ErrorKind::InvalidInput, "is a pipe, socket or device, not a regular file")),
    }
}

/// Reads the whole of `path`, which may hold `most` bytes.
///
/// # Errors
/// As [`open`], and a file that is larger.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    // A hole of gigabytes is refused before it is read; a file may still grow meanwhile.
    let stated = file.metadata().map_err(|e| Error::io(path, &e))?.len();
    if stated <= most {
        file.take(most + 1).read_to_end(&mut bytes).map_err(|e| Error::io(path, &e))?;
    }
    if stated.max(bytes.len() as u64) > most {
        let problem = match most >> 20 {
            0 => format!("is larger than the {most} bytes that such a file may have"),
            most => format!("is larger than the {most} MiB that such a file may have"),
        };
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
        assert!(read(&path, 4).unwrap_err().to_string().contains("is larger than the 4 bytes"));
        assert!(read(folder.path(), 4).unwrap_err().to_string().contains("is a folder, not a regular file"));
        assert!(read(&folder.path().join("b"), 4).unwrap_err().is_not_found());
        #[cfg(unix)]
        assert!(open(Path::new("/dev/zero")).unwrap_err().to_string().contains("not a regular file"));
        let hole = folder.path().join("hole");
        File::create(&hole).unwrap().set_len(1 << 40).unwrap();
        assert!(read(&hole, 1 << 20).unwrap_err().to_string().contains("is larger than the 1 MiB"));
    }
}
