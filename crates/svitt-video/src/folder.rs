//! The video files below a folder.

use super::error::{Result, VideoError};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Extensions that are taken for videos, in any case: the one list of them.
const EXTENSIONS: [&str; 19] = [
    "mp4", "m4v", "mov", "webm", "mkv", "avi", "mpg", "mpeg", "vob", "wmv", "asf", "flv", "3gp", "3g2", "ts", "mts",
    "m2ts", "ogv", "gif",
];

/// What [`videos_below`] found.
#[derive(Debug, Default)]
pub struct VideoFolder {
    /// The video files, in order of path, as the folder joined with what lies below it.
    pub videos: Vec<PathBuf>,
    /// Folders that cannot be listed, and what is named like a video and is no file that can be read, with the reason.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Every video file below `root` (or `root` itself, if it is a file). Hidden files and folders are passed over; names need
/// not be text. A folder that several paths lead to is visited once, under its own name rather than a link's, whatever
/// order the system lists them in.
///
/// # Errors
/// `root` cannot be read.
pub fn videos_below(root: &Path) -> Result<VideoFolder> {
    let facts = std::fs::metadata(root).map_err(|e| VideoError::io(root, e))?;
    if facts.is_file() {
        return Ok(VideoFolder { videos: vec![root.to_path_buf()], unreadable: Vec::new() });
    }
    std::fs::read_dir(root).map_err(|e| VideoError::io(root, e))?;
    let (mut found, mut seen) = (VideoFolder::default(), HashSet::new());
    let (mut folders, mut links) = (vec![root.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop().or_else(|| links.pop()) {
        if !std::fs::canonicalize(&folder).map_or(true, |real| seen.insert(real)) {
            continue;
        }
        match entries_of(&folder) {
            Ok(entries) => entries.into_iter().for_each(|path| found.sort_in(path, &mut folders, &mut links)),
            Err(error) => found.unreadable.push((folder, format!("the folder cannot be listed: {error}"))),
        }
    }
    found.videos.sort_unstable();
    found.unreadable.sort_unstable();
    Ok(found)
}

/// What a folder holds that is not hidden, the last name first, so that a stack of them gives the first.
fn entries_of(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries: std::io::Result<Vec<_>> = std::fs::read_dir(folder)?.collect();
    let mut paths: Vec<PathBuf> = entries?.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")));
    paths.sort_unstable_by(|a, b| b.cmp(a));
    Ok(paths)
}

impl VideoFolder {
    /// Puts an entry where it belongs.
    fn sort_in(&mut self, path: PathBuf, folders: &mut Vec<PathBuf>, links: &mut Vec<PathBuf>) {
        match std::fs::metadata(&path) {
            Ok(facts) if facts.is_dir() && path.is_symlink() => links.push(path),
            Ok(facts) if facts.is_dir() => folders.push(path),
            // What cannot be looked at may be a folder, but for links that lead nowhere.
            Err(error) if is_video(&path) || error.kind() != std::io::ErrorKind::NotFound => {
                self.unreadable.push((path, error.to_string()));
            }
            Ok(facts) if is_video(&path) && facts.is_file() => self.videos.push(path),
            Ok(_) if is_video(&path) => self.unreadable.push((path, "it is no regular file".to_owned())),
            _ => {}
        }
    }
}

fn is_video(path: &Path) -> bool {
    path.file_name().is_some_and(|name| is_video_name(&name.to_string_lossy()))
}

/// Whether `name` ends in an extension that is taken for a video's, and is not one that macOS gives to what it keeps
/// beside a file (`._NAME`).
pub fn is_video_name(name: &str) -> bool {
    if name.rsplit('/').next().is_some_and(|last| last.starts_with("._")) {
        return false;
    }
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn odd_file_names_are_found_and_link_loops_end() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        let odd = std::ffi::OsStr::from_bytes(b"\xff -x'\n.MP4");
        std::fs::create_dir(dir.path().join("deep")).unwrap();
        for name in ["b.webm".as_ref(), "notes.txt".as_ref(), ".hidden.mp4".as_ref(), odd] {
            std::fs::write(dir.path().join("deep").join(name), b"x").unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("deep/loop")).unwrap();
        std::os::unix::fs::symlink("nowhere.mp4", dir.path().join("broken.mp4")).unwrap();
        std::os::unix::fs::symlink("deep", dir.path().join("another name")).unwrap();
        let found = videos_below(dir.path()).unwrap();
        assert_eq!(found.videos, [dir.path().join("deep/b.webm"), dir.path().join("deep").join(odd)]);
        let [(broken, reason)] = &found.unreadable[..] else { panic!("{:?}", found.unreadable) };
        assert!(broken.ends_with("broken.mp4") && reason.contains("No such file"), "{reason}");
        assert_eq!(videos_below(&found.videos[0]).unwrap().videos, found.videos[..1]);
        assert!(videos_below(&dir.path().join("none")).unwrap_err().to_string().contains("none"));
    }
    /// A path has at most 4096 bytes on Linux: what lies deeper can be listed by nobody who names it from the root.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_folder_too_deep_to_be_named_is_told() {
        use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
        let dir = tempfile::tempdir().unwrap();
        let name = "d".repeat(250);
        let mut folder = open(dir.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..20 {
            mkdirat(&folder, &*name, Mode::RWXU).unwrap();
            folder = openat(&folder, &*name, OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        let found = videos_below(dir.path()).unwrap();
        assert!(found.videos.is_empty());
        let [(deep, reason)] = &found.unreadable[..] else { panic!("{:?}", found.unreadable) };
        assert!(deep.as_os_str().len() > 3800 && reason.contains("name too long"), "{reason}");
    }
}
