//! A file of records, written only at its end: magic, then for each record its length, checksum and bytes.

use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"SVITTSG1";
const CHECKSUM: usize = 8;

/// The first bytes of SHA-256: a torn or damaged record passes with probability 2^-64.
fn checksum(payload: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::digest(payload);
    std::array::from_fn(|byte| digest[byte])
}

/// Hands every complete record of the segment at `path` to `each`, in order, until one is damaged or `each` says no.
/// Returns how many bytes at the end were not read.
pub(super) fn read(path: &Path, mut each: impl FnMut(&[u8]) -> bool) -> Result<u64> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(|e| Error::io(path, &e))?;
    let mut rest = match bytes.strip_prefix(MAGIC) {
        Some(rest) => rest,
        None => return Ok(bytes.len() as u64),
    };
    while let Some((payload, after)) = split_record(rest) {
        if !each(payload) {
            break;
        }
        rest = after;
    }
    Ok(rest.len() as u64)
}

fn split_record(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<CHECKSUM>()?;
    let (payload, after) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    (checksum(payload) == *sum).then_some((payload, after))
}

/// The segment an indexer writes.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    path: PathBuf,
    file: File,
    /// Bytes of complete records.
    end: u64,
}

impl SegmentWriter {
    /// Creates the segment; there must be none of that name.
    pub fn create(path: PathBuf) -> Result<Self> {
        let create = || {
            let mut file = File::create_new(&path)?;
            file.write_all(MAGIC)?;
            file.sync_all()?;
            Ok(file)
        };
        let file = create().map_err(|e| Error::io(&path, &e))?;
        Ok(Self { path, file, end: MAGIC.len() as u64 })
    }

    /// Appends a record. When that fails (a full disk), what was written of it is cut off again.
    pub fn append(&mut self, payload: &[u8]) -> Result<()> {
        let length = u32::try_from(payload.len()).map_err(|_| {
            Error::file(&self.path, "a record is larger than 4 GB", "index longer clips or shorter videos")
        })?;
        let record = [&length.to_le_bytes()[..], &checksum(payload), payload].concat();
        if let Err(e) = self.file.write_all(&record) {
            let _ = self.file.set_len(self.end).and_then(|()| self.file.seek(SeekFrom::Start(self.end)));
            return Err(Error::io(&self.path, &e));
        }
        self.end += record.len() as u64;
        Ok(())
    }

    /// Makes everything appended survive a power cut.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io(&self.path, &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_torn_tail_keeps_the_complete_records() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("000001.seg");
        let mut writer = SegmentWriter::create(path.clone()).unwrap();
        for record in [&b"first"[..], b"second one", b"third"] {
            writer.append(record).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        let ends = [8, 8 + 17, 8 + 17 + 22, 8 + 17 + 22 + 17];
        assert_eq!(whole.len(), ends[3]);
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut seen = 0;
            let ignored = read(&path, |_| {
                seen += 1;
                true
            });
            assert_eq!(seen, ends[1..].iter().filter(|&&end| end <= cut).count(), "cut at {cut}");
            let complete = ends.iter().filter(|&&end| end <= cut).max().copied().unwrap_or(0);
            assert_eq!(ignored.unwrap(), (cut - complete) as u64);
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_segment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("000001.seg");
        let mut writer = SegmentWriter::create(path.clone()).unwrap();
        writer.append(b"first").unwrap();
        writer.append(b"second").unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[8 + 17 + 13] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let mut seen = Vec::new();
        assert_eq!(
            read(&path, |payload| {
                seen.push(payload.to_vec());
                true
            })
            .unwrap(),
            18
        );
        assert_eq!(seen, [b"first"]);
    }
}
