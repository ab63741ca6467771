//! Which clips lie closest to a query.

use super::entry::normalised;
use super::scan::{self, Candidate, Layout, Scan};
use super::table::VectorTable;
use super::{ClipSpan, Content, Index, Stamp};
use crate::{Error, Result};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// A clip found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit<'a> {
    /// Product of the query's unit vector and the clip's, -1 to 1: their cosine, or, where the model's clip vectors are
    /// means over frames, the mean of the frames' cosines. [`Index::nearest`] has cosines throughout.
    pub score: f32,
    /// The file.
    pub path: &'a Path,
    /// The clip in it.
    pub clip: ClipSpan,
}

/// Whether a file's clips are searched, by its name, its stamp and its clips.
pub type FileTest<'a> = dyn Fn(&Path, &Stamp, &[ClipSpan]) -> bool + 'a;

/// Limits a search to some files; nothing set means all. Rows of other files are passed over without being read.
#[derive(Clone, Copy, Default)]
pub struct SearchScope<'a> {
    /// Only this file, or files below this folder.
    pub within: Option<&'a Path>,
    /// Only files that it says yes to: by their date, length or anything else.
    pub admits: Option<&'a FileTest<'a>>,
}

impl fmt::Debug for SearchScope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchScope").field("within", &self.within).field("admits", &self.admits.is_some()).finish()
    }
}

impl Index {
    /// The `top` clips with the highest score for `query` `[dim]`, best first; of equal ones the earlier file and
    /// time first. Every clip is compared, on all cores: a million clips of 256 numbers take as long as reading their
    /// gigabyte from memory.
    ///
    /// # Errors
    /// The query has another width, or no direction.
    pub fn search(&self, query: &[f32], top: usize) -> Result<Vec<Hit<'_>>> {
        self.search_in(query, top, &SearchScope::default())
    }

    /// As [`Index::search`], among the files of `scope`.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn search_in(&self, query: &[f32], top: usize, scope: &SearchScope<'_>) -> Result<Vec<Hit<'_>>> {
        let queries = [self.checked(query)?];
        Ok(self.hits(&Scan::new(&queries, false, top), &self.owners(scope)))
    }

    /// As [`Index::search_in`], but of clips of one video that overlap only the best.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn search_distinct(&self, query: &[f32], top: usize, scope: &SearchScope<'_>) -> Result<Vec<Hit<'_>>> {
        Ok(self.distinct(&[self.checked(query)?], false, top, scope))
    }

    /// The `top` clips most like any of `clips` `[dim]`: a clip's score is its cosine to the nearest of them, whatever
    /// the lengths of both.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn nearest<V: AsRef<[f32]>>(&self, clips: &[V], top: usize) -> Result<Vec<Hit<'_>>> {
        let queries = self.all_checked(clips)?;
        Ok(self.hits(&Scan::new(&queries, true, top), &self.owners(&SearchScope::default())))
    }

    /// As [`Index::nearest`], among the files of `scope`, and of clips of one video that overlap only the best.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn nearest_distinct<V: AsRef<[f32]>>(
        &self,
        clips: &[V],
        top: usize,
        scope: &SearchScope<'_>,
    ) -> Result<Vec<Hit<'_>>> {
        Ok(self.distinct(&self.all_checked(clips)?, true, top, scope))
    }

    /// Bytes of the stored vectors, scales included.
    pub fn vector_bytes(&self) -> u64 {
        let bytes = |table: &VectorTable| {
            let shape = table.shape();
            (table.present() * (shape.stride() + shape.precision.scale_bytes())) as u64
        };
        self.tables.iter().map(bytes).sum()
    }

    /// The sum of the stored vectors' bytes as 8-byte words, on all cores: what a search takes at least, for
    /// measurements.
    pub fn sum_of_bytes(&self) -> u64 {
        scan::sum_of_bytes(&self.tables)
    }

    /// More clips are asked for until enough of them do not overlap, or there are no more.
    fn distinct(&self, queries: &[Vec<f32>], directions: bool, top: usize, scope: &SearchScope<'_>) -> Vec<Hit<'_>> {
        let owners = self.owners(scope);
        // Neighbours share half their length unless they are cut otherwise: three of a kind are mostly enough.
        let mut asked = top.saturating_mul(4);
        loop {
            let hits = self.hits(&Scan::new(queries, directions, asked), &owners);
            let is_all = hits.len() < asked;
            let found = without_overlaps(hits, top);
            if is_all || found.len() == top {
                return found;
            }
            asked = asked.saturating_mul(8);
        }
    }

    fn hits(&self, scan: &Scan<'_>, owners: &[Vec<u32>]) -> Vec<Hit<'_>> {
        let paths = &self.layout().paths;
        let hit = |row: Candidate| {
            let path: &Path = paths.get(row.file as usize)?;
            let Content::Clips { first, spans, .. } = &self.files.get(path)?.content else { return None };
            Some(Hit { score: row.score, path, clip: *spans.get(row.row - first)? })
        };
        scan.run(&self.tables, owners).into_iter().filter_map(hit).collect()
    }

    pub(super) fn layout(&self) -> &Layout {
        self.layout.get_or_init(|| Layout::new(&self.files, &self.tables))
    }

    fn owners(&self, scope: &SearchScope<'_>) -> Cow<'_, [Vec<u32>]> {
        let layout = self.layout();
        match scope {
            SearchScope { within: None, admits: None } => Cow::Borrowed(&layout.owners),
            scope => Cow::Owned(layout.owners_in(scope, &self.files, &self.tables)),
        }
    }

    fn all_checked<V: AsRef<[f32]>>(&self, clips: &[V]) -> Result<Vec<Vec<f32>>> {
        clips.iter().map(|clip| self.checked(clip.as_ref())).collect()
    }

    pub(super) fn checked(&self, query: &[f32]) -> Result<Vec<f32>> {
        let dim = self.id.dim;
        if query.len() != dim {
            let problem = format!("the query has {} numbers, embeddings here have {dim}", query.len());
            return Err(Error::file(&self.dir, problem, "embed the query with the model of the index"));
        }
        normalised(query).ok_or_else(|| {
            Error::setting("query", "its embedding is zero or not finite", "check the checkpoint's weights")
        })
    }
}

/// The `wanted` best of `hits`: of overlapping clips of a video only the best.
fn without_overlaps(hits: Vec<Hit<'_>>, wanted: usize) -> Vec<Hit<'_>> {
    let mut taken: HashMap<&Path, Vec<ClipSpan>> = HashMap::new();
    let mut found = Vec::new();
    for hit in hits {
        if found.len() == wanted {
            break;
        }
        let spans = taken.entry(hit.path).or_default();
        if spans.iter().all(|span| hit.clip.start >= span.end || hit.clip.end <= span.start) {
            spans.push(hit.clip);
            found.push(hit);
        }
    }
    found
}
