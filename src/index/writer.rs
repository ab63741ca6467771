//! The writer of an index; one per directory.

use super::entry::{Content, FileEntry, at_most_unit};
use super::lock::{self, LOCK};
use super::manifest::{IndexManifest, IndexPart, SegmentEntry};
use super::record::Record;
use super::segment::{SegmentWriter, same_file};
use super::{ClipEmbedding, Index, ModelId, Stamp};
use crate::{Error, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

/// More segments than this are merged into one when an indexer finishes.
const MOST_SEGMENTS: usize = 8;

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
    lock: File,
    manifest: IndexManifest,
    index: Index,
    writer: Option<SegmentWriter>,
    /// Records on disk that later ones replaced.
    stale: usize,
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
                let part = part.map(|part| IndexPart { complete: false, ..part.clone() });
                let manifest = IndexManifest::new(id.clone(), part);
                manifest.write(dir)?;
                manifest
            }
        };
        manifest.id.require(dir, id)?;
        manifest.start_part(dir, part)?;
        let (index, extents) = Index::replay(dir, &manifest)?;
        // What a killed writer left is now counted; the unfinished record behind it is never looked at again.
        for (segment, extent) in manifest.segments.iter_mut().zip(extents) {
            segment.sealed = segment.sealed.or(extent);
        }
        Ok(Self { lock, manifest, index, writer: None, stale: 0 })
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
        let content = Content::Clips(checked.collect::<Result<_>>()?);
        self.put(path, FileEntry { stamp, content })
    }

    /// Remembers that `path` could not be embedded, and why, so that it is tried again only when it changes.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn add_broken(&mut self, path: &Path, stamp: Stamp, reason: &str) -> Result<()> {
        self.put(path, FileEntry { stamp, content: Content::Broken(reason.to_owned()) })
    }

    /// Stores what `from` knows of `path`.
    pub(super) fn copy(&mut self, path: &Path, from: &Index) -> Result<()> {
        from.files.get(path).map_or(Ok(()), |entry| self.put(path, entry.clone()))
    }

    fn put(&mut self, path: &Path, entry: FileEntry) -> Result<()> {
        self.append(Record::File(path.to_path_buf(), entry))
    }

    /// Drops every file that `keep` refuses (it was deleted or moved away). Returns how many.
    ///
    /// # Errors
    /// The disk refuses; files dropped before stay dropped.
    pub fn retain(&mut self, mut keep: impl FnMut(&Path) -> bool) -> Result<usize> {
        let gone: Vec<PathBuf> = self.index.files().filter(|path| !keep(path)).map(Path::to_path_buf).collect();
        for path in &gone {
            self.append(Record::Removed(path.clone()))?;
        }
        Ok(gone.len())
    }

    fn append(&mut self, record: Record) -> Result<()> {
        let (Record::File(path, _) | Record::Removed(path)) = &record;
        let replaces = self.index.files.contains_key(path);
        if self.writer.is_none() {
            self.writer = Some(self.start_segment()?);
        }
        if let Some(writer) = &mut self.writer {
            writer.append(&record.encode())?;
        }
        self.stale += usize::from(replaces);
        self.index.apply(record);
        Ok(())
    }

    /// A fresh segment, on disk before the manifest names it. What an earlier crash left half-written stays behind in
    /// its own segment and is never appended to.
    fn start_segment(&mut self) -> Result<SegmentWriter> {
        let dir = self.index.dir.clone();
        let (name, writer) = create_segment(&dir)?;
        let mut manifest = self.manifest.clone();
        manifest.segments.push(SegmentEntry { name, sealed: None });
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
        if many || !self.index.damage.is_empty() {
            self.merge()?;
        } else if self.writer.is_some() || is_part {
            if let (Some(writer), Some(last)) = (&self.writer, self.manifest.segments.last_mut()) {
                last.sealed = Some(writer.sealed());
            }
            self.manifest.write(&self.index.dir)?;
        }
        let broken = self.index.broken().count();
        Ok(IndexSummary { files: self.index.files.len(), clips: self.index.clips(), broken })
    }

    fn merge(&mut self) -> Result<()> {
        let dir = self.index.dir.clone();
        let (name, mut writer) = create_segment(&dir)?;
        for (path, entry) in &self.index.files {
            writer.append(&Record::File(path.clone(), entry.clone()).encode())?;
        }
        writer.sync()?;
        let merged = SegmentEntry { name, sealed: Some(writer.sealed()) };
        let old = std::mem::replace(&mut self.manifest.segments, vec![merged]);
        self.manifest.write(&dir)?;
        // A file that cannot be deleted is no longer named by the manifest and does no harm.
        old.iter().for_each(|segment| drop(std::fs::remove_file(dir.join(&segment.name))));
        Ok(())
    }
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
