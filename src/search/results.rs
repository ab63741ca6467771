//! What was found, as people and scripts read it.

use crate::index::{Hit, Index};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchResult {
    /// Place, counted from 1.
    pub rank: usize,
    /// The score it was ranked by: its softmax share among the re-ranked clips, 0 to 1, or the cosine where no clip was
    /// re-ranked.
    pub score: f32,
    /// The two encoders' score of query and clip, -1 to 1: their cosine, or the mean of the frames' cosines where that is
    /// the model's score.
    pub cosine: f32,
    /// The fusion encoder's probability that text and clip belong together.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matched: Option<f32>,
    /// The log-odds of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_odds: Option<f32>,
    /// How far it is above what neutral texts find ([`super::Calibration`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<f32>,
    /// The file, as [`printable`] shows it.
    pub file: String,
    /// Start of the clip, seconds.
    pub start: f64,
    /// Its end, seconds.
    pub end: f64,
    /// The part of it that fits best, where that was looked for and fits better than the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<BestPart>,
    /// The file itself; its name need not be text.
    #[serde(skip)]
    pub path: PathBuf,
}

/// A part of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BestPart {
    /// Start, seconds.
    pub start: f64,
    /// End, seconds.
    pub end: f64,
    /// The two encoders' score of query and part, as that of the clip.
    pub cosine: f32,
}

impl SearchResult {
    pub(super) fn new(hit: &Hit<'_>) -> Self {
        Self {
            rank: 0,
            score: hit.score,
            cosine: hit.score,
            matched: None,
            log_odds: None,
            evidence: None,
            file: printable(hit.path),
            start: hit.clip.start,
            end: hit.clip.end,
            best: None,
            path: hit.path.to_path_buf(),
        }
    }

    /// The line of a result: rank, score, file and time span in seconds, separated by tabs; after them its best part, if
    /// it has one.
    pub fn line(&self) -> String {
        let best = self.best.map_or_else(String::new, |part| format!("\t{:.2}-{:.2}", part.start, part.end));
        format!("{}\t{:.4}\t{}\t{:.2}-{:.2}{best}", self.rank, self.score, self.file, self.start, self.end)
    }
}

/// What of `index` cannot be read, each with what can be done about it.
pub fn damage_warnings(index: &Index) -> Vec<String> {
    let dir = printable(index.dir());
    let remedy = "`search index` on the same folders embeds them again";
    index.damage().iter().map(|damage| format!("{dir}: {damage}; {remedy}")).collect()
}

/// Seconds as people write them: `0:07.5`, `1:02:03.0`.
pub(super) fn clock(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    let (hours, minutes, rest) = (tenths / 36_000, tenths / 600 % 60, tenths % 600);
    let tail = format!("{:02}.{}", rest / 10, rest % 10);
    if hours > 0 { format!("{hours}:{minutes:02}:{tail}") } else { format!("{minutes}:{tail}") }
}

/// `path` on one line: relative to the working directory where it lies below that, with control characters and
/// bytes that are no text written as `\n`, `\t` or `\xFF`.
pub fn printable(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let path = here.as_deref().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    crate::printable::path(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_shown_as_a_clock() {
        assert_eq!([7.5, 0.0, 71.04, 3723.0].map(clock), ["0:07.5", "0:00.0", "1:11.0", "1:02:03.0"]);
    }

    #[test]
    #[cfg(unix)]
    fn every_name_is_one_line() {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"/v/-a 'b'\n\t\xff\x1b.mp4");
        assert_eq!(printable(Path::new(name)), "/v/-a 'b'\\n\\t\\xFF\\u{1b}.mp4");
        let below = std::env::current_dir().unwrap().join("clips/a.mp4");
        assert_eq!(printable(&below), "clips/a.mp4");
    }
}
