//! A file of records, written only at its end: magic, then for each record its length, checksum and bytes.

use super::manifest::Sealed;
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

pub(super) const MAGIC: &[u8] = b"SVITTSG1";
/// Bytes of a checksum.
pub(super) const CHECKSUM: usize = 8;
/// Bytes before a payload: its length and checksum.
pub(super) const HEAD: usize = 4 + CHECKSUM;
/// The largest payload: 240 000 clips of 256 numbers of one file, two weeks of video. Readers allocate no more.
pub(super) const MOST_RECORD: usize = 256 << 20;

/// The first bytes of SHA-256: a torn or damaged record passes with probability 2^-64.
pub(super) fn checksum(payload: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::digest(payload);
    std::array::from_fn(|byte| digest[byte])
}

/// Whether `path` names the open `file`, and not another one in its place.
pub(super) fn same_file(file: &File, path: &std::path::Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |facts: std::io::Result<std::fs::Metadata>| facts.ok().map(|facts| (facts.dev(), facts.ino()));
        let named = id(std::fs::metadata(path));
        named.is_some() && named == id(file.metadata())
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

/// The segment an indexer writes.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    path: PathBuf,
    file: File,
    /// Bytes of complete records.
    end: u64,
    records: u64,
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
        Ok(Self { path, file, end: MAGIC.len() as u64, records: 0 })
    }

    /// Appends a record. When that fails (a full disk), what was written of it is cut off again.
    pub fn append(&mut self, payload: &[u8]) -> Result<()> {
        if payload.len() > MOST_RECORD {
            let problem = "the clips of one video take more than 256 MB";
            return Err(Error::file(&self.path, problem, "index longer clips or shorter videos"));
        }
        let record = [&(payload.len() as u32).to_le_bytes()[..], &checksum(payload), payload].concat();
        if let Err(e) = self.file.write_all(&record) {
            let _ = self.file.set_len(self.end).and_then(|()| self.file.seek(SeekFrom::Start(self.end)));
            return Err(Error::io(&self.path, &e));
        }
        self.end += record.len() as u64;
        self.records += 1;
        Ok(())
    }

    /// What it holds, for the manifest.
    pub fn sealed(&self) -> Sealed {
        Sealed { bytes: self.end, records: self.records }
    }

    /// Whether the file still stands under its name with everything that was written.
    pub fn is_in_place(&self) -> bool {
        same_file(&self.file, &self.path) && std::fs::metadata(&self.path).is_ok_and(|facts| facts.len() >= self.end)
    }

    /// Whether everything that was appended can be read back.
    pub fn reads_back(&self) -> bool {
        let read = super::segment_reader::read(&self.path, Some(self.end), |_| true);
        read.is_ok_and(|summary| (summary.records, summary.damaged) == (self.records, 0))
    }

    /// Makes everything appended survive a power cut.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io(&self.path, &e))
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Record;
    use super::super::segment_reader::{ReadSummary, read, read_searching};
    use super::*;

    /// A segment of removals of the files `paths`, and where each record ends.
    fn segment(path: &std::path::Path, paths: &[&str]) -> (Vec<u8>, Vec<usize>) {
        let mut writer = SegmentWriter::create(path.to_path_buf()).unwrap();
        let mut ends = vec![MAGIC.len()];
        for path in paths {
            writer.append(&Record::Removed(path.into()).encode()).unwrap();
            ends.push(writer.sealed().bytes as usize);
        }
        assert!(writer.is_in_place());
        (std::fs::read(path).unwrap(), ends)
    }

    fn read_all(path: &std::path::Path, limit: Option<u64>) -> (Vec<Record>, ReadSummary) {
        let mut seen = Vec::new();
        let summary = read(path, limit, |payload| Record::decode(payload, 3).map(|record| seen.push(record)).is_some());
        (seen, summary.unwrap())
    }

    #[test]
    fn every_torn_tail_keeps_the_complete_records() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("000001.seg");
        let (whole, ends) = segment(&path, &["first", "second one", "third"]);
        assert_eq!((whole.len(), ends[3]), (8 + 22 + 27 + 22, 79));
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (seen, summary) = read_all(&path, None);
            assert_eq!(seen.len(), ends[1..].iter().filter(|&&end| end <= cut).count(), "cut at {cut}");
            let complete = ends.iter().filter(|&&end| end <= cut).max().copied().unwrap_or(0);
            assert_eq!((summary.damaged, summary.rest), (0, (cut - complete) as u64), "cut at {cut}");
        }
    }

    #[test]
    fn any_flipped_byte_costs_one_record_and_its_bytes_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("000001.seg");
        let (whole, ends) = segment(&path, &["first", "second one", "third"]);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, bytes).unwrap();
            let (seen, summary) = read_all(&path, None);
            let hit = ends.iter().filter(|&&end| end <= at).count();
            assert_eq!(seen.len(), if hit == 0 { 3 } else { 2 }, "byte {at}");
            let lost = [8, 22, 27, 0][hit];
            assert_eq!((summary.damaged, summary.rest), (lost, if hit == 3 { 22 } else { 0 }), "byte {at}");
        }
    }

    #[test]
    fn a_hole_is_passed_over_and_a_limit_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("000001.seg");
        let names: Vec<String> = (0..40).map(|n| format!("{n}.mp4")).collect();
        let (mut whole, ends) = segment(&path, &names.iter().map(String::as_str).collect::<Vec<_>>());
        whole[ends[3] + 2..ends[20] + 5].fill(0);
        std::fs::write(&path, &whole).unwrap();
        let (seen, summary) = read_all(&path, None);
        assert_eq!((seen.len(), summary.damaged), (40 - 18, (ends[21] - ends[3]) as u64));
        assert_eq!(seen[3], Record::Removed("21.mp4".into()));
        assert_eq!(read_all(&path, Some(ends[30] as u64)).0.len(), 30 - 18);
    }

    /// Two gigabytes of nothing, and a record that claims most of them: neither is read into memory or searched to its
    /// end.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_of_holes_is_given_up_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("000001.seg");
        let (whole, _) = segment(&path, &["first"]);
        let claim = [&0x7000_0000u32.to_le_bytes()[..], &[0; 8], &[1, 1, 0, 0, 0]].concat();
        std::fs::write(&path, [whole, claim].concat()).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(2 << 30).unwrap();
        let mut seen = 0;
        let summary = read_searching(&path, None, 1 << 20, |_| {
            seen += 1;
            true
        });
        let summary = summary.unwrap();
        assert_eq!((seen, summary.damaged, summary.rest), (1, 0, (2 << 30) - 30));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(read(&path, None, |_| true).unwrap_err().to_string().contains("not a regular file"));
    }
}
