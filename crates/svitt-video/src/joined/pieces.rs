//! A file that is looked through piece by piece.

use crate::holes::written_end;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Bytes that are read at once.
pub(super) const PIECE: usize = 1 << 20;

/// Reads what was written of `file` from byte `from` on. `visit` gets the bytes it is not done with and the place of the
/// first of them, and says with how many of them it is done, or `None` to stop.
pub(super) fn by_pieces(file: &mut File, from: u64, mut visit: impl FnMut(&[u8], u64) -> Option<usize>) {
    let end = written_end(file).unwrap_or(u64::MAX);
    if file.seek(SeekFrom::Start(from)).is_err() {
        return;
    }
    let (mut window, mut start) = (Vec::new(), from);
    loop {
        let left = end.saturating_sub(start + window.len() as u64);
        let read = file.by_ref().take(left.min(PIECE as u64)).read_to_end(&mut window);
        if !read.is_ok_and(|count| count > 0) {
            return;
        }
        let Some(done) = visit(&window, start) else { return };
        window.drain(..done);
        start += done as u64;
    }
}
