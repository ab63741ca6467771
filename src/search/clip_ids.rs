//! What a clip is called outside its index: `FILE#t=START,END`, a media fragment (W3C, Media Fragments URI 1.0) in
//! seconds.

use crate::index::{ClipSpan, Hit, Index};
use crate::{Error, Result, input};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Bytes of a file of ids: a million of them.
const MOST_BYTES: u64 = 256 << 20;

/// The name of the clip of `path` that is shown at `span`. Two clips of an index have two names.
pub fn clip_id(path: &Path, span: &ClipSpan) -> String {
    format!("{}#t={},{}", crate::printable::path(path), span.start, span.end)
}

/// The ids in `file`: a JSON list of them, or of objects that have one under `id`, or one a line.
///
/// # Errors
/// The file cannot be read, or holds no id or something else.
pub fn read_ids(file: &Path) -> Result<Vec<String>> {
    let text = input::read_text(file, MOST_BYTES)?;
    let ids: Vec<String> = if text.trim_start().starts_with('[') {
        let wrong = |problem: String| Error::file(file, problem, "give the ids as `search export` wrote them");
        let list: Vec<Value> =
            serde_json::from_str(&text).map_err(|e| wrong(format!("is no JSON list: {e}")).caused_by(e))?;
        let id = |(place, entry): (usize, Value)| {
            let id = entry.as_str().or_else(|| entry["id"].as_str()).map(str::to_owned);
            id.ok_or_else(|| wrong(format!("entry {} has no id", place + 1)))
        };
        list.into_iter().enumerate().map(id).collect::<Result<_>>()?
    } else {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    if ids.is_empty() {
        return Err(Error::file(file, "holds no id", "give what a database returned, one id a line or as a JSON list"));
    }
    Ok(ids)
}

/// The clips of `index` that are called `ids`, in their order, each once.
///
/// # Errors
/// An id that no clip has; the message names it.
pub fn clips_with_ids<'a>(index: &'a Index, ids: &[String]) -> Result<Vec<Hit<'a>>> {
    let mut names: Option<HashMap<String, &Path>> = None;
    let mut hits: Vec<Hit<'a>> = Vec::new();
    for id in ids {
        let found = id.rsplit_once("#t=").and_then(|(file, _)| {
            // Names with control characters are escaped in ids: only these need a look at all files.
            let path = match index.file(Path::new(file)) {
                Some(path) => path,
                None => names.get_or_insert_with(|| printed_names(index)).get(file).copied()?,
            };
            let clip = index.spans_of(path).iter().find(|span| clip_id(path, span) == *id)?;
            Some(Hit { score: 0.0, path, clip: *clip })
        });
        let Some(hit) = found else {
            let problem = format!("holds no clip `{}`", input::shown(id));
            return Err(Error::file(index.dir(), problem, "export the index again: it has changed, or is another one"));
        };
        if !hits.contains(&hit) {
            hits.push(hit);
        }
    }
    Ok(hits)
}

fn printed_names(index: &Index) -> HashMap<String, &Path> {
    index.files().map(|path| (crate::printable::path(path), path)).collect()
}

/// A clip as files for other programs name it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct ExportedClip {
    pub id: String,
    pub file: String,
    pub start: f64,
    pub end: f64,
    /// Last modification of the file, nanoseconds since 1970.
    pub modified_ns: i64,
    #[serde(skip)]
    pub vector: Vec<f32>,
}

/// All clips of `index` in the order of files and times.
pub(super) fn exported(index: &Index) -> impl Iterator<Item = ExportedClip> {
    index.files().flat_map(|path| {
        let (file, modified_ns) = (crate::printable::path(path), index.stamp(path).map_or(0, |s| s.modified_ns));
        index.clips_of(path).into_iter().map(move |clip| ExportedClip {
            id: clip_id(path, &clip.span()),
            file: file.clone(),
            start: clip.start,
            end: clip.end,
            modified_ns,
            vector: clip.vector,
        })
    })
}

/// Where the list beside an exported file of vectors stands.
pub(super) fn list_beside(out: &Path) -> PathBuf {
    out.with_extension("json")
}
