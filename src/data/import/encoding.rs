//! Text that is not UTF-8: what it seems to be, and how to convert it.

use std::{io::BufRead, path::Path};

use crate::{Error, Result};

/// Passes over a byte order mark.
///
/// # Errors
/// The bytes are those of UTF-16, or of no text at all; the remedy is the command that converts the file.
pub fn check_start(path: &Path, reader: &mut impl BufRead) -> Result<()> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let start = reader.fill_buf().map_err(|e| Error::io(path, &e))?;
    let zeros = |first: usize| start.iter().skip(first).step_by(2).take(64).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let marked = start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff");
    // Latin letters in UTF-16 have a zero in every second byte; other files have them anywhere.
    if marked || even.max(odd) >= 4 && even.min(odd) <= even.max(odd) / 4 {
        return Err(Error::file(path, "is UTF-16 text", convert(path, "UTF-16")));
    }
    if even + odd > 0 {
        return Err(Error::file(path, "is no text file", "check that it is the right file"));
    }
    if start.starts_with(MARK) {
        reader.consume(MARK.len());
    }
    Ok(())
}

/// The error for `line` of `path`, which is not UTF-8.
pub fn not_utf8(path: &Path, line: u64) -> Error {
    let problem = format!("line {line} is not UTF-8 text (spreadsheets often write Windows-1252 or Latin-1)");
    Error::file(path, problem, convert(path, "WINDOWS-1252"))
}

fn convert(path: &Path, from: &str) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("convert it: iconv -f {from} -t UTF-8 {name} > utf8-{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_are_told_from_binary_data() {
        let check = |bytes: &[u8]| check_start(Path::new("m.csv"), &mut &*bytes);
        let little: Vec<u8> = "video,caption\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "video,caption\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [&little, &big, &[b"\xff\xfe", &little[..]].concat(), &[b"\xfe\xff", &big[..]].concat()] {
            let message = check(bytes).unwrap_err().to_string();
            assert!(message.contains("is UTF-16 text") && message.contains("iconv -f UTF-16"), "{message}");
        }
        assert!(check(&[0; 64]).unwrap_err().to_string().contains("is no text file"));
        check(b"video,caption\n").unwrap();
        check(b"").unwrap();
        let mut marked: &[u8] = b"\xef\xbb\xbf[]";
        check_start(Path::new("m.json"), &mut marked).unwrap();
        assert_eq!(marked, b"[]");
    }
}
