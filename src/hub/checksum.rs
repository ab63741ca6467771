//! Whether a file that came is the one that the hub has.

use crate::{Error, Result, checksums};
use sha1::{Digest, Sha1};
use std::path::Path;

/// Whether the file at `path` has the checksum by which the hub knows it: the SHA-256 of large files, git's SHA-1 of
/// small ones. A mirror may use other names, which say nothing.
pub(super) fn agrees(path: &Path, name: &str) -> Result<bool> {
    let hexadecimal = name.bytes().all(|byte| byte.is_ascii_hexdigit());
    match name.len() {
        64 if hexadecimal => Ok(checksums::sha256_of_file(path)? == name.to_ascii_lowercase()),
        40 if hexadecimal => Ok(git_blob(path)? == name.to_ascii_lowercase()),
        _ => Ok(true),
    }
}

/// What git calls the file: the SHA-1 of `blob SIZE\0` and its bytes.
fn git_blob(path: &Path) -> Result<String> {
    let bytes = std::fs::metadata(path).map_err(|e| Error::io(path, &e))?.len();
    checksums::of_file(path, Sha1::new_with_prefix(format!("blob {bytes}\0")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_names_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "hello\n").unwrap();
        // what `git hash-object` and `sha256sum` print
        let (git, sha) = (
            "ce013625030ba8dba906f756967f9e9ca394464a",
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        );
        for name in [git, sha, "W-another-name"] {
            assert!(agrees(&path, name).unwrap(), "{name}");
        }
        std::fs::write(&path, "hello").unwrap();
        assert!(!agrees(&path, git).unwrap() && !agrees(&path, sha).unwrap());
    }
}
