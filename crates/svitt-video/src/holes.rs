//! Files that end in a hole: bytes that were never written, such as the rest of a download for which room was made and
//! which was not finished. They read as zeros and take no room on the disk, so that a few bytes can stand for gigabytes.

use std::fs::File;

/// A shorter hole at the end is read like other zeros: 64 MiB take .05 s.
const LEAST: u64 = 64 << 20;

/// Written stretches that are walked; a file of more is read as a whole.
const MOST_STRETCHES: usize = 1 << 16;

/// The first byte of the hole that the file ends in; `None` if it does not end in one, or the system cannot say so.
#[cfg(target_os = "linux")]
pub(super) fn written_end(file: &File) -> Option<u64> {
    use rustix::fs::{SeekFrom, seek};
    let length = file.metadata().ok()?.len();
    let mut start = 0;
    for _ in 0..MOST_STRETCHES {
        let hole = seek(file, SeekFrom::Hole(start)).ok()?;
        if hole >= length {
            return None;
        }
        match seek(file, SeekFrom::Data(hole)) {
            Ok(data) => start = data,
            // Nothing but the hole follows.
            Err(rustix::io::Errno::NXIO) => return (length - hole >= LEAST).then_some(hole),
            Err(_) => return None,
        }
    }
    None
}

/// The first byte of the hole that the file ends in: unknown on this system.
#[cfg(not(target_os = "linux"))]
pub(super) fn written_end(_: &File) -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom, Write};

    #[test]
    fn a_long_hole_at_the_end_is_told_from_one_within() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 5000]).unwrap();
        assert_eq!(written_end(&file), None);
        file.set_len(1 << 30).unwrap();
        let end = written_end(&file).unwrap();
        assert!((5000..1 << 20).contains(&end), "{end}: holes begin at a block");
        file.set_len(5000 + LEAST / 2).unwrap();
        assert_eq!(written_end(&file), None, "too short to matter");
        file.set_len(1 << 30).unwrap();
        file.seek(SeekFrom::End(-1)).unwrap();
        file.write_all(&[7]).unwrap();
        assert_eq!(written_end(&file), None, "written at its last byte");
    }
}
