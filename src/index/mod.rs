//! Embeddings on disk, searched; vectors only.
//!
//! An index is one directory: `manifest.json` names the model and the segments, `NNNNNN.seg` files hold what was
//! embedded, `lock` keeps a second indexer out. Segments only grow, every record carries its length and checksum, and
//! the manifest is replaced in one step, so a crash at any moment loses at most the record that was being written.
//! Finished segments are listed with their length and number of records, so that damage is told from a crash and
//! counted; reading goes on behind it. When vectors are many, an indexer that finishes moves them to a table beside a
//! segment, `NNNNNN.vec`, which is mapped and searched as it lies there; [`VectorPrecision`] says what it is stored in.
//! What is said in videos ([`Words`]) has records and vectors as clips have, under the names of the files of subtitles, and
//! is searched by itself.
//! [`Index::open`] reads beside a running [`IndexWriter`] and sees what was complete at that moment.

mod damage;
mod entry;
mod lock;
mod manifest;
mod map;
mod merge;
mod precision;
mod record;
mod replay;
mod scan;
mod search;
mod segment;
mod segment_reader;
mod table;
mod table_writer;
mod words;
mod writer;

pub use damage::SegmentDamage;
#[cfg(test)]
pub(crate) use entry::test_model;
pub use entry::{ClipEmbedding, ClipSpan, ModelId, Stamp};
pub use lock::ReadGuard;
pub use manifest::IndexPart;
pub use merge::merge_parts;
pub use precision::VectorPrecision;
pub use search::{Hit, SearchScope};
pub use words::{WordHit, Words};
pub use writer::{IndexSummary, IndexWriter};

use crate::{Error, Result};
use entry::{Content, FileEntry};
use manifest::IndexManifest;
use scan::Layout;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use table::VectorTable;

/// The content of an index: its files in memory, its vectors there or mapped.
#[derive(Clone, Debug)]
pub struct Index {
    dir: PathBuf,
    id: ModelId,
    part: Option<IndexPart>,
    precision: VectorPrecision,
    files: BTreeMap<Arc<Path>, FileEntry>,
    /// The first is the one in memory, of records that hold their vectors.
    tables: Vec<VectorTable>,
    clips: usize,
    /// Texts of what is said.
    words: usize,
    damage: Vec<SegmentDamage>,
    /// Which rows are whose; made when it is first searched.
    layout: OnceLock<Layout>,
}

impl Index {
    /// The model that made the index in `dir`, if there is one: its manifest alone is read.
    ///
    /// # Errors
    /// The manifest is damaged.
    pub fn model_of(dir: &Path) -> Result<Option<ModelId>> {
        Ok(IndexManifest::read(dir)?.map(|manifest| manifest.id))
    }

    /// Reads the index in `dir`; takes no lock and may be called while another process indexes. Vectors in tables are
    /// mapped, and all of them are checked.
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

    /// Reads the index in `dir` while no process writes to it, and keeps writers out until the guard is dropped: for
    /// what needs one state of all of it.
    ///
    /// # Errors
    /// As [`Index::open`], or a process is indexing into it.
    pub fn open_settled(dir: impl AsRef<Path>) -> Result<(Self, ReadGuard)> {
        let guard = lock::shared(dir.as_ref(), "start again when the process that indexes into it has finished")?;
        Ok((Self::open(dir)?, guard))
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

    /// Checks that `id` is this index's model, whatever its sparsity and what it computes in.
    ///
    /// # Errors
    /// Another model or other weights made it.
    pub fn require_weights(&self, id: &ModelId) -> Result<()> {
        let (sparsity, precision) = (self.id.sparsity.clone(), self.id.precision);
        self.require(&ModelId { sparsity, precision, ..id.clone() })
    }

    /// Whether `path` is known with exactly this stamp, so that it need not be read again.
    pub fn is_current(&self, path: &Path, stamp: &Stamp) -> bool {
        self.files.get(path).is_some_and(|entry| entry.stamp == *stamp)
    }

    /// What is known of the file that stands under `path`.
    pub fn stamp(&self, path: &Path) -> Option<&Stamp> {
        self.files.get(path).map(|entry| &entry.stamp)
    }

    /// All videos, broken ones included, in order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter(|(_, entry)| entry.words.is_none()).map(|(path, _)| &**path)
    }

    /// The file `path`, if it is known, as long as the index lives.
    pub fn file(&self, path: &Path) -> Option<&Path> {
        self.files.get_key_value(path).map(|(path, _)| &**path)
    }

    /// Files that could not be embedded, each with the reason.
    pub fn broken(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files.iter().filter_map(|(path, entry)| match &entry.content {
            Content::Broken(reason) => Some((&**path, reason.as_str())),
            Content::Clips { .. } => None,
        })
    }

    /// When the embedded clips of one file are shown; none when it is unknown or broken.
    pub fn spans_of(&self, path: &Path) -> &[ClipSpan] {
        self.files.get(path).map_or(&[], FileEntry::spans)
    }

    /// Embedded clips of one file with their vectors, as they are stored; none when it is unknown or broken.
    pub fn clips_of(&self, path: &Path) -> Vec<ClipEmbedding> {
        let Some(Content::Clips { table, first, spans }) = self.files.get(path).map(|entry| &entry.content) else {
            return Vec::new();
        };
        let table = &self.tables[*table];
        let clip = |(row, span): (usize, &ClipSpan)| ClipEmbedding {
            start: span.start,
            end: span.end,
            vector: table.vector(first + row),
        };
        spans.iter().enumerate().map(clip).collect()
    }

    /// Number of embedded clips.
    pub fn clips(&self) -> usize {
        self.clips
    }

    /// What its vectors are stored in once they are many; those of the last few files may still be as they were
    /// embedded.
    pub fn precision(&self) -> VectorPrecision {
        self.precision
    }
}
