//! The folder of videos: finds the file of a record although releases differ in extensions and folders.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use super::{Record, webdataset::ShardMember};
use crate::{Error, Result, input::shown};
use svitt_video::is_video_name;

/// Depth to which folders are searched, so that a link to a parent folder cannot loop.
const DEPTH: usize = 8;

/// A folder of videos, listed once.
#[derive(Clone, Debug)]
pub struct MediaFolder {
    root: PathBuf,
    /// Paths relative to the root, with `/`.
    files: HashSet<String>,
    /// The same paths by file name without a video's extension.
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
            // Links are followed; pipes and devices are no videos.
            let Ok(facts) = std::fs::metadata(entry.path()) else { continue };
            if facts.is_dir() && depth < DEPTH {
                self.list(&relative, depth + 1);
            } else if facts.is_file() {
                self.by_stem.entry(stem(&name).to_owned()).or_default().push(relative.clone());
                self.files.insert(relative);
            }
        }
    }

    /// The file that `media` means: that very path, else a file of that name in any folder, else one whose name differs
    /// in the extension of a video only. An ending that is no video's extension belongs to the name: `Q.0` is `Q.0.mp4`
    /// and never `Q.mp4`. A path of Windows is read with `/` in place of `\`.
    pub fn find(&self, media: &str) -> MediaMatch {
        if let Some(member) = ShardMember::from_address(media) {
            return if member.shard.is_file() { MediaMatch::ShardMember(member) } else { MediaMatch::Missing };
        }
        match self.find_path(media.trim_start_matches("./")) {
            MediaMatch::Missing if media.contains('\\') => {
                self.find_path(media.replace('\\', "/").trim_start_matches("./"))
            }
            found => found,
        }
    }

    fn find_path(&self, media: &str) -> MediaMatch {
        if self.files.contains(media) || (Path::new(media).is_absolute() && Path::new(media).is_file()) {
            return MediaMatch::File(self.root.join(media));
        }
        let name = media.rsplit('/').next().unwrap_or(media);
        let below = |stem: &str| self.by_stem.get(stem).map_or(&[][..], Vec::as_slice);
        let file_name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
        let exact: Vec<&String> = below(stem(name)).iter().filter(|path| file_name(path) == name).collect();
        let other = || {
            let stems = [Some(name), Some(stem(name)).filter(|stem| *stem != name)];
            stems.into_iter().flatten().flat_map(below).filter(|path| is_video_name(path)).collect()
        };
        let chosen = if exact.is_empty() { other() } else { exact };
        let mut paths: Vec<PathBuf> = chosen.into_iter().map(|path| self.root.join(path)).collect();
        paths.sort();
        // A link and what it points to are one file.
        let mut real = HashSet::new();
        if paths.len() > 1 {
            paths.retain(|path| std::fs::canonicalize(path).map_or(true, |path| real.insert(path)));
        }
        match &paths[..] {
            [] => MediaMatch::Missing,
            [one] => MediaMatch::File(one.clone()),
            _ => MediaMatch::Ambiguous(paths),
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
    let names: Vec<_> = paths.iter().take(5).map(|path| shown(&path.display().to_string())).collect();
    Error::file(
        media,
        format!("could be any of {}", names.join(", ")),
        "keep one of them in the media folder, or write its folder into the annotations",
    )
}

/// The file name without the extension of a video, which may be empty (`clip.`).
fn stem(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension)) if extension.is_empty() || is_video_name(name) => stem,
        _ => name,
    }
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
    fn an_ending_that_is_no_extension_belongs_to_the_name() {
        let names = [
            "v/Q.mp4",
            "v/Q.0.mp4",
            "v/Q.1.webm",
            "v/Q.10.5.mp4",
            "w/Dr. No.avi",
            "w/a.ts.mp4",
            "w/b.mov.mp4",
            "w/b.mkv",
        ];
        let (root, media) = folder(&names);
        let file = |name: &str| MediaMatch::File(root.path().join(name));
        for (asked, found) in [
            ("Q", "v/Q.mp4"),
            ("Q.0", "v/Q.0.mp4"),
            ("Q.0.mkv", "v/Q.0.mp4"),
            ("Q.1.mp4", "v/Q.1.webm"),
            ("Q.10.5", "v/Q.10.5.mp4"),
            ("v/Q.0", "v/Q.0.mp4"),
            ("Dr. No", "w/Dr. No.avi"),
            ("Dr. No.", "w/Dr. No.avi"),
            ("a.ts", "w/a.ts.mp4"),
        ] {
            assert_eq!(media.find(asked), file(found), "{asked}");
        }
        for none in ["Q.2", "Q.10", "Q.10.6", "Dr", "a"] {
            assert_eq!(media.find(none), MediaMatch::Missing, "{none}");
        }
        assert!(
            matches!(media.find("b.mov"), MediaMatch::Ambiguous(paths) if paths.len() == 2),
            "b.mov.mp4 and b.mkv both fit"
        );
    }

    #[test]
    fn paths_of_windows_are_read_with_slashes() {
        let (root, media) = folder(&["a/b/c.mp4", "odd\\name.mp4"]);
        let file = |name: &str| MediaMatch::File(root.path().join(name));
        for name in [r"a\b\c.mp4", r"a\b\c", r"C:\clips\c.mp4", r".\a\b\c.mp4", r"b\c.avi"] {
            assert_eq!(media.find(name), file("a/b/c.mp4"), "{name}");
        }
        assert_eq!(media.find(r"odd\name.mp4"), file(r"odd\name.mp4"));
    }

    #[test]
    #[cfg(unix)]
    fn a_link_and_its_target_are_one_file_and_a_pipe_is_none() {
        let (root, _) = folder(&["a/clip.mp4", "c/other.mp4"]);
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(root.path().join(to), root.path().join(at)).unwrap();
        std::fs::create_dir(root.path().join("b")).unwrap();
        link("a/clip.mp4", "b/clip.mp4");
        link("a", "d");
        assert!(std::process::Command::new("mkfifo").arg(root.path().join("pipe.mp4")).status().unwrap().success());
        let media = MediaFolder::open(root.path()).unwrap();
        assert_eq!(media.find("clip"), MediaMatch::File(root.path().join("a/clip.mp4")));
        assert_eq!(media.find("pipe.mp4"), MediaMatch::Missing);
        link("c/other.mp4", "b/x.mp4");
        std::fs::write(root.path().join("a/x.mp4"), "x").unwrap();
        let media = MediaFolder::open(root.path()).unwrap();
        assert!(matches!(media.find("x.mp4"), MediaMatch::Ambiguous(_)), "a link to another file is another video");
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
