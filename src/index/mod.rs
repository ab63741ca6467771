//! Embeddings on disk, searched; vectors only.
//!
//! An index is one directory: `manifest.json` names the model and the segments, `NNNNNN.seg` files hold what was
//! embedded, `lock` keeps a second indexer out. Segments only grow, every record carries its length and checksum, and
//! the manifest is replaced in one step, so a crash at any moment loses at most the record that was being written.
//! [`Index::open`] reads beside a running [`IndexWriter`] and sees what was complete at that moment.

mod entry;
mod manifest;
mod record;
mod search;
mod segment;
mod writer;

pub use entry::{ClipEmbedding, ModelId, Stamp};
pub use search::Hit;
pub use writer::{IndexSummary, IndexWriter};

use crate::{Error, Result};
use entry::{Content, FileEntry};
use manifest::IndexManifest;
use record::Record;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The content of an index, read into memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    dir: PathBuf,
    id: ModelId,
    files: BTreeMap<PathBuf, FileEntry>,
    ignored_bytes: u64,
}

impl Index {
    /// Reads the index in `dir`; takes no lock and may be called while another process indexes.
    ///
    /// # Errors
    /// There is no index, its manifest is damaged, or a file cannot be read. An incomplete tail of a segment is not
    /// an error: see [`Index::ignored_bytes`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let mut attempt = Self::read(dir);
        // An indexer that finishes may merge segments and delete the old ones between our two reads.
        for _ in 0..3 {
            if attempt.is_ok() {
                break;
            }
            attempt = Self::read(dir);
        }
        attempt
    }

    fn read(dir: &Path) -> Result<Self> {
        let manifest = IndexManifest::read(dir)?.ok_or_else(|| {
            Error::file(dir, "there is no index here", "make one with `search index DIR --index PATH` first")
        })?;
        Self::replay(dir, &manifest)
    }

    /// Every record of every segment in turn; later ones replace earlier ones of the same file.
    fn replay(dir: &Path, manifest: &IndexManifest) -> Result<Self> {
        let mut index =
            Self { dir: dir.to_path_buf(), id: manifest.id.clone(), files: BTreeMap::new(), ignored_bytes: 0 };
        for name in &manifest.segments {
            let ignored = segment::read(&dir.join(name), |payload| match Record::decode(payload, manifest.id.dim) {
                Some(record) => {
                    index.apply(record);
                    true
                }
                None => false,
            })?;
            index.ignored_bytes += ignored;
        }
        Ok(index)
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::File(path, entry) => drop(self.files.insert(path, entry)),
            Record::Removed(path) => drop(self.files.remove(&path)),
        }
    }

    /// The directory it was read from.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The model its embeddings come from.
    pub fn id(&self) -> &ModelId {
        &self.id
    }

    /// Bytes at the ends of segments that were not complete records: a crash, or a damaged disk. Indexing again
    /// embeds what they held.
    pub fn ignored_bytes(&self) -> u64 {
        self.ignored_bytes
    }

    /// Checks that queries embedded by `id` may be compared with this index.
    ///
    /// # Errors
    /// Another model or other weights made it.
    pub fn require(&self, id: &ModelId) -> Result<()> {
        self.id.require(&self.dir, id)
    }

    /// Whether `path` is known with exactly this stamp, so that it need not be read again.
    pub fn is_current(&self, path: &Path, stamp: &Stamp) -> bool {
        self.files.get(path).is_some_and(|entry| entry.stamp == *stamp)
    }

    /// What is known of the file that stands under `path`.
    pub fn stamp(&self, path: &Path) -> Option<&Stamp> {
        self.files.get(path).map(|entry| &entry.stamp)
    }

    /// All files, broken ones included, in order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// Files that could not be embedded, each with the reason.
    pub fn broken(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files.iter().filter_map(|(path, entry)| match &entry.content {
            Content::Broken(reason) => Some((path.as_path(), reason.as_str())),
            Content::Clips(_) => None,
        })
    }

    /// Embedded clips of one file; none when it is unknown or broken.
    pub fn clips_of(&self, path: &Path) -> &[ClipEmbedding] {
        match self.files.get(path).map(|entry| &entry.content) {
            Some(Content::Clips(clips)) => clips,
            _ => &[],
        }
    }

    /// Number of embedded clips.
    pub fn clips(&self) -> usize {
        self.files.keys().map(|path| self.clips_of(path).len()).sum()
    }
}
