//! The video files below a folder.

use super::error::{Result, VideoError};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Extensions that are taken for videos, in any case: the one list of them.
const EXTENSIONS: [&str; 19] = [
    "mp4", "m4v", "mov", "webm", "mkv", "avi", "mpg", "mpeg", "vob", "wmv", "asf", "flv", "3gp", "3g2", "ts", "mts",
    "m2ts", "ogv", "gif",
];

/// Every video file below `root` (or `root` itself, if it is a file), in order of path, as `root` joined with what lies
/// below it. Hidden files and folders without permission are passed over; names need not be text. A folder that several
/// paths lead to is visited once, under its own name rather than a link's, whatever order the system lists them in.
///
/// # Errors
/// `root` cannot be read.
pub fn videos_below(root: &Path) -> Result<Vec<PathBuf>> {
    let facts = std::fs::metadata(root).map_err(|e| VideoError::io(root, e))?;
    if facts.is_file() {
        return Ok(vec![root.to_path_buf()]);
    }
    std::fs::read_dir(root).map_err(|e| VideoError::io(root, e))?;
    let (mut videos, mut seen) = (Vec::new(), HashSet::new());
    let (mut folders, mut links) = (vec![root.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop().or_else(|| links.pop()) {
        let new = std::fs::canonicalize(&folder).is_ok_and(|real| seen.insert(real));
        let entries = if new { std::fs::read_dir(&folder).ok() } else { None };
        let mut paths: Vec<PathBuf> = entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        paths.sort_unstable_by(|a, b| b.cmp(a));
        for path in paths {
            match std::fs::metadata(&path) {
                _ if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) => {}
                Ok(facts) if facts.is_dir() && path.is_symlink() => links.push(path),
                Ok(facts) if facts.is_dir() => folders.push(path),
                Ok(facts) if facts.is_file() && is_video(&path) => videos.push(path),
                _ => {}
            }
        }
    }
    videos.sort_unstable();
    Ok(videos)
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
        assert_eq!(found, [dir.path().join("deep/b.webm"), dir.path().join("deep").join(odd)]);
        assert_eq!(videos_below(&found[0]).unwrap(), found[..1]);
        assert!(videos_below(&dir.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
