//! Embeddings on disk, searched; vectors only.
//!
//! An index is one directory: `manifest.json` names the model and the segments, `NNNNNN.seg` files hold what was
//! embedded, `lock` keeps a second indexer out. Segments only grow, every record carries its length and checksum, and
//! the manifest is replaced in one step, so a crash at any moment loses at most the record that was being written.
//! Finished segments are listed with their length and number of records, so that damage is told from a crash and
//! counted; reading goes on behind it. When vectors are many, an indexer that finishes moves them to a table beside a
//! segment, `NNNNNN.vec`, which is mapped and searched as it lies there; [`VectorPrecision`] says what it is stored in.
//! [`Index::open`] reads beside a running [`IndexWriter`] and sees what was complete at that moment.

mod damage;
mod entry;
mod lock;
mod manifest;
mod map;
mod merge;
mod precision;
mod record;
mod scan;
mod search;
mod segment;
mod segment_reader;
mod table;
mod table_writer;
mod writer;

pub use damage::SegmentDamage;
pub use entry::{ClipEmbedding, ClipSpan, ModelId, Stamp};
pub use lock::ReadGuard;
pub use manifest::IndexPart;
pub use merge::merge_parts;
pub use precision::VectorPrecision;
pub use search::{Hit, SearchScope};
pub use writer::{IndexSummary, IndexWriter};

use crate::{Error, Result};
use entry::{Content, FileEntry};
use manifest::{IndexManifest, Sealed, SegmentEntry};
use record::{Record, RecordContent};
use scan::Layout;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use table::{TableDamage, VectorTable};

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
    damage: Vec<SegmentDamage>,
    /// Which rows are whose; made when it is first searched.
    layout: OnceLock<Layout>,
}

impl Index {
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

    /// Without files.
    fn empty(dir: &Path, manifest: &IndexManifest) -> Self {
        Self {
            dir: dir.to_path_buf(),
            id: manifest.id.clone(),
            part: manifest.part.clone(),
            precision: manifest.vectors,
            files: BTreeMap::new(),
            tables: vec![VectorTable::in_memory(manifest.id.dim)],
            clips: 0,
            damage: Vec::new(),
            layout: OnceLock::new(),
        }
    }

    /// Every record of every segment in turn; later ones replace earlier ones of the same file. Also what each
    /// undamaged segment holds.
    fn replay(dir: &Path, manifest: &IndexManifest) -> Result<(Self, Vec<Option<Sealed>>)> {
        let mut index = Self::empty(dir, manifest);
        let mut extents = Vec::new();
        for segment in &manifest.segments {
            let path = dir.join(&segment.name);
            let table = index.open_table(segment)?;
            let number = table.as_ref().map(|_| index.tables.len() - 1);
            let limit = segment.sealed.map(|sealed| sealed.bytes);
            let read = segment_reader::read(&path, limit, |payload| {
                Record::decode(payload, manifest.id.dim).is_some_and(|record| index.apply(record, number))
            });
            let damage = match &read {
                Ok(summary) => SegmentDamage::of(segment, summary),
                Err(e) if is_damage(e) => Some(SegmentDamage::unreadable(segment, e)),
                Err(e) => return Err(Error::io(path, e)),
            };
            let whole = read.ok().filter(|_| damage.is_none());
            extents.push(whole.map(|summary| Sealed { bytes: summary.end, records: summary.records }));
            index.damage.extend(damage);
            if let (Some(found), Some(number)) = (table, number) {
                index.drop_damaged(segment, number, found);
            }
        }
        Ok((index, extents))
    }

