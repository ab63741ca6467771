//! Results as comma-separated values.

use super::ResultList;
use crate::search::SearchResult;
use crate::{Error, Result, printable};
use csv::{Terminator, WriterBuilder};

/// The names of the columns.
const COLUMNS: [&str; 8] = ["rank", "score", "cosine", "match", "evidence", "start", "end", "file"];

/// A line per result. A name that is not UTF-8 text is written with its odd bytes as `\xFF`, and said.
pub(super) fn list(results: &[SearchResult]) -> Result<ResultList> {
    let fault = |problem: String| Error::Fault(format!("a list as CSV: {problem}"));
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    let mut warnings = Vec::new();
    writer.write_record(COLUMNS).map_err(|e| fault(e.to_string()))?;
    for clip in results {
        let number = |value: Option<f32>| value.map_or_else(String::new, |value| value.to_string());
        let file = clip.path.to_str().map(str::to_owned).unwrap_or_else(|| {
            warnings.push(format!("{}: the name is not UTF-8 text; the list has escapes in its place", clip.file));
            printable::path(&clip.path)
        });
        let [score, cosine] = [clip.score, clip.cosine].map(|value| value.to_string());
        let [start, end] = [clip.start, clip.end].map(|seconds| seconds.to_string());
        let (matched, evidence) = (number(clip.matched), number(clip.evidence));
        let line = [clip.rank.to_string(), score, cosine, matched, evidence, start, end, file];
        writer.write_record(line).map_err(|e| fault(e.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|e| fault(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|e| fault(e.to_string()))?;
    Ok(ResultList { text, warnings })
}
