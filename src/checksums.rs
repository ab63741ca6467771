//! Checksums of files: whether what is read is what was written.

use crate::{Error, Result, digest, files, input};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Where the checksums of a folder's files stand.
const NAME: &str = "checksums.json";

/// A list of a few files.
const MOST_BYTES: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Checksums {
    /// File name to SHA-256, hexadecimal.
    sha256: BTreeMap<String, String>,
}

/// Writes the checksums of the files `names` of `folder` beside them, and waits for the disk.
///
/// # Errors
/// A file cannot be read, or the folder cannot be written.
pub(crate) fn write(folder: &Path, names: &[&str]) -> Result<()> {
    let sums = names.iter().map(|name| Ok((name.to_string(), sha256_of_file(&folder.join(name))?)));
    let sums = Checksums { sha256: sums.collect::<Result<_>>()? };
    files::write_json(&folder.join(NAME), &sums)
}

/// Checks every file of `folder` that has a checksum; `remedy` is what the person can do about a damaged one.
///
/// # Errors
/// A file that is not as it was written, or the list of checksums is missing.
pub(crate) fn verify(folder: &Path, remedy: &str) -> Result<()> {
    let path = folder.join(NAME);
    let text = input::read_text(&path, MOST_BYTES).map_err(|e| {
        Error::file(&path, format!("cannot be read, so nothing beside it can be checked ({e})"), remedy)
    })?;
    let sums: Checksums =
        serde_json::from_str(&text).map_err(|e| Error::file(&path, format!("is damaged ({e})"), remedy))?;
    for (name, expected) in &sums.sha256 {
        let file = folder.join(name);
        if sha256_of_file(&file)? != *expected {
            return Err(Error::file(file, "is damaged: its checksum is not the one it was written with", remedy));
        }
    }
    Ok(())
}

/// SHA-256 of the regular file `path`, hexadecimal.
pub(crate) fn sha256_of_file(path: &Path) -> Result<String> {
    of_file(path, Sha256::new())
}

/// What `hash` makes of what it has taken in and the regular file `path`, hexadecimal.
pub(crate) fn of_file(path: &Path, mut hash: impl Digest) -> Result<String> {
    let taken = || {
        let (mut file, mut buffer) = (input::open_regular(path)?, vec![0; 1 << 20]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(digest::whole(hash)),
                count => hash.update(&buffer[..count]),
            }
        }
    };
    taken().map_err(|e: std::io::Error| Error::io(path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_and_any_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("a", "seven bytes"), ("b", "")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        write(dir.path(), &["a", "b"]).unwrap();
        verify(dir.path(), "start afresh").unwrap();
        let text = std::fs::read_to_string(dir.path().join(NAME)).unwrap();
        assert!(text.contains("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), "{text}");
        std::fs::write(dir.path().join("b"), "x").unwrap();
        let message = verify(dir.path(), "start afresh").unwrap_err().to_string();
        assert!(message.contains("/b: is damaged") && message.ends_with("start afresh"), "{message}");
        std::fs::remove_file(dir.path().join("a")).unwrap();
        assert!(verify(dir.path(), "x").unwrap_err().to_string().contains("/a: "));
        std::fs::remove_file(dir.path().join(NAME)).unwrap();
        assert!(verify(dir.path(), "x").unwrap_err().to_string().contains(NAME));
    }
}
