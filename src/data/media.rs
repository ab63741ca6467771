//! The folder of videos: finds the file of a record although releases differ in extensions and folders.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use super::{Record, webdataset::ShardMember};
use crate::{Error, Result};

/// Extensions a video may have been saved with, DiDeMo's among them.
const EXTENSIONS: [&str; 14] =
    ["mp4", "mkv", "webm", "mov", "avi", "mpg", "mpeg", "wmv", "m4v", "3gp", "3g2", "mts", "flv", "ts"];
/// Depth to which folders are searched, so that a link to a parent folder cannot loop.
const DEPTH: usize = 8;

/// A folder of videos, listed once.
#[derive(Clone, Debug)]
pub struct MediaFolder {
    root: PathBuf,
    /// Paths relative to the root, with `/`.
    files: HashSet<String>,
    /// The same paths by file name without extension.
    by_stem: HashMap<String, Vec<String>>,
}

/// The file a record's `media` refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaMatch {
    /// This file.
    File(PathBuf),
    /// A member of a webdataset shard.
    ShardMember(ShardMember),
    /// No file.
    Missing,
    /// Several files of that name, in different folders.
    Ambiguous(Vec<PathBuf>),
}

impl MediaFolder {
    /// Lists `root` and the folders below it.
    ///
    /// # Errors
    /// `root` is not a folder that can be read.
    pub fn open(root: &Path) -> Result<Self> {
        let mut folder = Self { root: root.into(), files: HashSet::new(), by_stem: HashMap::new() };
        std::fs::read_dir(root).map_err(|e| Error::io(root, &e))?;
        folder.list("", 0);
        Ok(folder)
    }

    fn list(&mut self, below: &str, depth: usize) {
        let Ok(entries) = std::fs::read_dir(self.root.join(below)) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let relative = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            if entry.path().is_dir() {
                if depth < DEPTH {
                    self.list(&relative, depth + 1);
                }
                continue;
            }
            self.by_stem.entry(stem(&name).to_owned()).or_default().push(relative.clone());
            self.files.insert(relative);
        }
    }

    /// The file that `media` means: that very path, else a file of that name in any folder, else one of that name
    /// with another known extension.
    pub fn find(&self, media: &str) -> MediaMatch {
        if let Some(member) = ShardMember::from_address(media) {
            return if member.shard.is_file() { MediaMatch::ShardMember(member) } else { MediaMatch::Missing };
        }
        let media = media.trim_start_matches("./");
        if self.files.contains(media) || (Path::new(media).is_absolute() && Path::new(media).is_file()) {
            return MediaMatch::File(self.root.join(media));
        }
        let name = media.rsplit('/').next().unwrap_or(media);
        let candidates = self.by_stem.get(stem(name)).map_or(&[][..], Vec::as_slice);
        let same_name = |path: &&String| path.rsplit('/').next() == Some(name);
        let known = |path: &&String| extension(path).is_some_and(|e| EXTENSIONS.contains(&e.to_lowercase().as_str()));
        let exact: Vec<&String> = candidates.iter().filter(same_name).collect();
        let chosen = if exact.is_empty() { candidates.iter().filter(known).collect() } else { exact };
        match chosen.as_slice() {
            [] => MediaMatch::Missing,
            [one] => MediaMatch::File(self.root.join(one)),
            several => {
                let mut paths: Vec<_> = several.iter().map(|path| self.root.join(path)).collect();
                paths.sort();
                MediaMatch::Ambiguous(paths)
            }
        }
    }

    /// The distinct videos of `records` that are not on disk, in record order.
    ///
    /// # Errors
    /// A video has several files of its name in different folders.
    pub fn missing<'a>(&self, records: &'a [Record]) -> Result<Vec<&'a str>> {
        let (mut seen, mut missing) = (HashSet::new(), Vec::new());
        for media in records.iter().flat_map(Record::videos) {
            if !seen.insert(media) {
                continue;
            }
            match self.find(media) {
                MediaMatch::File(_) | MediaMatch::ShardMember(_) => {}
                MediaMatch::Missing => missing.push(media),
                MediaMatch::Ambiguous(paths) => return Err(ambiguous(media, &paths)),
            }
        }
        Ok(missing)
    }
}

/// The error that names the files `media` could mean.
pub fn ambiguous(media: &str, paths: &[PathBuf]) -> Error {
    let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    Error::file(
        media,
        format!("could be any of {}", names.join(", ")),
        "keep one of them in the media folder, or write its folder into the annotations",
    )
}

/// The file name without its last extension, which may be empty (`clip.`).
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn extension(path: &str) -> Option<&str> {
    path.rsplit('/').next()?.rsplit_once('.').map(|(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> (tempfile::TempDir, MediaFolder) {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        let media = MediaFolder::open(root.path()).unwrap();
        (root, media)
    }

    #[test]
    fn another_extension_or_folder_is_found() {
        let (root, media) = folder(&["a/one.mkv", "two.mp4", "deep/er/three.MOV", "two.txt", "four.mp4", "four.avi"]);
        let file = |name: &str| MediaMatch::File(root.path().join(name));
        assert_eq!(media.find("one.mp4"), file("a/one.mkv"));
        assert_eq!(media.find("two.avi"), file("two.mp4"));
        assert_eq!(media.find("three."), file("deep/er/three.MOV"));
        assert_eq!(media.find("four.avi"), file("four.avi"));
        assert_eq!(media.find("five.mp4"), MediaMatch::Missing);
    }

    #[test]
    fn equal_names_in_two_folders_are_refused_unless_the_folder_is_given() {
        let (root, media) = folder(&["a/clip.mp4", "b/clip.mp4"]);
        assert_eq!(media.find("b/clip.mp4"), MediaMatch::File(root.path().join("b/clip.mp4")));
        let record = Record { media: "clip.mp4".into(), ..Record::default() };
        let message = media.missing(&[record]).unwrap_err().to_string();
        assert!(message.contains("a/clip.mp4") && message.contains("b/clip.mp4"), "{message}");
    }
}
