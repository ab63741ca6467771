//! Files of subtitles beside videos: `a.srt`, `a.vtt` and `a.en.srt` beside `a.mp4`.

mod cues;

pub use cues::{Cue, Subtitles, read_subtitles};

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Extensions of such files, in any case.
const EXTENSIONS: [&str; 2] = ["srt", "vtt"];

/// Words between a video's name and the extension: a language, and what kind it is (`a.en.forced.srt`).
const MOST_TAGS: usize = 2;

/// Letters of such a word.
const LONGEST_TAG: usize = 16;

/// Whether a file of this name is taken for subtitles.
pub fn is_subtitle_name(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str).unwrap_or_default();
    EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

/// The files of subtitles beside `videos`, in order, each with its video: the one with the longest name that the file's
/// begins with, of several that differ in their extensions the first.
pub fn subtitles_beside(videos: &[PathBuf]) -> BTreeMap<PathBuf, PathBuf> {
    let mut named: BTreeMap<(&Path, &OsStr), &PathBuf> = BTreeMap::new();
    for video in videos {
        if let (Some(folder), Some(stem)) = (video.parent(), video.file_stem()) {
            named.entry((folder, stem)).or_insert(video);
        }
    }
    let folders: BTreeSet<&Path> = named.keys().map(|(folder, _)| *folder).collect();
    let mut found = BTreeMap::new();
    for folder in folders {
        // A folder that cannot be listed is told of by whoever looked for its videos.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let hidden = name.as_encoded_bytes().starts_with(b".");
            if hidden || !is_subtitle_name(&name.to_string_lossy()) {
                continue;
            }
            let video = stems(&name).find_map(|stem| named.get(&(folder, stem)));
            found.extend(video.map(|video| (folder.join(&name), (*video).clone())));
        }
    }
    found
}

/// The names that a video of the subtitles `name` may have, the longest first.
fn stems(name: &OsStr) -> impl Iterator<Item = &OsStr> {
    std::iter::successors(Path::new(name).file_stem(), |stem| without_tag(stem)).take(1 + MOST_TAGS)
}

/// `stem` without the tag at its end, if it has one.
fn without_tag(stem: &OsStr) -> Option<&OsStr> {
    let tag = Path::new(stem).extension()?.as_encoded_bytes();
    let is_tag = tag.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_[]()".contains(byte));
    (is_tag && tag.len() <= LONGEST_TAG).then(|| Path::new(stem).file_stem())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtitles_belong_to_the_video_of_the_longest_name() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "a.mp4",
            "a.webm",
            "a.b.mp4",
            "a.srt",
            "a.en.VTT",
            "a.b.de-CH.forced.srt",
            "a.b.srt",
            "other.srt",
            ".a.srt",
            "a.txt",
            "a.one.two.three.srt",
            "a.not a tag.srt",
        ];
        names.iter().for_each(|name| std::fs::write(dir.path().join(name), "").unwrap());
        let videos: Vec<PathBuf> = names[..3].iter().map(|name| dir.path().join(name)).collect();
        let found: Vec<(String, String)> = subtitles_beside(&videos)
            .iter()
            .map(|(a, b)| [a, b].map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).into())
            .collect();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let expected = [
            pair("a.b.de-CH.forced.srt", "a.b.mp4"),
            pair("a.b.srt", "a.b.mp4"),
            pair("a.en.VTT", "a.mp4"),
            pair("a.srt", "a.mp4"),
        ];
        assert_eq!(found, expected);
        assert!(is_subtitle_name("x.SRT") && !is_subtitle_name("srt") && !is_subtitle_name("x.sub"));
    }
}
