//! From the segments of an index to what it holds: every record in turn, damaged ones left out and counted.

use super::entry::{Content, FileEntry};
use super::manifest::{IndexManifest, Sealed, SegmentEntry};
use super::record::{Record, RecordContent};
use super::table::{TableDamage, VectorTable};
use super::{ClipEmbedding, Index, SegmentDamage, segment_reader};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

impl Index {
    /// Without files.
    pub(super) fn empty(dir: &Path, manifest: &IndexManifest) -> Self {
        Self {
            dir: dir.to_path_buf(),
            id: manifest.id.clone(),
            part: manifest.part.clone(),
            precision: manifest.vectors,
            files: BTreeMap::new(),
            tables: vec![VectorTable::in_memory(manifest.id.dim)],
            clips: 0,
            words: 0,
            damage: Vec::new(),
            layout: OnceLock::new(),
        }
    }

    /// Every record of every segment in turn; later ones replace earlier ones of the same file. Also what each
    /// undamaged segment holds.
    pub(super) fn replay(dir: &Path, manifest: &IndexManifest) -> Result<(Self, Vec<Option<Sealed>>)> {
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
    pub(super) fn apply(&mut self, record: Record, table: Option<usize>) -> bool {
        let (path, stamp, content) = match record {
            Record::Removed(path) => {
                self.remove(&path);
                return true;
            }
            Record::File(path, stamp, content) => (path, stamp, content),
        };
        let (words, content) = match content {
            RecordContent::Words { words, clips } => (Some(Arc::new(words)), *clips),
            content => (None, content),
        };
        let Some(content) = self.hold_content(content, table) else { return false };
        self.insert(path.into(), FileEntry { stamp, content, words });
        true
    }

    /// What a record says of clips, with their vectors in memory or in `table`; none where it names rows that are not
    /// there.
    fn hold_content(&mut self, content: RecordContent, table: Option<usize>) -> Option<Content> {
        match content {
            RecordContent::Broken(reason) => Some(Content::Broken(reason)),
            RecordContent::Clips(clips) => Some(self.hold(&clips)),
            RecordContent::Rows { first, spans } => {
                let rows = table.map_or(0, |table| self.tables[table].shape().rows as u64);
                first.checked_add(spans.len() as u64).filter(|end| *end <= rows)?;
                table.map(|table| Content::Clips { table, first: first as usize, spans })
            }
            // Words of words are never written.
            RecordContent::Words { .. } => None,
        }
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
        *self.count_of(&entry) += entry.spans().len();
        if let Some(replaced) = self.files.insert(path, entry) {
            *self.count_of(&replaced) -= replaced.spans().len();
        }
    }

    fn remove(&mut self, path: &Path) {
        self.layout.take();
        if let Some(removed) = self.files.remove(path) {
            *self.count_of(&removed) -= removed.spans().len();
        }
    }

    /// The number of clips or of words, whichever `entry` has.
    fn count_of(&mut self, entry: &FileEntry) -> &mut usize {
        if entry.words.is_some() { &mut self.words } else { &mut self.clips }
    }

    /// Takes in all files of `other`, an index of the same model, and its tables.
    pub(super) fn adopt(&mut self, other: &Self) {
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
}

/// Whether an error of reading is what a damaged disk or a deleted file makes.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput)
}
