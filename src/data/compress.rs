//! Re-encodes a folder of videos for training, as Singularity did; what is already there is not done again.

use super::Unreadable;
use crate::{Error, Result, files};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use svitt_video::encode::{CompressSettings, compress, require_ffmpeg};
use svitt_video::{ReaderOptions, VideoReader, videos_below};

/// The longest shorter side that clips are compressed to, pixels. The encoder takes about 150 bytes of memory a pixel:
/// 600 MB for such a picture, 3.7 GB for one of 8192 x 4352.
const MOST_SIDE: usize = 1080;

/// The result of `data compress`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CompressReport {
    /// Videos written by this run.
    pub compressed: usize,
    /// Videos that an earlier run had written.
    pub skipped: usize,
    /// Videos that could not be re-encoded, and folders that could not be listed.
    pub failed: Vec<Unreadable>,
    /// Bytes of the videos read.
    pub bytes_in: u64,
    /// Bytes of the videos written.
    pub bytes_out: u64,
}

/// What [`compress_folder`] tells after each video: how many are done of how many, and the one just finished.
pub type Progress<'a> = dyn Fn(usize, usize, &Path) + Sync + 'a;

/// Re-encodes every video below `source` to `target/SAME/PATH.mp4`, on all threads of the current rayon pool. A video
/// whose result exists is skipped: results appear whole or not at all, so a run that was killed goes on where it was.
///
/// # Errors
/// `source` holds no video, two videos would have the same result, or there is no `ffmpeg` program. A video that fails
/// is listed in the report instead.
pub fn compress_folder(
    source: &Path,
    target: &Path,
    aim: CompressSettings,
    progress: &Progress<'_>,
) -> Result<CompressReport> {
    if !(aim.fps > 0.0 && aim.fps <= 240.0) {
        return Err(Error::setting("fps", format!("is {}", aim.fps), "use a number above 0, at most 240"));
    }
    if !(2..=MOST_SIDE).contains(&aim.short_side) || aim.short_side % 2 == 1 {
        let problem = format!("{} pixels cannot be the shorter side of an H.264 video", aim.short_side);
        return Err(Error::setting("size", problem, format!("use an even number from 2 to {MOST_SIDE}")));
    }
    let CompressPlan { jobs, unreadable } = CompressPlan::new(source, target)?;
    require_ffmpeg()?;
    let (waiting, done): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|(_, to)| !is_video(to));
    let count = AtomicUsize::new(done.len());
    let all = waiting.len() + done.len();
    let results: Vec<_> = waiting
        .par_iter()
        .map(|(from, to)| {
            let result = one(from, to, aim);
            progress(count.fetch_add(1, Ordering::Relaxed) + 1, all, from);
            result
        })
        .collect();
    let mut report = CompressReport { skipped: done.len(), failed: unreadable, ..CompressReport::default() };
    for ((from, to), result) in waiting.iter().zip(results) {
        match result {
            Ok(()) => {
                report.compressed += 1;
                report.bytes_in += size(from);
                report.bytes_out += size(to);
            }
            Err(e) => report.failed.push(Unreadable { media: from.display().to_string(), reason: e.to_string() }),
        }
    }
    Ok(report)
}

fn one(from: &Path, to: &Path, aim: CompressSettings) -> Result<()> {
    let folder = to.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
    compress(from, to, aim)?;
    Ok(())
}

/// Which file becomes which, and what cannot be read.
struct CompressPlan {
    jobs: Vec<(PathBuf, PathBuf)>,
    unreadable: Vec<Unreadable>,
}

impl CompressPlan {
    /// Results of an earlier run inside `source` are not inputs.
    fn new(source: &Path, target: &Path) -> Result<Self> {
        files::refuse_no_folder(target)?;
        let inside = std::fs::canonicalize(target).ok();
        if inside.is_some() && inside == std::fs::canonicalize(source).ok() {
            return Err(Error::file(
                target,
                "is the folder of the videos themselves",
                "give another folder as option `out`",
            ));
        }
        let is_result = |path: &Path| {
            let real = std::fs::canonicalize(path);
            inside.as_ref().zip(real.ok()).is_some_and(|(folder, path)| path.starts_with(folder))
        };
        let (mut jobs, mut by_target) = (Vec::new(), HashMap::new());
        let found = videos_below(source)?;
        for from in found.videos.into_iter().filter(|path| !is_result(path)) {
            let below = match from.strip_prefix(source) {
                Ok(below) if !below.as_os_str().is_empty() => below.to_path_buf(),
                _ => from.file_name().map(PathBuf::from).unwrap_or_default(),
            };
            let to = target.join(below).with_extension("mp4");
            if let Some(other) = by_target.insert(to.clone(), from.clone()) {
                let problem = format!("would become {}, and so would {}", to.display(), other.display());
                return Err(Error::file(from, problem, "rename one of them, or compress their folders one by one"));
            }
            jobs.push((from, to));
        }
        if jobs.is_empty() {
            return Err(Error::file(source, "holds no video files", "name the folder with the videos"));
        }
        let unreadable = found.unreadable.into_iter();
        let unreadable = unreadable.map(|(path, reason)| Unreadable { media: path.display().to_string(), reason });
        Ok(Self { jobs, unreadable: unreadable.collect() })
    }
}

/// Whether a video is there: what somebody else put under this name may be anything.
fn is_video(path: &Path) -> bool {
    path.is_file() && VideoReader::open(path, &ReaderOptions::default()).is_ok()
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |facts| facts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aim() -> CompressSettings {
        CompressSettings { short_side: 12, fps: 2.0 }
    }

    #[test]
    fn a_second_run_goes_on_and_broken_files_are_listed() {
        if !svitt_video::ffmpeg_available() {
            return crate::skipped::skipped("ffmpeg");
        }
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("in"), dir.path().join("in/small"));
        std::fs::create_dir_all(source.join("sub")).unwrap();
        let pixels = vec![77; 20 * 3 * 24 * 16];
        svitt_video::encode::write_rgb(&source.join("sub/a.mp4"), &pixels, [24, 16], 10.0).unwrap();
        std::fs::write(source.join("b.mp4"), b"no video").unwrap();
        let report = compress_folder(&source, &target, aim(), &|_, _, _| ()).unwrap();
        assert_eq!((report.compressed, report.skipped, report.failed.len()), (1, 0, 1));
        assert!(report.failed[0].media.ends_with("b.mp4"), "{:?}", report.failed);
        assert!(target.join("sub/a.mp4").is_file() && report.bytes_out > 0);
        let again = compress_folder(&source, &target, aim(), &|_, _, _| ()).unwrap();
        assert_eq!((again.compressed, again.skipped, again.failed.len()), (0, 1, 1));
    }

    #[test]
    fn clashes_and_empty_folders_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let sentence = |aim| compress_folder(dir.path(), &dir.path().join("out"), aim, &|_, _, _| ()).unwrap_err();
        assert!(sentence(aim()).to_string().contains("holds no video files"));
        for name in ["a.webm", "a.avi"] {
            std::fs::write(dir.path().join(name), b"x").unwrap();
        }
        assert!(sentence(aim()).to_string().contains("a.mp4, and so would"));
        assert!(sentence(CompressSettings { short_side: 7, fps: 2.0 }).to_string().contains("setting `size`"));
        assert!(sentence(CompressSettings { short_side: 8, fps: f64::NAN }).to_string().contains("setting `fps`"));
    }
}
