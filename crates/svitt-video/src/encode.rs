//! Writing videos, through the `ffmpeg` program: re-encoding for training, and pictures of our own.
//!
//! A file appears under its name only when it is complete: it is written beside it under a temporary name that no other
//! run uses, and renamed. What a run that was killed left behind is deleted by the next one for the same file.

use super::error::{Result, VideoError};
use super::ffmpeg::{Complaints, Ended, FfmpegProgram, Listener, add_input, file_name, run};
use super::partial::PartialFile;
use super::sniff::demuxer_of;
use super::{ReaderOptions, VideoReader};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The encoder may make no progress for this long; it reports every half second.
pub(super) const STALL: Duration = Duration::from_secs(300);

/// Options that report progress and overwrite the temporary file, which exists already.
pub(super) const ALIVE: [&str; 3] = ["-progress", "pipe:1", "-y"];

/// What [`compress`] aims at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompressSettings {
    /// Length of the shorter side, pixels, or that of the source if it is shorter; the longer one follows, made even.
    pub short_side: usize,
    /// Frames per second.
    pub fps: f64,
}

impl Default for CompressSettings {
    /// What Singularity trained on: 2 frames per second, short side 224.
    fn default() -> Self {
        Self { short_side: 224, fps: 2.0 }
    }
}

/// Re-encodes `source` to the H.264 file `target`, without sound, and checks that as many frames came out as its
/// duration asks for. Returns the number of frames.
///
/// # Errors
/// There is no `ffmpeg` program, it fails, or the file it wrote does not read back with the expected frames.
pub fn compress(source: &Path, target: &Path, aim: CompressSettings) -> Result<usize> {
    let program = find(source, "re-encoding")?;
    let CompressSettings { short_side: side, fps } = aim;
    let duration = VideoReader::open(source, &ReaderOptions::default())?.duration();
    let demuxer = demuxer_of(source)?;
    let part = PartialFile::beside(target, ".mp4")?;
    let mut command = program.command("error");
    command.args(ALIVE);
    add_input(&mut command, &file_name(source), demuxer);
    command.arg("-filter:v");
    // Never larger than the source, whose sides may be odd.
    let [width, height] = ["iw", "ih"].map(|source| format!("min({side},trunc({source}/2)*2)"));
    command.arg(format!("scale='if(gt(a,1),trunc(oh*a/2)*2,{width})':'if(gt(a,1),{height},trunc(ow*a/2)*2)'"));
    command.args(["-map", "0:V:0", "-r", &fps.to_string()]).arg(file_name(part.path()));
    encode(command, [source, target])?;
    let frames = read_back(part.path())
        .map_err(|_| VideoError::corrupt(source, "what was written of it cannot be read; is the disk full?"))?;
    // `-r` shows the first and the last frame once more (30 s become 62 frames, not 60), and rounds to whole frames.
    let expected = duration * fps + 1.0;
    if (frames as f64 - expected).abs() > 2.5 {
        let detail = format!("{frames} frames came out of {duration:.2} s at {fps} per second, {expected:.0} expected");
        return Err(VideoError::corrupt(source, detail));
    }
    part.complete(target)?;
    Ok(frames)
}

/// What [`preview`] aims at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreviewSettings {
    /// Length of the shorter side at most, pixels.
    pub short_side: usize,
    /// Seconds at most.
    pub seconds: f64,
}

impl Default for PreviewSettings {
    /// A minute that is encoded faster than it plays.
    fn default() -> Self {
        Self { short_side: 360, seconds: 60.0 }
    }
}

/// Re-encodes seconds `start` to `end` of `source` to the H.264 file `target` as browsers play it, without sound.
///
/// # Errors
/// There is no `ffmpeg` program, or it fails.
pub fn preview(source: &Path, target: &Path, [start, end]: [f64; 2], aim: PreviewSettings) -> Result<()> {
    let program = find(source, "a preview")?;
    let demuxer = demuxer_of(source)?;
    let part = PartialFile::beside(target, ".mp4")?;
    let mut command = program.command("error");
    command.args(ALIVE).args(["-ss", &start.max(0.0).to_string()]);
    add_input(&mut command, &file_name(source), demuxer);
    // A span without length is a single picture.
    let length = if end > start { (end - start).min(aim.seconds) } else { 1.0 };
    let side = aim.short_side;
    command.args(["-t", &length.to_string(), "-filter:v"]);
    command.arg(format!("scale='if(gt(a,1),-2,min({side},trunc(iw/2)*2))':'if(gt(a,1),min({side},trunc(ih/2)*2),-2)'"));
    command.args(["-map", "0:V:0", "-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-pix_fmt", "yuv420p"]);
    command.args(["-movflags", "+faststart"]).arg(file_name(part.path()));
    encode(command, [source, target])?;
    part.complete(target)
}

/// Frames of the file at `path`, whose first and last decode.
pub(super) fn read_back(path: &Path) -> Result<usize> {
    let mut written = VideoReader::open(path, &ReaderOptions::default())?;
    let frames = written.len();
    written.get_frames(&[0, frames - 1])?;
    Ok(frames)
}

/// Writes RGB frames `[count, height, width, 3]` as an H.264 file at nearly no loss.
///
/// # Errors
/// There is no `ffmpeg` program, it fails, or the disk refuses.
pub fn write_rgb(target: &Path, rgb: &[u8], [width, height]: [usize; 2], fps: f64) -> Result<()> {
    let program = find(target, "writing H.264")?;
    let part = PartialFile::beside(target, ".mp4")?;
    let raw = PartialFile::beside(target, ".mp4")?;
    raw.file().write_all(rgb).map_err(|error| VideoError::not_written(raw.path(), error))?;
    let mut command = program.command("error");
    command.args(ALIVE).args(["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", &format!("{width}x{height}")]);
    command.args(["-framerate", &fps.to_string(), "-i"]).arg(file_name(raw.path()));
    // Quality 4 of 51: colours within a few grey levels, in a profile that every decoder knows.
    command.args(["-c:v", "libx264", "-crf", "4", "-pix_fmt", "yuv420p"]).arg(file_name(part.path()));
    encode(command, [target; 2])?;
    part.complete(target)
}

