//! Embeddings on disk, searched; vectors only.
//!
//! An index is one directory: `manifest.json` names the model and the segments, `NNNNNN.seg` files hold what was
//! embedded, `lock` keeps a second indexer out. Segments only grow, every record carries its length and checksum, and
//! the manifest is replaced in one step, so a crash at any moment loses at most the record that was being written.
//! Finished segments are listed with their length and number of records, so that damage is told from a crash and
//! counted; reading goes on behind it.
//! [`Index::open`] reads beside a running [`IndexWriter`] and sees what was complete at that moment.

mod damage;
mod entry;
mod lock;
mod manifest;
mod merge;
mod record;
mod search;
mod segment;
mod segment_reader;
mod writer;

pub use damage::SegmentDamage;
pub use entry::{ClipEmbedding, ModelId, Stamp};
pub use manifest::IndexPart;
pub use merge::merge_parts;
pub use search::Hit;
pub use writer::{IndexSummary, IndexWriter};

use crate::{Error, Result};
use entry::{Content, FileEntry};
use manifest::{IndexManifest, Sealed};
use record::Record;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The content of an index, read into memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    dir: PathBuf,
    id: ModelId,
    part: Option<IndexPart>,
    files: BTreeMap<PathBuf, FileEntry>,
    damage: Vec<SegmentDamage>,
}

impl Index {
    /// Reads the index in `dir`; takes no lock and may be called while another process indexes.
    ///
    /// # Errors
    /// There is no index, its manifest is damaged, or a file cannot be read. What of a segment cannot be read is not an
    /// error: see [`Index::damage`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let read_manifest = || {
            IndexManifest::read(dir)?.ok_or_else(|| {
                Error::file(dir, "there is no index here", "index a folder into it first (option `index`)")
            })
        };
        let mut manifest = read_manifest()?;
        // An indexer that finishes may merge segments and delete the old ones while they are read.
        for _ in 0..3 {
            let attempt = Self::replay(dir, &manifest);
            if attempt.as_ref().is_ok_and(|(index, _)| index.damage.is_empty()) {
                return attempt.map(|(index, _)| index);
            }
            let now = read_manifest()?;
            if now == manifest {
                return attempt.map(|(index, _)| index);
            }
            manifest = now;
        }
        Self::replay(dir, &manifest).map(|(index, _)| index)
    }

    /// Every record of every segment in turn; later ones replace earlier ones of the same file. Also what each
    /// undamaged segment holds.
    fn replay(dir: &Path, manifest: &IndexManifest) -> Result<(Self, Vec<Option<Sealed>>)> {
        let mut index = Self {
            dir: dir.to_path_buf(),
            id: manifest.id.clone(),
            part: manifest.part.clone(),
            files: BTreeMap::new(),
            damage: Vec::new(),
        };
        let mut extents = Vec::new();
        for segment in &manifest.segments {
            let path = dir.join(&segment.name);
            let limit = segment.sealed.map(|sealed| sealed.bytes);
            let read = segment_reader::read(&path, limit, |payload| {
                Record::decode(payload, manifest.id.dim).map(|record| index.apply(record)).is_some()
            });
            let damage = match &read {
                Ok(summary) => SegmentDamage::of(segment, summary),
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => {
                    Some(SegmentDamage::unreadable(segment, e))
                }
                Err(e) => return Err(Error::io(path, e)),
            };
            let whole = read.ok().filter(|_| damage.is_none());
            extents.push(whole.map(|summary| Sealed { bytes: summary.end, records: summary.records }));
            index.damage.extend(damage);
        }
        Ok((index, extents))
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

    /// Which part of a folder it is, where several jobs index it.
    pub fn part(&self) -> Option<&IndexPart> {
        self.part.as_ref()
    }

    /// Segments of which something cannot be read: a damaged disk, or a file that was changed or deleted. Indexing the
    /// same folders again embeds what they held. The unfinished record of a writer that was killed is not damage.
    pub fn damage(&self) -> &[SegmentDamage] {
        &self.damage
    }

    /// Checks that queries embedded by `id` may be compared with this index.
    ///
    /// # Errors
    /// Another model or other weights made it.
    pub fn require(&self, id: &ModelId) -> Result<()> {
        self.id.require(&self.dir, id)
    }

    /// Checks that `id` is this index's model, whatever its sparsity.
    ///
    /// # Errors
    /// Another model or other weights made it.
    pub fn require_weights(&self, id: &ModelId) -> Result<()> {
        self.require(&ModelId { sparsity: self.id.sparsity.clone(), ..id.clone() })
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
