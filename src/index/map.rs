//! A file of vectors in memory, read by page when it is looked at.

use crate::input;
use memmap2::Mmap;
use std::io;
use std::path::Path;

/// Maps the regular file `path`; none where it is empty.
///
/// # Errors
/// There is no such file, it is no regular file, or it cannot be mapped.
pub(super) fn map(path: &Path) -> io::Result<Option<Mmap>> {
    let file = input::open_regular(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    // SAFETY: the map is read-only, and this program never writes to a file of vectors that a manifest names; if another
    // one truncates it meanwhile the process is stopped by the operating system, as with mapped weights.
    unsafe { Mmap::map(&file) }.map(Some)
}
