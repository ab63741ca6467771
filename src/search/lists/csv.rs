//! Results as comma-separated values.

use super::{Entry, ResultList};
use crate::{Error, Result, printable};
use csv::{Terminator, WriterBuilder};

/// The names of the columns.
const COLUMNS: [&str; 10] = ["kind", "rank", "score", "cosine", "match", "evidence", "start", "end", "file", "text"];

/// A line per result. A name that is not UTF-8 text is written with its odd bytes as `\xFF`, and said. Of words the score
/// is the share of the query's words that are in them.
pub(super) fn list(entries: &[Entry<'_>]) -> Result<ResultList> {
    let fault = |problem: String| Error::Fault(format!("a list as CSV: {problem}"));
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    let mut warnings = Vec::new();
    writer.write_record(COLUMNS).map_err(|e| fault(e.to_string()))?;
    for entry in entries {
        let number = |value: Option<f32>| value.map_or_else(String::new, |value| value.to_string());
        let file = entry.path().to_str().map(str::to_owned).unwrap_or_else(|| {
            let file = printable::path(entry.path());
            warnings.push(format!("{file}: the name is not UTF-8 text; the list has escapes in its place"));
            file
        });
        let (kind, scores) = match entry {
            Entry::Clip(clip) => ("clip", [Some(clip.score), Some(clip.cosine), clip.matched, clip.evidence]),
            Entry::Words(words) => ("words", [Some(words.literal), Some(words.cosine), None, words.evidence]),
        };
        let [score, cosine, matched, evidence] = scores.map(number);
        let [start, end] = entry.span().map(|seconds| seconds.to_string());
        let text = entry.text().map_or_else(String::new, no_formula);
        let line = [kind.to_owned(), entry.rank(), score, cosine, matched, evidence, start, end, file, text];
        writer.write_record(line).map_err(|e| fault(e.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|e| fault(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|e| fault(e.to_string()))?;
    Ok(ResultList { text, warnings })
}

/// `text`, after a space where a spreadsheet would take it for a formula: subtitles come from strangers.
fn no_formula(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@']) { format!(" {text}") } else { text }
}
