//! What a search listed last, kept in its index directory, so that a clip of it can be had by its rank.

use super::results::printable;
use crate::index::Stamp;
use crate::{Error, Result, files, input};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The file in the index directory.
pub const KEPT_RESULTS: &str = "last-results.json";

/// Endings of files that clips can be written to as well as read from.
const WRITABLE: [&str; 5] = ["mp4", "m4v", "mov", "mkv", "webm"];

/// A result that was listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptResult {
    /// Its rank as it was listed.
    pub rank: String,
    /// The file; names need not be text.
    file: OsString,
    /// Start of the clip, seconds.
    pub start: f64,
    /// Its end, seconds.
    pub end: f64,
    /// Size and date of the file then; none where it was gone already.
    #[serde(skip_serializing_if = "Option::is_none")]
    stamp: Option<(u64, i64)>,
}

/// All that was listed.
#[derive(Default, Serialize, Deserialize)]
struct KeptResults {
    query: String,
    results: Vec<KeptResult>,
}

impl KeptResult {
    /// What is kept of the result at `rank`: seconds `start` to `end` of `path`.
    pub fn new(rank: impl ToString, path: &Path, [start, end]: [f64; 2]) -> Self {
        Self { rank: rank.to_string(), file: path.into(), start, end, stamp: stamp_of(path) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        Path::new(&self.file)
    }

    /// Its span, seconds.
    pub fn span(&self) -> [f64; 2] {
        [self.start, self.end]
    }

    /// What a file of its clip is called unless another name is given: the video's name and the span. Its ending is the
    /// video's where clips can be written so, mp4 otherwise.
    pub fn clip_name(&self) -> PathBuf {
        let path = self.path();
        let mut name = path.file_stem().unwrap_or_default().to_owned();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        let ending = if WRITABLE.contains(&ending.as_str()) { &ending[..] } else { "mp4" };
        name.push(format!("_{}-{}.{ending}", moment(self.start), moment(self.end)));
        name.into()
    }
}

/// Seconds within a file's name: `1m05.2s`, `5s`.
fn moment(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    let (minutes, rest) = (tenths / 600, tenths % 600);
    let fraction = if rest % 10 == 0 { String::new() } else { format!(".{}", rest % 10) };
    match minutes {
        0 => format!("{}{fraction}s", rest / 10),
        minutes => format!("{minutes}m{:02}{fraction}s", rest / 10),
    }
}

fn stamp_of(path: &Path) -> Option<(u64, i64)> {
    Stamp::of(path, "").ok().map(|stamp| (stamp.size, stamp.modified_ns))
}

/// Keeps what a search of the index in `dir` has listed for `query`, in the place of what was kept before, which is gone
/// even where the new cannot be written: a rank of this search must not mean a result of an older one.
///
/// # Errors
/// The disk refuses.
pub fn keep_results(dir: &Path, query: &str, results: Vec<KeptResult>) -> Result<()> {
    let path = dir.join(KEPT_RESULTS);
    let kept = files::write_json(&path, &KeptResults { query: query.to_owned(), results });
    if kept.is_err() {
        // A full disk lets files be removed. Where even this is refused, the error tells.
        let _ = std::fs::remove_file(&path);
    }
    kept
}

/// The result that the last search of the index in `dir` listed as `rank`.
///
/// # Errors
/// Nothing was searched there, it listed no such rank, or the file is not the one that was shown any more.
pub fn kept_result(dir: &Path, rank: &str) -> Result<KeptResult> {
    let again = "search again";
    let kept: KeptResults = files::read_json(&dir.join(KEPT_RESULTS), again).map_err(|error| {
        let none = || Error::file(dir, "nothing was searched in this index yet", "search first, then give a rank");
        if error.is_not_found() { none() } else { error }
    })?;
    let Some(found) = kept.results.iter().find(|result| result.rank == rank) else {
        let query = input::shown(&kept.query);
        let listed = match (kept.results.first(), kept.results.last()) {
            (Some(first), Some(last)) => format!("listed {} to {}", first.rank, last.rank),
            _ => "listed nothing".to_owned(),
        };
        let problem = format!("has no result {}: the last search, for {query}, {listed}", input::shown(rank));
        return Err(Error::file(dir, problem, "give the rank of one of these, or search again"));
    };
    match stamp_of(found.path()) {
        Some(now) if found.stamp == Some(now) => Ok(found.clone()),
        now => {
            let what = if now.is_some() { "changed" } else { "gone" };
            let file = printable(found.path());
            Err(Error::file(file, format!("is {what} since it was listed"), "index its folder and search again"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_last_search_whatever_the_file_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let message = |rank: &str| kept_result(dir.path(), rank).unwrap_err().to_string();
        assert!(message("1").contains("nothing was searched in this index yet"), "{}", message("1"));
        #[cfg(unix)]
        let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff a\n.AVI");
        #[cfg(not(unix))]
        let name = "a.AVI";
        let (odd, plain) = (dir.path().join(name), dir.path().join("b.mkv"));
        std::fs::write(&odd, "1").unwrap();
        std::fs::write(&plain, "1").unwrap();
        let listed = [("1", &odd, [5.0, 65.24]), ("w1", &plain, [0.5, 3.0])];
        let listed = listed.map(|(rank, path, span)| KeptResult::new(rank, path, span));
        keep_results(dir.path(), "a \u{1b}beach", listed.to_vec()).unwrap();
        assert_eq!([kept_result(dir.path(), "1").unwrap(), kept_result(dir.path(), "w1").unwrap()], listed);
        assert!(listed[0].clip_name().to_string_lossy().ends_with("_5s-1m05.2s.mp4"));
        assert_eq!(listed[1].clip_name(), Path::new("b_0.5s-3s.mkv"));
        assert!(
            message("2").contains("has no result 2: the last search, for a \\u{1b}beach, listed 1 to w1"),
            "{}",
            message("2")
        );
        std::fs::write(&odd, "12").unwrap();
        assert!(message("1").contains("is changed since it was listed"), "{}", message("1"));
        std::fs::remove_file(&plain).unwrap();
        assert!(message("w1").contains("is gone since"), "{}", message("w1"));
        keep_results(dir.path(), "", Vec::new()).unwrap();
        assert!(message("1").contains("listed nothing"));
        std::fs::write(dir.path().join(KEPT_RESULTS), "{").unwrap();
        assert!(message("1").contains("is damaged"));
    }
}
