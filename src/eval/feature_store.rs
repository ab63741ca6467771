//! Encoded videos, in memory or in a folder that a later run with another k or ensemble reads instead of decoding
//! again.
//!
//! A folder belongs to one set of weights under one protocol; a file in it, to one version of one video. Files appear
//! whole or not at all, so a run that was stopped goes on where it was.

use super::{ClipSource, EncodedClips, EncodedStore};
use crate::digest::sha256_hex;
use crate::{Error, Result, files, input};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// First bytes of a file of features.
const MAGIC: &[u8; 8] = b"SVITTF03";

/// Bytes of a checksum: the first of SHA-256.
const CHECKSUM: usize = 8;

/// Bytes of a file of features; a video with more of them is kept in memory. A hundred clips of the base model at 16
/// frames have 963 MB.
const MOST_BYTES: u64 = 1 << 30;

/// Encoded videos by number.
#[derive(Clone, Debug, Default)]
pub struct FeatureStore {
    folder: Option<PathBuf>,
    /// Shared-space features of every video that is encoded, `[clips, e]`.
    features: Vec<Option<Vec<f32>>>,
    states: Vec<States>,
}

#[derive(Clone, Debug, Default)]
enum States {
    #[default]
    Absent,
    Memory(Vec<f32>),
    /// A file, and the version of the video that it is for.
    File(PathBuf, String),
}

impl FeatureStore {
    /// A store of `videos` videos in memory only.
    pub fn in_memory(videos: usize) -> Self {
        Self { folder: None, features: vec![None; videos], states: vec![States::Absent; videos] }
    }

    /// A store of `videos` videos in a folder below `root` named after `setting`: everything that the features depend
    /// on besides the videos.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn in_folder(root: &Path, setting: &serde_json::Value, videos: usize) -> Result<Self> {
        let folder = root.join(&sha256_hex(setting.to_string())[..16]);
        fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
        let description = folder.join("setting.json");
        if !description.exists() {
            files::write(&description, format!("{setting:#}\n"))?;
        }
        Ok(Self { folder: Some(folder), ..Self::in_memory(videos) })
    }

    /// Where features are kept, if they are.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Whether `video` is encoded.
    pub fn contains(&self, video: usize) -> bool {
        self.features.get(video).is_some_and(Option::is_some)
    }

    /// Shared-space features of `video`, `[clips, e]`; empty where it was not encoded.
    pub fn features(&self, video: usize) -> &[f32] {
        self.features.get(video).and_then(Option::as_deref).unwrap_or_default()
    }

    fn path(&self, stamp: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{}.features", &sha256_hex(stamp)[..32])))
    }
}

impl EncodedStore for FeatureStore {
    fn load_cached(&mut self, video: usize, stamp: &str) -> bool {
        let Some(path) = self.path(stamp) else { return false };
        let Some(encoded) = read(&path).ok().and_then(|bytes| parse(&bytes, stamp)) else { return false };
        self.features[video] = Some(encoded.features);
        self.states[video] = States::File(path, stamp.to_owned());
        true
    }

    fn keep(&mut self, video: usize, stamp: Option<&str>, encoded: EncodedClips) -> Result<()> {
        let size = 4 * (encoded.features.len() + encoded.states.len()) as u64;
        let stamp = stamp.filter(|_| size < MOST_BYTES);
        let Some((path, stamp)) = stamp.and_then(|stamp| Some((self.path(stamp)?, stamp))) else {
            self.features[video] = Some(encoded.features);
            self.states[video] = States::Memory(encoded.states);
            return Ok(());
        };
        files::write_own(&path, bytes(&encoded, stamp))?;
        self.features[video] = Some(encoded.features);
        self.states[video] = States::File(path, stamp.to_owned());
        Ok(())
    }
}

impl ClipSource for FeatureStore {
    fn states(&self, video: usize) -> Result<Vec<f32>> {
        match self.states.get(video) {
            Some(States::Memory(states)) => Ok(states.clone()),
            Some(States::File(path, stamp)) => {
                let bytes = read(path)?;
                let damaged = || Error::file(path, "is no file of this video's features", "delete it and run again");
                parse(&bytes, stamp).map(|encoded| encoded.states).ok_or_else(damaged)
            }
            Some(States::Absent) | None => Ok(Vec::new()),
        }
    }
}

/// The bytes of a file of features.
fn read(path: &Path) -> Result<Vec<u8>> {
    input::read(path, MOST_BYTES + 1024)
}

