//! The writer of an index; one per directory.

use super::entry::{Content, FileEntry, at_most_unit};
use super::lock::{self, LOCK};
use super::manifest::{IndexManifest, IndexPart, SegmentEntry, TableEntry};
use super::precision::VectorPrecision;
use super::record::{Record, RecordContent};
use super::segment::{SegmentWriter, same_file};
use super::table::TableShape;
use super::table_writer::TableWriter;
use super::{ClipEmbedding, Index, ModelId, Stamp, Words};
use crate::files::HeldLock;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// More segments than this are merged into one when an indexer finishes.
const MOST_SEGMENTS: usize = 8;

/// Vectors of a table that is worth its file: 16 MB of vectors of 256 numbers.
const LEAST_TABLE: usize = 16_384;

/// A table is written anew when one vector in so many is not in it.
const LOOSE_SHARE: usize = 8;

/// What an index held when its indexer finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexSummary {
    /// Files known, broken ones included.
    pub files: usize,
    /// Embedded clips.
    pub clips: usize,
    /// Files that could not be embedded.
    pub broken: usize,
}

/// Writes an index; holds its lock until dropped. Each call that returns has written its record to the file;
/// [`IndexWriter::commit`] makes it survive a power cut.
#[derive(Debug)]
pub struct IndexWriter {
    /// Released by the system when the process ends, however it ends.
    lock: HeldLock,
    manifest: IndexManifest,
    index: Index,
    writer: Option<SegmentWriter>,
    /// Records on disk that later ones replaced.
    stale: usize,
    /// Whether it holds what no segment of its own does.
    adopted: bool,
}

impl IndexWriter {
    /// Opens or creates the index in `dir` for embeddings of `id`.
    ///
    /// # Errors
    /// Another process is indexing, another model made the index, or the directory cannot be written.
    pub fn open(dir: impl AsRef<Path>, id: &ModelId) -> Result<Self> {
        Self::open_part(dir, id, None)
    }

    /// As [`IndexWriter::open`], for the `part` of one job among several, or for all of an index. The index of a part
    /// says that it is complete once [`IndexWriter::finish`] has returned.
    ///
    /// # Errors
    /// As [`IndexWriter::open`], and an index that holds another part.
    pub fn open_part(dir: impl AsRef<Path>, id: &ModelId, part: Option<&IndexPart>) -> Result<Self> {
        let dir = dir.as_ref();
        std::fs::create_dir_all(dir).map_err(|e| Error::io(dir, &e))?;
        let lock = lock::exclusive(dir)?;
        let mut manifest = match IndexManifest::read(dir)? {
            Some(manifest) => manifest,
            None => {
                refuse_orphans(dir)?;
                let part = part.map(|part| IndexPart { complete: false, ..part.clone() });
                let manifest = IndexManifest::new(id.clone(), part);
                manifest.write(dir)?;
                manifest
            }
        };
        manifest.id.require(dir, id)?;
        manifest.start_part(dir, part)?;
        remove_unnamed_tables(dir, &manifest);
        let (index, extents) = Index::replay(dir, &manifest)?;
        // What a killed writer left is now counted; the unfinished record behind it is never looked at again.
        for (segment, extent) in manifest.segments.iter_mut().zip(extents) {
            segment.sealed = segment.sealed.or(extent);
        }
        Ok(Self { lock, manifest, index, writer: None, stale: 0, adopted: false })
    }

    /// What the index holds now.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Stores the clips of `path`, replacing what was known of it. Vectors longer than 1 are scaled to
    /// length 1; shorter ones, means over the unit vectors of frames, keep their length.
    ///
    /// # Errors
    /// A vector of another width, not finite or zero; or the disk refuses.
    pub fn add(&mut self, path: &Path, stamp: Stamp, clips: Vec<ClipEmbedding>) -> Result<()> {
        let clips = self.checked(path, clips)?;
        self.put(path, stamp, RecordContent::Clips(clips))
    }

