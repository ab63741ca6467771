//! Reads a segment: every record whose checksum is right, also behind a stretch that is damaged.
//!
//! Memory is one record and a megabyte, whatever the file claims; work is bounded by the file's length and
//! [`MOST_SEARCHED`].

use super::record::MOST_KIND;
use super::segment::{CHECKSUM, HEAD, MAGIC, MOST_RECORD, checksum};
use crate::input;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes read at once.
const BUFFER: usize = 1 << 20;

/// Bytes searched for the next record behind a damaged one; a file made to be searched for hours ends here. The clips
/// of an hour of video take a megabyte.
const MOST_SEARCHED: u64 = 64 << 20;

/// Longest name of a file in a record, in bytes; four times what Linux allows.
const LONGEST_PATH: u32 = 16_384;

/// What reading a segment came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadSummary {
    /// Records that were handed out.
    pub records: u64,
    /// Bytes up to the end of the last of them.
    pub end: u64,
    /// Bytes before that which are no records.
    pub damaged: u64,
    /// Bytes behind that: of a segment that is still being written, or whose writer was killed, an unfinished record.
    pub rest: u64,
}

/// Hands every complete record of the segment at `path`, up to byte `limit`, to `each`, in order; a record that `each`
/// refuses counts as damaged.
///
/// # Errors
/// There is no such file, it is no regular file, or reading fails.
pub(super) fn read(path: &Path, limit: Option<u64>, each: impl FnMut(&[u8]) -> bool) -> io::Result<ReadSummary> {
    read_searching(path, limit, MOST_SEARCHED, each)
}

/// [`read`], giving up after `most` bytes without a record.
pub(super) fn read_searching(
    path: &Path,
    limit: Option<u64>,
    most: u64,
    mut each: impl FnMut(&[u8]) -> bool,
) -> io::Result<ReadSummary> {
    let file = input::open_regular(path)?;
    let length = file.metadata()?.len().min(limit.unwrap_or(u64::MAX));
    let mut window = Window { file, length, start: 0, bytes: Vec::new() };
    let mut summary = ReadSummary::default();
    let (mut at, mut searched) = (MAGIC.len() as u64, 0);
    if window.get(0, MAGIC.len())? == Some(MAGIC) {
        summary.end = at;
    }
    while at < length && searched < most {
        let Some(payload) = window.record(at, &mut searched)? else {
            // Mostly its length is right and only what it holds is damaged; otherwise every place is tried.
            let next = if at == summary.end { window.claimed_end(at)? } else { None };
            at = match next {
                Some(next) if window.record(next, &mut searched)?.is_some() => next,
                _ => at + 1,
            };
            searched += 1;
            continue;
        };
        let next = at + (HEAD + payload.len()) as u64;
        if each(payload) {
            summary.damaged += at - summary.end;
            summary.records += 1;
            (summary.end, searched) = (next, 0);
        }
        at = next;
    }
    summary.rest = length - summary.end;
    Ok(summary)
}

/// A part of the file in memory.
struct Window {
    file: File,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// `count` bytes from byte `at` on, or none where the file has fewer.
    fn get(&mut self, at: u64, count: usize) -> io::Result<Option<&[u8]>> {
        if at.checked_add(count as u64).is_none_or(|end| end > self.length) {
            return Ok(None);
        }
        let held = self.start..self.start + self.bytes.len() as u64;
        if at < held.start || at + count as u64 > held.end {
            let wanted = (BUFFER.max(count) as u64).min(self.length - at);
            self.bytes.clear();
            self.file.seek(SeekFrom::Start(at))?;
            (&self.file).take(wanted).read_to_end(&mut self.bytes)?;
            self.start = at;
        }
        let first = (at - self.start) as usize;
        // Shorter than its length said: somebody cuts it while it is read.
        Ok(self.bytes.get(first..first + count))
    }

    /// Where the record at byte `at` ends if its length is right.
    fn claimed_end(&mut self, at: u64) -> io::Result<Option<u64>> {
        let length = self.get(at, 4)?.and_then(|bytes| bytes.first_chunk()).map(|bytes| u32::from_le_bytes(*bytes));
        Ok(length.map(|length| at + HEAD as u64 + u64::from(length)))
    }

    /// The payload of the record at byte `at`, or none if there is no complete record with the right checksum. What is
    /// hashed in vain is added to `searched`.
    fn record(&mut self, at: u64, searched: &mut u64) -> io::Result<Option<&[u8]>> {
        // The start of the payload too: kind and length of the path rule out nearly every wrong place without hashing.
        let Some(head) = self.get(at, HEAD + 5)? else { return Ok(None) };
        let Some((length, rest)) = head.split_first_chunk::<4>() else { return Ok(None) };
        let Some((sum, rest)) = rest.split_first_chunk::<CHECKSUM>() else { return Ok(None) };
        let (length, sum) = (u32::from_le_bytes(*length) as usize, *sum);
        let Some((&[kind], path)) = rest.split_first_chunk::<1>() else { return Ok(None) };
        let path = path.first_chunk().map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes));
        if !(1..=MOST_KIND).contains(&kind) || path > LONGEST_PATH || length > MOST_RECORD || length < path as usize + 5
        {
            return Ok(None);
        }
        let Some(record) = self.get(at, HEAD + length)? else { return Ok(None) };
        if checksum(&record[HEAD..]) != sum {
            *searched += length as u64;
            return Ok(None);
        }
        Ok(self.get(at, HEAD + length)?.map(|record| &record[HEAD..]))
    }
}
