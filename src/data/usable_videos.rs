//! Which videos of a manifest are usable, and their paths on disk.

use super::{MediaFolder, MediaMatch, Record, Unreadable, media::ambiguous, webdataset::ShardMember};
use crate::{Error, Result};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};
use svitt_video::needs_ffmpeg;

/// Why a video cannot be used.
pub struct UnusableVideo {
    /// The file itself is missing (as opposed to the program that reads it).
    pub missing: bool,
    /// The reason for the report.
    pub reason: String,
}

/// What is wrong with `video`, as far as its name and headers tell.
pub fn check_video(folder: &MediaFolder, video: &str, ffmpeg: bool) -> Result<Option<UnusableVideo>> {
    let path = match folder.find(video) {
        MediaMatch::Ambiguous(paths) => return Err(ambiguous(video, &paths)),
        MediaMatch::Missing => {
            return Ok(Some(UnusableVideo { missing: true, reason: "there is no such file".into() }));
        }
        MediaMatch::File(path) if !ffmpeg => path,
        MediaMatch::File(_) | MediaMatch::ShardMember(_) => return Ok(None),
    };
    Ok(match needs_ffmpeg(&path) {
        Ok(None) => None,
        Ok(Some(format)) => {
            let reason = format!("{format} needs the `ffmpeg` program, which was not found; install it");
            Some(UnusableVideo { missing: false, reason })
        }
        Err(error) => Some(UnusableVideo { missing: true, reason: error.to_string() }),
    })
}

/// Drops the unusable videos of a record that has usable ones besides.
pub fn keep_usable(record: &mut Record, usable: &impl Fn(&str) -> bool) {
    record.also.retain(|video| usable(video));
    if !usable(&record.media) && !record.also.is_empty() {
        record.media = record.also.remove(0);
    }
}

/// The number of missing files, and all unusable videos sorted by name.
pub fn collect_unusable(faults: HashMap<String, Option<UnusableVideo>>) -> (usize, Vec<Unreadable>) {
    let missing = faults.values().flatten().filter(|check_video| check_video.missing).count();
    let named =
        faults.into_iter().filter_map(|(media, check_video)| Some(Unreadable { media, reason: check_video?.reason }));
    let mut named: Vec<Unreadable> = named.collect();
    named.sort_by(|a, b| a.media.cmp(&b.media));
    (missing, named)
}

/// A video as a file: one of the folder, or a shard's member copied out for as long as this lives.
pub struct VideoFile {
    path: PathBuf,
    /// Keeps the copy: one without a name on Linux, so that nothing is left behind however the program ends.
    copy: Option<Copied>,
}

enum Copied {
    #[cfg(target_os = "linux")]
    Nameless {
        _file: std::fs::File,
    },
    Named {
        _file: tempfile::NamedTempFile,
    },
}

impl VideoFile {
    /// Finds `video`, or copies it out of its shard.
    ///
    /// # Errors
    /// There is no such file, or several; the shard cannot be read; the temporary folder is missing or full.
    pub fn find(folder: &MediaFolder, video: &str) -> Result<Self> {
        match folder.find(video) {
            MediaMatch::File(path) => Ok(Self { path, copy: None }),
            MediaMatch::Missing => {
                Err(Error::file(video, "there is no such file", "check option `media` and the annotations"))
            }
            MediaMatch::Ambiguous(paths) => Err(ambiguous(video, &paths)),
            MediaMatch::ShardMember(member) => Self::copy(&member),
        }
    }

    fn copy(member: &ShardMember) -> Result<Self> {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            let mut file = tempfile::tempfile().map_err(|e| no_room(&e))?;
            // Not /proc/self: the ffmpeg program opens it, too.
            let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
            if path.exists() {
                member.copy(&mut file)?.map_err(|e| no_room(&e))?;
                return Ok(Self { path, copy: Some(Copied::Nameless { _file: file }) });
            }
        }
        let mut file = tempfile::Builder::new().prefix("svitt-").tempfile().map_err(|e| no_room(&e))?;
        member.copy(&mut file)?.map_err(|e| no_room(&e))?;
        Ok(Self { path: file.path().to_path_buf(), copy: Some(Copied::Named { _file: file }) })
    }

    /// Whether it is a copy, of whose name nobody knows.
    pub fn is_copy(&self) -> bool {
        self.copy.is_some()
    }

    /// Where it can be opened.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A fault of the temporary folder, which must not be blamed on a video.
fn no_room(error: &std::io::Error) -> Error {
    let folder = std::env::temp_dir();
    let problem = format!("a video of a shard cannot be copied to {}: {error}", folder.display());
    Error::setting("TMPDIR", problem, "name a folder that exists and has free space")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::webdataset;

    #[test]
    fn a_shards_member_is_copied_out_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let shard = dir.path().join("00000.tar");
        let mut tar = tar::Builder::new(std::fs::File::create(&shard).unwrap());
        for (name, content) in [("7.mp4", "pictures"), ("7.txt", "a red dog")] {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        tar.finish().unwrap();
        let address =
            webdataset::index(&shard, &mut Default::default()).unwrap().samples[0].video.as_ref().unwrap().address();
        let folder = MediaFolder::open(dir.path()).unwrap();
        let file = VideoFile::find(&folder, &address).unwrap();
        let path = file.path().to_path_buf();
        assert_eq!(std::fs::read(&path).unwrap(), b"pictures");
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn formats_that_need_ffmpeg_are_told_only_where_it_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x.mpg"), [0, 0, 1, 0xba, 0x44]).unwrap();
        let folder = MediaFolder::open(dir.path()).unwrap();
        assert!(check_video(&folder, "x.mpg", true).unwrap().is_none());
        let told = check_video(&folder, "x.mpg", false).unwrap().unwrap();
        assert!(!told.missing && told.reason.starts_with("MPEG video in an MPEG program stream needs"));
        assert!(check_video(&folder, "y.mpg", true).unwrap().unwrap().missing);
    }
}