    /// Stores what the file of subtitles `path` says, replacing what was known of it: `words` has a text for each of
    /// `clips`, the spans and vectors of the texts.
    ///
    /// # Errors
    /// As [`IndexWriter::add`].
    pub fn add_words(&mut self, path: &Path, stamp: Stamp, words: Words, clips: Vec<ClipEmbedding>) -> Result<()> {
        debug_assert_eq!(words.texts.len(), clips.len());
        let clips = self.checked(path, clips)?;
        if !self.manifest.words {
            // Before the first of them, so that older programs take them for no damage.
            self.manifest.words = true;
            self.manifest.write(&self.index.dir)?;
        }
        self.put(path, stamp, RecordContent::of_words(words, RecordContent::Clips(clips)))
    }

    /// `clips` of `path` with vectors as they are stored.
    fn checked(&self, path: &Path, clips: Vec<ClipEmbedding>) -> Result<Vec<ClipEmbedding>> {
        let dim = self.manifest.id.dim;
        let checked = clips.into_iter().map(|clip| match at_most_unit(&clip.vector) {
            Some(vector) if vector.len() == dim => Ok(ClipEmbedding { vector, ..clip }),
            Some(vector) => Err(Error::file(
                path,
                format!("an embedding has {} numbers instead of {dim}", vector.len()),
                "embed it with the model of the index",
            )),
            None => Err(Error::file(path, "its embedding is zero or not finite", "check the checkpoint's weights")),
        });
        checked.collect()
    }

