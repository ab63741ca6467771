//! What was found as lists that other programs read: spreadsheets, players, video editors.

mod csv;
mod edl;
mod m3u;

use super::results::SearchResult;
use super::words::WordResult;
use crate::Result;
use std::path::Path;

/// The format of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// Comma-separated values (RFC 4180): a line of names, a line per result.
    Csv,
    /// A playlist in UTF-8 (`.m3u8`), whose entries begin and end with the clips in players that know VLC's options.
    M3u,
    /// An edit decision list (CMX 3600): the clips one after the other.
    Edl,
}

/// A list, and what it could not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultList {
    /// Its text; names of files are absolute.
    pub text: String,
    /// What is left out or written otherwise than it is.
    pub warnings: Vec<String>,
}

impl ListFormat {
    /// The ending of such files, without the point.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::M3u => "m3u8",
            Self::Edl => "edl",
        }
    }

    /// Their media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::M3u => "application/vnd.apple.mpegurl",
            Self::Edl => "text/plain; charset=utf-8",
        }
    }

    /// `results`, then `words`, under the name `title` in this format. An EDL reads the frame rate of every file.
    ///
    /// # Errors
    /// More results than an EDL can hold.
    pub fn list(self, title: &str, results: &[SearchResult], words: &[WordResult]) -> Result<ResultList> {
        let entries: Vec<Entry<'_>> = results.iter().map(Entry::Clip).chain(words.iter().map(Entry::Words)).collect();
        match self {
            Self::Csv => csv::list(&entries),
            Self::M3u => Ok(m3u::list(title, &entries)),
            Self::Edl => edl::list(title, &entries),
        }
    }
}

/// An entry of a list.
#[derive(Clone, Copy)]
enum Entry<'a> {
    Clip(&'a SearchResult),
    Words(&'a WordResult),
}

impl<'a> Entry<'a> {
    /// `1`, or `w1` of words.
    fn rank(self) -> String {
        match self {
            Self::Clip(clip) => clip.rank.to_string(),
            Self::Words(words) => words.label(),
        }
    }

    fn path(self) -> &'a Path {
        match self {
            Self::Clip(clip) => &clip.path,
            Self::Words(words) => &words.path,
        }
    }

    /// Start and end, seconds.
    fn span(self) -> [f64; 2] {
        match self {
            Self::Clip(clip) => [clip.start, clip.end],
            Self::Words(words) => [words.start, words.end],
        }
    }

    /// What is said, on one line.
    fn text(self) -> Option<String> {
        if let Self::Words(words) = self { Some(words.shown_text()) } else { None }
    }
}

#[cfg(test)]
mod tests;