/// Checks that there is a program to write with, before anything is begun.
///
/// # Errors
/// [`VideoError::NoFfmpeg`].
pub fn require_ffmpeg() -> Result<()> {
    FfmpegProgram::find().map(|_| ()).map_err(|looked_at| VideoError::NoFfmpeg { looked_at })
}

pub(super) fn find(path: &Path, format: &str) -> Result<FfmpegProgram> {
    FfmpegProgram::find().map_err(|looked_at| VideoError::MissingTool {
        path: path.to_path_buf(),
        format: format.to_owned(),
        looked_at,
    })
}

/// When a run of the encoder is given up.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    /// How long it may make no progress.
    pub stall: Duration,
    /// Set to stop it.
    pub stop: Arc<AtomicBool>,
}

/// Runs the encoder, which reads `source` for `target`; what it says on standard error is its reason.
pub(super) fn encode(command: Command, [source, target]: [&Path; 2]) -> Result<()> {
    let patience = Patience { stall: STALL, stop: Arc::default() };
    encode_within(command, [source, target], &patience).map_err(|error| match error {
        VideoError::NotEncoded { detail, .. } => VideoError::corrupt(source, detail),
        other => other,
    })
}

/// As [`encode`], with patience of one's own.
pub(super) fn encode_within(command: Command, [source, target]: [&Path; 2], patience: &Patience) -> Result<()> {
    let mut complaints = Complaints::default();
    let mut reasons = Reasons { complaints: &mut complaints, reports: 0, refused: None, stop: &patience.stop };
    let ended = run(command, patience.stall, &mut reasons).map_err(|error| VideoError::io(source, error))?;
    let refused = reasons.refused;
    if patience.stop.load(Ordering::Relaxed) {
        // The program hears Ctrl-C as well, and may then end as if all was written.
        return Err(VideoError::Stopped { path: target.to_path_buf() });
    }
    match (ended, refused) {
        (Ended::Finished(true), _) => Ok(()),
        (Ended::Stalled, _) => {
            Err(VideoError::Timeout { path: source.to_path_buf(), seconds: patience.stall.as_secs() })
        }
        (_, Some(kind)) => Err(VideoError::not_written(target, std::io::Error::from(kind))),
        _ => Err(VideoError::not_encoded([source, target], complaints.worst().unwrap_or("it gives no reason"))),
    }
}

/// What the program says when the disk takes no more.
const REFUSALS: [(&str, ErrorKind); 2] =
    [("No space left on device", ErrorKind::StorageFull), ("File too large", ErrorKind::FileTooLarge)];

/// Hears complaints and counts reports of progress.
struct Reasons<'a> {
    complaints: &'a mut Complaints,
    reports: usize,
    /// What the disk refused. It is not the last thing that the program says.
    refused: Option<ErrorKind>,
    stop: &'a AtomicBool,
}

impl Listener for Reasons<'_> {
    fn output(&mut self, _: &[u8]) -> bool {
        self.reports += 1;
        !self.stop.load(Ordering::Relaxed)
    }

    fn message(&mut self, line: &str) -> bool {
        let refusal = REFUSALS.iter().find(|(words, _)| line.contains(words)).map(|(_, kind)| *kind);
        self.refused = self.refused.or(refusal);
        self.complaints.line(line);
        true
    }

    fn progress(&self) -> usize {
        self.reports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three seconds of 36 × 20 pixels at 10 frames per second, red growing with time.
    fn clip(target: &Path) -> Result<()> {
        let pixels = (0..30u8).flat_map(|t| [t * 8, 90, 40].repeat(36 * 20)).collect::<Vec<_>>();
        write_rgb(target, &pixels, [36, 20], 10.0)
    }

    #[test]
    fn written_frames_read_back_and_compress_to_two_a_second() {
        if !super::super::ffmpeg_available() {
            return crate::skipped::skipped("ffmpeg");
        }
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("-a 'b'.mp4"), dir.path().join("small.mp4"));
        clip(&source).unwrap();
        let mut reader = VideoReader::open(&source, &ReaderOptions::default()).unwrap();
        assert_eq!((reader.len(), reader.width(), reader.height(), reader.fps().round()), (30, 36, 20, 10.0));
        let frames = reader.get_frames(&[3, 29]).unwrap();
        for (place, red) in [24.0, 232.0].into_iter().enumerate() {
            let [r, g, b] = frames.mean_rgb(place);
            assert!((r - red).abs() < 4.0 && (g - 90.0).abs() < 4.0 && (b - 40.0).abs() < 4.0, "{r} {g} {b}");
        }
        let frames = compress(&source, &target, CompressSettings { short_side: 10, fps: 2.0 }).unwrap();
        assert!((6..=8).contains(&frames), "{frames} of 3 s at 2 per second, with the ends once more");
        let small = VideoReader::open(&target, &ReaderOptions::default()).unwrap();
        assert_eq!((small.width(), small.height()), (18, 10));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing temporary stays behind");
    }

    #[test]
    fn a_file_that_is_no_video_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("a.mp4"), dir.path().join("b.mp4"));
        std::fs::write(&source, b"not a video at all").unwrap();
        assert!(compress(&source, &target, CompressSettings::default()).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
