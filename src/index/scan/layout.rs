//! Which rows of which table belong to which file.

use super::super::entry::{Content, FileEntry};
use super::super::search::SearchScope;
use super::super::table::VectorTable;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

/// The owner of a row that is not searched: its file was replaced, is damaged or is out of the search's scope.
pub(in super::super) const NOBODY: u32 = u32::MAX;

/// The files by number, and the number of each row's: of clips, and of words by themselves.
#[derive(Clone, Debug)]
pub(in super::super) struct Layout {
    /// In the order of names.
    pub paths: Vec<Arc<Path>>,
    /// Per table and row of a clip.
    pub owners: Vec<Vec<u32>>,
    /// Per table and row of a text; empty where there are none.
    pub word_owners: Vec<Vec<u32>>,
}

impl Layout {
    pub fn new(files: &BTreeMap<Arc<Path>, FileEntry>, tables: &[VectorTable]) -> Self {
        let mut owners = unowned(tables);
        for (number, entry) in files.values().enumerate().filter(|(_, entry)| entry.words.is_none()) {
            give(&mut owners, number as u32, entry);
        }
        let word_owners = Self::word_owners_in(files, tables, |_| true);
        Self { paths: files.keys().cloned().collect(), owners, word_owners }
    }

    /// The owners of rows of words whose video is such that `admits`.
    pub fn word_owners_in(
        files: &BTreeMap<Arc<Path>, FileEntry>,
        tables: &[VectorTable],
        admits: impl Fn(&Path) -> bool,
    ) -> Vec<Vec<u32>> {
        let said = |entry: &FileEntry| entry.words.as_ref().is_some_and(|words| admits(&words.video));
        let mut owners = Vec::new();
        for (number, entry) in files.values().enumerate().filter(|(_, entry)| said(entry)) {
            if owners.is_empty() {
                owners = unowned(tables);
            }
            give(&mut owners, number as u32, entry);
        }
        owners
    }

    /// The owners of rows of files in `scope` alone.
    pub fn owners_in(
        &self,
        scope: &SearchScope<'_>,
        files: &BTreeMap<Arc<Path>, FileEntry>,
        tables: &[VectorTable],
    ) -> Vec<Vec<u32>> {
        let mut owners = unowned(tables);
        // Files below a folder follow one another in the order of names.
        let first = scope.within.map_or(0, |within| self.paths.partition_point(|path| **path < *within));
        let from = scope.within.map_or(Bound::Unbounded, Bound::Included);
        let candidates = files.range::<Path, _>((from, Bound::Unbounded)).zip(first as u32..);
        for ((path, entry), number) in candidates {
            if scope.within.is_some_and(|within| !path.starts_with(within)) {
                break;
            }
            if entry.words.is_none() && scope.admits.is_none_or(|admits| admits(path, &entry.stamp, entry.spans())) {
                give(&mut owners, number, entry);
            }
        }
        owners
    }
}

fn unowned(tables: &[VectorTable]) -> Vec<Vec<u32>> {
    tables.iter().map(|table| vec![NOBODY; table.present()]).collect()
}

/// Gives the rows of `entry` to file `number`.
fn give(owners: &mut [Vec<u32>], number: u32, entry: &FileEntry) {
    if let Content::Clips { table, first, spans } = &entry.content {
        // Rows of damaged files are not there; those files are not listed either.
        let rows = owners.get_mut(*table).and_then(|owners| owners.get_mut(*first..*first + spans.len()));
        rows.into_iter().for_each(|rows| rows.fill(number));
    }
}