/// A checksum of `stamp` and the rest, two lengths, then both lists, little-endian.
fn bytes(encoded: &EncodedClips, stamp: &str) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &[0; CHECKSUM]].concat();
    for length in [encoded.features.len(), encoded.states.len()] {
        bytes.extend((length as u64).to_le_bytes());
    }
    bytes.extend(encoded.features.iter().chain(&encoded.states).flat_map(|value| value.to_le_bytes()));
    let sum = checksum(&bytes[MAGIC.len() + CHECKSUM..], stamp);
    bytes[MAGIC.len()..][..CHECKSUM].copy_from_slice(&sum);
    bytes
}

fn checksum(bytes: &[u8], stamp: &str) -> [u8; CHECKSUM] {
    let digest = Sha256::new().chain_update(stamp).chain_update(bytes).finalize();
    std::array::from_fn(|byte| digest[byte])
}

/// None for anything but a whole file of [`bytes`] for `stamp`.
fn parse(bytes: &[u8], stamp: &str) -> Option<EncodedClips> {
    let (sum, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<CHECKSUM>()?;
    if checksum(rest, stamp) != *sum {
        return None;
    }
    let (lengths, values) = rest.split_at_checked(16)?;
    let length = |at: usize| Some(u64::from_le_bytes(lengths.get(at..at + 8)?.try_into().ok()?) as usize);
    let (features, states) = (length(0)?, length(8)?);
    if values.len() != 4 * features.checked_add(states)? {
        return None;
    }
    let floats = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let (features, states) = values.split_at(4 * features);
    Some(EncodedClips { features: floats(features), states: floats(states) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn encoded() -> EncodedClips {
        EncodedClips { features: vec![0.25, -1.0, 3.5], states: vec![1.0, f32::MIN_POSITIVE, 7.0, -0.5] }
    }

    #[test]
    fn a_later_run_loads_what_an_earlier_one_stored() {
        let root = tempfile::tempdir().unwrap();
        let setting = json!({"weights": "ab", "frames": 12});
        let mut first = FeatureStore::in_folder(root.path(), &setting, 3).unwrap();
        assert!(!first.load_cached(1, "a.mp4"));
        first.keep(1, Some("a.mp4"), encoded()).unwrap();
        let mut second = FeatureStore::in_folder(root.path(), &setting, 2).unwrap();
        assert!(second.load_cached(0, "a.mp4") && !second.load_cached(1, "a.mp4, changed"));
        assert_eq!((second.features(0), second.states(0).unwrap()), (&encoded().features[..], encoded().states));
        assert!(second.contains(0) && !second.contains(1) && second.states(1).unwrap().is_empty());
        let mut other = FeatureStore::in_folder(root.path(), &json!({"weights": "ac", "frames": 12}), 3).unwrap();
        assert!(!other.load_cached(0, "a.mp4"), "other weights see nothing of it");
    }

    #[test]
    fn a_damaged_file_is_encoded_again_or_named() {
        let root = tempfile::tempdir().unwrap();
        let mut store = FeatureStore::in_folder(root.path(), &json!({}), 1).unwrap();
        store.keep(0, Some("a"), encoded()).unwrap();
        let path = store.path("a").unwrap();
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[20] ^= 1;
        fs::write(&path, &flipped).unwrap();
        assert!(!store.load_cached(0, "a"), "one bit is enough");
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(store.states(0).unwrap_err().to_string().contains("is no file of this video's features"));
        assert!(!store.load_cached(0, "a"));
        store.keep(0, Some("b"), encoded()).unwrap();
        fs::copy(store.path("b").unwrap(), &path).unwrap();
        assert!(!store.load_cached(0, "a") && store.load_cached(0, "b"), "the features of another video");
        fs::write(&path, &whole).unwrap();
        assert!(store.load_cached(0, "a"));
        fs::File::options().write(true).open(&path).unwrap().set_len(8 << 30).unwrap();
        assert!(!store.load_cached(0, "a"), "gigabytes are not read");
    }

    #[test]
    #[cfg(unix)]
    fn a_link_in_the_cache_is_replaced_and_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let mut store = FeatureStore::in_folder(root.path(), &json!({}), 1).unwrap();
        let (path, precious) = (store.path("a").unwrap(), root.path().join("precious"));
        fs::write(&precious, "mine").unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        assert!(!store.load_cached(0, "a"));
        store.keep(0, Some("a"), encoded()).unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"mine");
        assert!(store.load_cached(0, "a") && !fs::symlink_metadata(&path).unwrap().is_symlink());
    }

    #[test]
    fn memory_holds_what_has_no_stamp() {
        let mut store = FeatureStore::in_memory(1);
        store.keep(0, None, encoded()).unwrap();
        assert_eq!((store.states(0).unwrap(), store.folder()), (encoded().states, None));
    }
}