    /// Opens the table of `segment`, if it has one: without vectors where it cannot be read, which is then its damage.
    fn open_table(&mut self, segment: &SegmentEntry) -> Result<Option<io::Result<TableDamage>>> {
        let Some(entry) = &segment.table else { return Ok(None) };
        let path = self.dir.join(&entry.name);
        let shape = entry.shape(self.id.dim);
        let (table, damage) = match VectorTable::open(&path, shape) {
            Ok((table, damage)) => (table, Ok(damage)),
            Err(e) if is_damage(&e) => (VectorTable::absent(shape), Err(e)),
            Err(e) => return Err(Error::io(path, &e)),
        };
        self.tables.push(table);
        Ok(Some(damage))
    }

    /// Forgets the files whose vectors the damaged table `number` of `segment` has lost, and keeps what to say of it.
    fn drop_damaged(&mut self, segment: &SegmentEntry, number: usize, found: io::Result<TableDamage>) {
        let lost: Vec<Arc<Path>> = match &found {
            Ok(damage) if damage.bytes == 0 => return,
            Ok(damage) => self.files_where(number, |rows| damage.concerns(rows)),
            Err(_) => self.files_where(number, |rows| !rows.is_empty()),
        };
        for path in &lost {
            self.remove(path);
        }
        self.damage.extend(segment.table.as_ref().map(|table| SegmentDamage::of_table(table, lost.len(), &found)));
    }

    /// Files whose rows of table `number` are such that `wanted`.
    fn files_where(&self, number: usize, wanted: impl Fn(Range<usize>) -> bool) -> Vec<Arc<Path>> {
        let is_wanted = |entry: &FileEntry| match &entry.content {
            Content::Clips { table, first, spans } => *table == number && wanted(*first..first + spans.len()),
            Content::Broken(_) => false,
        };
        self.files.iter().filter(|(_, entry)| is_wanted(entry)).map(|(path, _)| path.clone()).collect()
    }

    /// Takes in a record of a segment whose table is `table`; false where the record names rows that are not there.
    fn apply(&mut self, record: Record, table: Option<usize>) -> bool {
        let (path, stamp, content) = match record {
            Record::Removed(path) => {
                self.remove(&path);
                return true;
            }
            Record::File(path, stamp, content) => (path, stamp, content),
        };
        let content = match content {
            RecordContent::Broken(reason) => Content::Broken(reason),
            RecordContent::Clips(clips) => self.hold(&clips),
            RecordContent::Rows { first, spans } => {
                let rows = table.map_or(0, |table| self.tables[table].shape().rows as u64);
                let end = first.checked_add(spans.len() as u64);
                let (Some(table), true) = (table, end.is_some_and(|end| end <= rows)) else { return false };
                Content::Clips { table, first: first as usize, spans }
            }
        };
        self.insert(path.into(), FileEntry { stamp, content });
        true
    }

    /// Puts vectors into memory.
    fn hold(&mut self, clips: &[ClipEmbedding]) -> Content {
        let memory = &mut self.tables[0];
        let first = memory.shape().rows;
        let spans = clips.iter().map(|clip| {
            memory.push(&clip.vector);
            clip.span()
        });
        Content::Clips { table: 0, first, spans: spans.collect() }
    }

    fn insert(&mut self, path: Arc<Path>, entry: FileEntry) {
        self.layout.take();
        self.clips += entry.spans().len();
        let replaced = self.files.insert(path, entry);
        self.clips -= replaced.map_or(0, |entry| entry.spans().len());
    }

    fn remove(&mut self, path: &Path) {
        self.layout.take();
        self.clips -= self.files.remove(path).map_or(0, |entry| entry.spans().len());
    }

    /// Takes in all files of `other`, an index of the same model, and its tables.
    fn adopt(&mut self, other: &Self) {
        let tables = self.tables.len();
        self.tables.extend(other.tables.iter().cloned());
        for (path, entry) in &other.files {
            let mut entry = entry.clone();
            if let Content::Clips { table, .. } = &mut entry.content {
                *table += tables;
            }
            self.insert(path.clone(), entry);
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
        self.files.keys().map(|path| &**path)
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

/// Whether an error of reading is what a damaged disk or a deleted file makes.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput)
}