    /// Remembers that `path` could not be embedded, and why, so that it is tried again only when it changes.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn add_broken(&mut self, path: &Path, stamp: Stamp, reason: &str) -> Result<()> {
        self.put(path, stamp, RecordContent::Broken(reason.to_owned()))
    }

    /// Takes in everything that the indexes `parts` hold, as their vectors are stored; [`IndexWriter::finish`] writes it.
    pub(super) fn adopt<'a>(&mut self, parts: impl IntoIterator<Item = &'a Index>) {
        for part in parts {
            self.manifest.vectors = part.precision;
            self.index.adopt(part);
        }
        self.adopted = true;
    }

    /// Stores vectors as `precision` says from now on; what is stored otherwise is written anew by
    /// [`IndexWriter::finish`].
    pub fn set_precision(&mut self, precision: VectorPrecision) {
        self.manifest.vectors = precision;
    }

    fn put(&mut self, path: &Path, stamp: Stamp, content: RecordContent) -> Result<()> {
        self.append(Record::File(path.to_path_buf(), stamp, content))
    }

    /// Drops every video and every file of words that `keep` refuses (it was deleted or moved away). Returns how many.
    ///
    /// # Errors
    /// The disk refuses; files dropped before stay dropped.
    pub fn retain(&mut self, mut keep: impl FnMut(&Path) -> bool) -> Result<usize> {
        let all = self.index.files.keys();
        let gone: Vec<PathBuf> = all.filter(|path| !keep(path)).map(|path| path.to_path_buf()).collect();
        for path in &gone {
            self.append(Record::Removed(path.clone()))?;
        }
        Ok(gone.len())
    }

    fn append(&mut self, record: Record) -> Result<()> {
        let (Record::File(path, ..) | Record::Removed(path)) = &record;
        let replaces = self.index.files.contains_key(path.as_path());
        if self.writer.is_none() {
            self.writer = Some(self.start_segment()?);
        }
        if let Some(writer) = &mut self.writer {
            writer.append(&record.encode())?;
        }
        self.stale += usize::from(replaces);
        self.index.apply(record, None);
        Ok(())
    }

    /// A fresh segment, on disk before the manifest names it. What an earlier crash left half-written stays behind in
    /// its own segment and is never appended to.
    fn start_segment(&mut self) -> Result<SegmentWriter> {
        let dir = self.index.dir.clone();
        let (name, writer) = create_segment(&dir)?;
        let mut manifest = self.manifest.clone();
        manifest.segments.push(SegmentEntry { name, sealed: None, table: None });
        manifest.write(&dir)?;
        self.manifest = manifest;
        Ok(writer)
    }

    /// Makes everything added so far survive a power cut; only then report it as saved.
    ///
    /// # Errors
    /// The disk refuses, or the index was deleted or replaced since it was opened.
    pub fn commit(&mut self) -> Result<()> {
        self.writer.as_ref().map_or(Ok(()), SegmentWriter::sync)?;
        let dir = &self.index.dir;
        // The system goes on writing to deleted files: without a look at their names nobody would notice.
        let named = same_file(&self.lock, &dir.join(LOCK)) && IndexManifest::exists(dir);
        if named && self.writer.as_ref().is_none_or(SegmentWriter::is_in_place) {
            return Ok(());
        }
        let problem = "the index was deleted or replaced while it was written: what was embedded is lost";
        Err(Error::file(dir, problem, "index again, and leave its directory alone meanwhile"))
    }

    /// Commits, and merges the segments when there are many, when most of their records are replaced ones, or when one
    /// is damaged: its good records are kept, and the files of the others are no longer known, so that indexing their
    /// folders embeds them.
    ///
    /// # Errors
    /// As [`IndexWriter::commit`]; the index is then as before the merge.
    pub fn finish(mut self) -> Result<IndexSummary> {
        self.commit()?;
        if self.writer.as_ref().is_some_and(|writer| !writer.reads_back()) {
            let problem = "a segment was changed while it was written: what was embedded is lost";
            return Err(Error::file(&self.index.dir, problem, "index again, and leave its directory alone meanwhile"));
        }
        let is_part = self.manifest.part.is_some();
        self.manifest.part.iter_mut().for_each(|part| part.complete = true);
        let many = self.manifest.segments.len() > MOST_SEGMENTS || self.stale > self.index.files.len();
        if many || self.adopted || self.has_loose_vectors() || !self.index.damage.is_empty() {
            self.merge()?;
        } else if self.writer.is_some() || is_part {
            if let (Some(writer), Some(last)) = (&self.writer, self.manifest.segments.last_mut()) {
                last.sealed = Some(writer.sealed());
            }
            self.manifest.write(&self.index.dir)?;
        }
        let (files, broken) = (self.index.files().count(), self.index.broken().count());
        Ok(IndexSummary { files, clips: self.index.clips(), broken })
    }

    /// Whether so many vectors lie in records, or in tables of another precision, that a new table pays.
    fn has_loose_vectors(&self) -> bool {
        let wanted = self.manifest.vectors;
        let loose = |table: usize| table == 0 || self.index.tables[table].shape().precision != wanted;
        let rows = |content: &Content| match content {
            Content::Clips { table, spans, .. } if loose(*table) => spans.len(),
            _ => 0,
        };
        let loose: usize = self.index.files.values().map(|entry| rows(&entry.content)).sum();
        loose >= least_table(wanted) && loose.saturating_mul(LOOSE_SHARE) >= self.index.rows()
    }

    fn merge(&mut self) -> Result<()> {
        let dir = self.index.dir.clone();
        self.manifest.words = self.index.words() > 0;
        let merged = if self.index.rows() >= least_table(self.manifest.vectors) {
            self.write_table(&dir)?
        } else {
            self.write_records(&dir)?
        };
        let old = std::mem::replace(&mut self.manifest.segments, vec![merged]);
        self.manifest.write(&dir)?;
        // A file that cannot be deleted is no longer named by the manifest and does no harm.
        let tables = old.iter().filter_map(|segment| segment.table.as_ref()).map(|table| &table.name);
        let names = old.iter().map(|segment| &segment.name).chain(tables);
        names.for_each(|name| drop(std::fs::remove_file(dir.join(name))));
        Ok(())
    }

    /// Everything in one segment whose records hold their vectors.
    fn write_records(&self, dir: &Path) -> Result<SegmentEntry> {
        let (name, mut writer) = create_segment(dir)?;
        for (path, entry) in &self.index.files {
            let content = match &entry.content {
                Content::Broken(reason) => RecordContent::Broken(reason.clone()),
                Content::Clips { .. } => RecordContent::Clips(self.index.clips_of(path)),
            };
            writer.append(&record_of(path, entry, content))?;
        }
        writer.sync()?;
        Ok(SegmentEntry { name, sealed: Some(writer.sealed()), table: None })
    }

    /// Everything in one segment and a table of vectors, in the order of names.
    fn write_table(&self, dir: &Path) -> Result<SegmentEntry> {
        let (name, mut writer) = create_segment(dir)?;
        let shape = TableShape { precision: self.manifest.vectors, dim: self.manifest.id.dim, rows: self.index.rows() };
        let table = name.replace(".seg", ".vec");
        let mut vectors = TableWriter::create(dir.join(&table), shape)?;
        for (path, entry) in &self.index.files {
            let content = match &entry.content {
                Content::Broken(reason) => RecordContent::Broken(reason.clone()),
                Content::Clips { table, first, spans } => {
                    let start = vectors.written() as u64;
                    let rows = *first..*first + spans.len();
                    rows.into_iter().try_for_each(|row| vectors.copy(&self.index.tables[*table], row))?;
                    RecordContent::Rows { first: start, spans: spans.clone() }
                }
            };
            writer.append(&record_of(path, entry, content))?;
        }
        vectors.finish()?;
        writer.sync()?;
        let table = TableEntry { name: table, precision: shape.precision, rows: shape.rows as u64 };
        Ok(SegmentEntry { name, sealed: Some(writer.sealed()), table: Some(table) })
    }
}

