//! What is said in videos: texts with vectors of their own, searched by themselves. A product of two texts' vectors is
//! not of the size of a text's and a clip's, so that one list of both would be a list of the one kind.

use super::entry::{Content, FileEntry, length};
use super::scan::{Layout, Scan};
use super::{ClipSpan, Index};
use crate::Result;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The texts of a file of subtitles.
#[derive(Clone, Debug, PartialEq)]
pub struct Words {
    /// The video in which they are said.
    pub video: PathBuf,
    /// A text for every span, in order.
    pub texts: Vec<String>,
}

/// Words found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WordHit<'a> {
    /// Cosine of the query and the text.
    pub cosine: f32,
    /// The video.
    pub video: &'a Path,
    /// The file of subtitles.
    pub subtitles: &'a Path,
    /// When they are said.
    pub span: ClipSpan,
    /// The words.
    pub text: &'a str,
}

impl Index {
    /// Number of texts with a vector.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Number of vectors, those of clips and of words.
    pub(super) fn rows(&self) -> usize {
        self.clips + self.words
    }

    /// The video that the file of subtitles `path` belongs to, if its words are known.
    pub fn video_of(&self, path: &Path) -> Option<&PathBuf> {
        self.files.get(path)?.words.as_ref().map(|words| &words.video)
    }

    /// All files of words, in order, each with the video it belongs to.
    pub fn word_files(&self) -> impl Iterator<Item = (&Path, &Path)> {
        self.files.iter().filter_map(|(path, entry)| Some((&**path, &*entry.words.as_ref()?.video)))
    }

    /// The `top` texts with the highest cosine to `query` `[dim]`, best first, said in videos that `admits` says yes to.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn search_words(&self, query: &[f32], top: usize, admits: &dyn Fn(&Path) -> bool) -> Result<Vec<WordHit<'_>>> {
        let queries = [self.checked(query)?];
        let owners = self.word_owners(admits);
        let paths = &self.layout().paths;
        let rows = Scan::new(&queries, true, top).run(&self.tables, &owners);
        let hit = |row: super::scan::Candidate| {
            let path: &Path = paths.get(row.file as usize)?;
            let entry = self.files.get(path)?;
            let Content::Clips { first, .. } = entry.content else { return None };
            self.word_hit(path, entry, row.row.checked_sub(first)?, row.score)
        };
        Ok(rows.into_iter().filter_map(hit).collect())
    }

    /// The best `top` texts by what `score` gives their words, best first, with it; those that it gives none are left out.
    /// Of equal ones that with the higher cosine to `query` is first.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn words_by<'a>(
        &'a self,
        query: &[f32],
        admits: &dyn Fn(&Path) -> bool,
        score: &dyn Fn(&str) -> Option<f32>,
        top: usize,
    ) -> Result<Vec<(f32, WordHit<'a>)>> {
        let query = self.checked(query)?;
        let mut found: Vec<(f32, WordHit<'a>)> = Vec::new();
        for (path, entry) in &self.files {
            let Some(words) = entry.words.as_ref().filter(|words| admits(&words.video)) else { continue };
            let Content::Clips { table, first, .. } = &entry.content else { continue };
            for (number, text) in words.texts.iter().enumerate() {
                let Some(given) = score(text) else { continue };
                let vector = self.tables[*table].vector(first + number);
                let length = (length(&vector) as f32).max(f32::MIN_POSITIVE);
                let cosine = vector.iter().zip(&query).map(|(a, b)| a * b).sum::<f32>() / length;
                found.extend(self.word_hit(path, entry, number, cosine).map(|hit| (given, hit)));
            }
        }
        found.sort_by(|(a, x), (b, y)| b.total_cmp(a).then(y.cosine.total_cmp(&x.cosine)));
        found.truncate(top);
        Ok(found)
    }

    /// All texts said in videos that `admits` says yes to.
    pub fn texts<'a>(&'a self, admits: &'a dyn Fn(&Path) -> bool) -> impl Iterator<Item = &'a str> {
        let words = self.files.values().filter_map(|entry| entry.words.as_ref());
        words.filter(|words| admits(&words.video)).flat_map(|words| words.texts.iter().map(String::as_str))
    }

    fn word_hit<'a>(&'a self, path: &'a Path, entry: &'a FileEntry, number: usize, cosine: f32) -> Option<WordHit<'a>> {
        let words = entry.words.as_ref()?;
        let (span, text) = (*entry.spans().get(number)?, words.texts.get(number)?);
        Some(WordHit { cosine, video: &words.video, subtitles: path, span, text })
    }

    fn word_owners(&self, admits: &dyn Fn(&Path) -> bool) -> Cow<'_, [Vec<u32>]> {
        match self.word_files().all(|(_, video)| admits(video)) {
            true => Cow::Borrowed(&self.layout().word_owners),
            false => Cow::Owned(Layout::word_owners_in(&self.files, &self.tables, admits)),
        }
    }
}

#[cfg(test)]
mod tests;
