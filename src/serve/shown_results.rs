//! What was found as the JSON API shows it.

use super::library::Library;
use crate::printable::file_name;
use crate::search::{QueryResult, SearchResult, WordResult, printable};
use serde::Serialize;
use serde_json::{Value, json};

/// A result with what a page needs to show it.
#[derive(Serialize)]
struct ShownResult<'a> {
    #[serde(flatten)]
    result: &'a SearchResult,
    /// Of `/thumb`, `/preview` and `like`.
    id: String,
    /// Of `/video`.
    video: String,
    name: String,
    folder: String,
    /// Of the file, milliseconds since 1970.
    modified_ms: i64,
    /// End of its last clip, seconds.
    duration: f64,
}

impl<'a> ShownResult<'a> {
    fn new(library: &Library, result: &'a SearchResult) -> Self {
        let (path, clips) = (&result.path, library.index.spans_of(&result.path));
        let number = clips.iter().position(|clip| clip.start == result.start && clip.end == result.end).unwrap_or(0);
        let video = library.id_of(path);
        Self {
            result,
            id: format!("{video}-{number}"),
            video,
            name: file_name(path),
            folder: path.parent().map_or_else(String::new, printable),
            modified_ms: library.index.stamp(path).map_or(0, |stamp| stamp.modified_ns / 1_000_000),
            duration: clips.iter().map(|clip| clip.end).fold(0.0, f64::max),
        }
    }
}

/// Words with what a page needs to show them.
#[derive(Serialize)]
struct ShownWords<'a> {
    #[serde(flatten)]
    words: &'a WordResult,
    /// The clip of the index that is shown when they are said: of `/thumb`, `/preview` and `like`.
    id: String,
    /// Of `/video`.
    video: String,
    name: String,
}

impl<'a> ShownWords<'a> {
    fn new(library: &Library, words: &'a WordResult) -> Self {
        let clips = library.index.spans_of(&words.path);
        let shown = clips.iter().position(|clip| clip.end > words.start).unwrap_or(clips.len().saturating_sub(1));
        let video = library.id_of(&words.path);
        Self { words, id: format!("{video}-{shown}"), video, name: file_name(&words.path) }
    }
}

/// The answer to `query`.
pub(super) fn shown(library: &Library, query: &str, found: &QueryResult) -> Value {
    let results: Vec<_> = found.results.iter().map(|result| ShownResult::new(library, result)).collect();
    let words: Vec<_> = found.words.iter().map(|words| ShownWords::new(library, words)).collect();
    let reranked = found.results.iter().any(|result| result.matched.is_some());
    json!({
        "query": query,
        "fits": found.fit.map(|fit| fit.fits),
        "threshold": found.fit.map(|fit| fit.threshold),
        "evidence": found.fit.and_then(|fit| fit.evidence),
        "calibrated": found.fit.is_some_and(|fit| fit.calibrated),
        "reranked": reranked,
        "clips": library.index.clips(),
        "results": results,
        "words": words,
        "warnings": found.warnings,
    })
}