/// The record of the file `path` whose clips are `content`.
fn record_of(path: &Path, entry: &FileEntry, content: RecordContent) -> Vec<u8> {
    let content = match &entry.words {
        Some(words) => RecordContent::of_words(words.as_ref().clone(), content),
        None => content,
    };
    Record::File(path.to_path_buf(), entry.stamp.clone(), content).encode()
}

/// Vectors from which on a table is made: below, records are read in a moment. Whoever asked for another precision gets
/// it from the first.
fn least_table(precision: VectorPrecision) -> usize {
    if precision == VectorPrecision::F32 { LEAST_TABLE } else { 1 }
}

/// Deletes tables that a killed writer had not finished: they may be gigabytes. What cannot be deleted does no harm.
fn remove_unnamed_tables(dir: &Path, manifest: &IndexManifest) {
    let named = |name: &str| manifest.segments.iter().filter_map(|s| s.table.as_ref()).any(|table| table.name == name);
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".vec") && !named(&name) {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

/// Fails if `dir` holds segments, which nobody can read without the manifest they belong to.
fn refuse_orphans(dir: &Path) -> Result<()> {
    let names = std::fs::read_dir(dir).map_err(|e| Error::io(dir, &e))?.flatten().map(|entry| entry.path());
    let segments = names.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).count();
    if segments == 0 {
        return Ok(());
    }
    let problem = format!("holds {segments} segment(s) of an index and no manifest.json");
    Err(Error::file(dir, problem, "bring the manifest back, or delete the directory and index again"))
}

/// A segment under the lowest number that was never used.
fn create_segment(dir: &Path) -> Result<(String, SegmentWriter)> {
    let listed = std::fs::read_dir(dir).map_err(|e| Error::io(dir, &e))?;
    let number = |entry: std::fs::DirEntry| entry.path().file_stem()?.to_str()?.parse::<u64>().ok();
    let last = listed.flatten().filter_map(number).max().unwrap_or(0);
    let name = format!("{:06}.seg", last.saturating_add(1));
    SegmentWriter::create(dir.join(&name)).map(|writer| (name, writer))
}

#[cfg(test)]
mod tests;
