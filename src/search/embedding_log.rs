//! Embeddings of items while they are made: a file that only grows, so that a stopped run goes on where it was.

use crate::eval::{EncodedClips, EncodedStore, mean_features, require_directions};
use crate::{Error, Result, files};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"SVITTEM1";
/// Bytes of what identifies an item's state, and of a checksum: the first of SHA-256.
const SHORT: usize = 8;

/// Embeddings `[dim]` by item number, in memory and on disk. A record is the item's number, the digest of its stamp,
/// its values and a checksum, little-endian; reading ends at the first that is not whole.
#[derive(Debug)]
pub(super) struct EmbeddingLog {
    path: PathBuf,
    file: File,
    dim: usize,
    clips: usize,
    /// What an earlier run left.
    found: BTreeMap<usize, ([u8; SHORT], Vec<f32>)>,
    vectors: BTreeMap<usize, Vec<f32>>,
}

impl EmbeddingLog {
    /// Opens or creates the log at `path` for vectors of `dim` numbers, means of `clips` clips, made as `setting` says.
    /// A log of another setting is emptied.
    ///
    /// # Errors
    /// Another process writes it, or the disk refuses.
    pub fn open(path: PathBuf, setting: &str, dim: usize, clips: usize) -> Result<Self> {
        let io = |e: std::io::Error| Error::io(&path, &e);
        let file = files::open_own(&path, "delete it, or choose another option `out`")?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let remedy = "wait until it has finished, or choose another option `out`";
                return Err(Error::file(&path, "another process is writing it", remedy));
            }
            Err(TryLockError::Error(e)) => return Err(io(e)),
        }
        let head = [&MAGIC[..], &Sha256::digest(setting)].concat();
        let mut log = Self { path: path.clone(), file, dim, clips, found: BTreeMap::new(), vectors: BTreeMap::new() };
        let end = log.read(&head).map_err(io)?;
        if end == 0 && log.file.metadata().map_err(io)?.len() > 0 {
            log::warn!("{} is of another model or manifest; starting afresh", path.display());
        }
        log.file.set_len(end).map_err(io)?;
        log.file.seek(SeekFrom::Start(end)).map_err(io)?;
        if end == 0 {
            log.file.write_all(&head).map_err(io)?;
        }
        Ok(log)
    }

    /// Reads whole records and returns where they end; 0 where the log does not begin with `head`.
    fn read(&mut self, head: &[u8]) -> std::io::Result<u64> {
        let mut file = BufReader::new(&self.file);
        let mut start = Vec::new();
        file.by_ref().take(head.len() as u64).read_to_end(&mut start)?;
        if start != head {
            return Ok(0);
        }
        let (mut end, mut record) = (head.len() as u64, vec![0; 8 + SHORT + 4 * self.dim + SHORT]);
        while file.read_exact(&mut record).is_ok() {
            let (body, sum) = record.split_at(record.len() - SHORT);
            if short_digest(body) != *sum {
                break;
            }
            let (item, stamp) = (&body[..8], &body[8..8 + SHORT]);
            let item = item.iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte));
            let stamp = std::array::from_fn(|byte| stamp[byte]);
            let vector = body[8 + SHORT..].as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            self.found.insert(item, (stamp, vector));
            end += record.len() as u64;
        }
        Ok(end)
    }

    /// Whether there is nothing that a later run could go on from.
    pub fn is_empty(&self) -> bool {
        self.vectors.is_empty() && self.found.is_empty()
    }

    /// Whether `item` was embedded while its stamp was `stamp`; it is then in [`EmbeddingLog::vectors`].
    pub fn take(&mut self, item: usize, stamp: &str) -> bool {
        match self.found.remove(&item) {
            Some((known, vector)) if known == short_digest(stamp.as_bytes()) => {
                self.vectors.insert(item, vector);
                true
            }
            _ => false,
        }
    }

    /// Adds the embedding `vector` of `item`; it is in the file when this returns.
    ///
    /// # Errors
    /// A value is not finite, or the disk refuses.
    pub fn add(&mut self, item: usize, stamp: &str, vector: Vec<f32>) -> Result<()> {
        require_directions("features", &vector, self.dim)?;
        let mut record = (item as u64).to_le_bytes().to_vec();
        record.extend(short_digest(stamp.as_bytes()));
        record.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
        record.extend(short_digest(&record));
        self.file.write_all(&record).map_err(|e| Error::io(&self.path, &e))?;
        self.vectors.insert(item, vector);
        Ok(())
    }

    /// The embeddings of all items that were taken or added, in the order of the items.
    pub fn vectors(&self) -> &BTreeMap<usize, Vec<f32>> {
        &self.vectors
    }

    /// Deletes the log: what it held is elsewhere.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(|e| Error::io(&self.path, &e))
    }
}

impl EncodedStore for EmbeddingLog {
    fn load_cached(&mut self, video: usize, stamp: &str) -> bool {
        self.take(video, stamp)
    }

    fn keep(&mut self, video: usize, stamp: Option<&str>, encoded: EncodedClips) -> Result<()> {
        let vector = mean_features(&encoded.features, self.clips, self.dim);
        self.add(video, stamp.unwrap_or_default(), vector)
    }
}

fn short_digest(bytes: &[u8]) -> [u8; SHORT] {
    let digest = Sha256::digest(bytes);
    std::array::from_fn(|byte| digest[byte])
}

/// Where the log of the output `out` lies.
pub(super) fn log_of(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(".unfinished");
    out.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_run_goes_on_behind_its_last_whole_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = log_of(&dir.path().join("f.npy"));
        let open = |setting: &str| EmbeddingLog::open(path.clone(), setting, 3, 1).unwrap();
        let mut log = open("a");
        assert!(EmbeddingLog::open(path.clone(), "a", 3, 1).unwrap_err().to_string().contains("another process"));
        for item in [4usize, 1, 300] {
            log.add(item, &format!("stamp {item}"), vec![item as f32, 0.5, -1.0]).unwrap();
        }
        assert!(log.add(7, "x", vec![f32::NAN; 3]).is_err());
        drop(log);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let mut log = open("a");
        assert!(log.take(4, "stamp 4") && !log.take(1, "changed") && !log.take(300, "stamp 300"));
        log.add(1, "changed", vec![2.0; 3]).unwrap();
        let expected = BTreeMap::from([(1, vec![2.0; 3]), (4, vec![4.0, 0.5, -1.0])]);
        assert_eq!(*log.vectors(), expected);
        drop(log);
        let mut log = open("a");
        assert!(log.take(1, "changed") && log.take(4, "stamp 4"), "the later record of an item counts");
        assert_eq!(*log.vectors(), expected);
        drop(log);
        let mut other = open("b");
        assert!(!other.take(4, "stamp 4"), "another model's vectors are not taken");
        other.remove().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
