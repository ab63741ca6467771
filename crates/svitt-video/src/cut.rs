//! A span of a video as a file of its own, by the `ffmpeg` program: its packets as they are where the span begins at a key
//! frame or shortly after one, encoded anew otherwise.

use super::encode::{ALIVE, Patience, STALL, encode_within, find, read_back};
use super::error::{Result, VideoError};
use super::ffmpeg::{FfmpegProgram, add_input, file_name};
use super::partial::PartialFile;
use super::sniff::demuxer_of;
use super::{Frames, ReaderOptions, VideoReader, window};
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Share of frames that may be missing of a span, and more or fewer frames that are always forgiven.
const LOST_SHARE: f64 = 0.02;
const LOST: usize = 2;

/// Bytes of the source's frames that a picture is compared with at once.
const COMPARED: usize = 128 << 20;

/// How many frames to both sides a picture that was encoded is compared with, and by how much more than by the nearest one's
/// difference, and how many times it, it may differ from the wanted one, levels: grain is lost in encoding.
const AROUND: usize = 3;
const OTHER_PICTURE: f64 = 2.0;
const OTHER_TIMES: f64 = 2.0;

/// How long before a frame its part is cut, seconds: less than the rounding of containers' clocks.
const SLACK: f64 = 5e-4;

/// How a span is cut.
#[derive(Clone, Debug)]
pub struct CutSettings {
    /// Seconds that a key frame may lie before the span for its packets to be copied from there; none to encode always.
    pub copy_within: Option<f64>,
    /// How long the program may make no progress.
    pub stall: Duration,
    /// Set to stop: nothing is written then.
    pub stop: Arc<AtomicBool>,
}

impl Default for CutSettings {
    /// Half a second of what comes before is a small price for pictures and sound as they were.
    fn default() -> Self {
        Self { copy_within: Some(0.5), stall: STALL, stop: Arc::default() }
    }
}

/// Why packets were not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyEncoded {
    /// It was asked for.
    Asked,
    /// The key frame before lies too far away.
    Far,
    /// No key frame before is known.
    NoKeyFrame,
    /// The packets do not go into such a file, or not the right ones were found.
    NotCopied,
}

/// What was cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CutSpan {
    /// Where it begins in the source, seconds from its first frame.
    pub start: f64,
    /// Where it ends there.
    pub end: f64,
    /// Frames.
    pub frames: usize,
    /// Why it was encoded anew; none where its packets were copied.
    pub encoded: Option<WhyEncoded>,
    /// Seconds from the last key frame to where the span was to begin; none where the container tells no key frames.
    pub after_key_frame: Option<f64>,
}

/// Writes seconds `start` to `end` of `source`, with its sound, to `target`, whose name ends in `.mp4`, `.m4v`, `.mov`,
/// `.mkv` or `.webm`. A span without length goes on to the end. Subtitles and other streams are left out.
///
/// # Errors
/// There is no `ffmpeg` program, it fails, makes no progress or is stopped; nothing is shown in the span; another ending.
/// Nothing is left of the target then, and what was there before is there still.
pub fn cut(source: &Path, target: &Path, [start, end]: [f64; 2], settings: &CutSettings) -> Result<CutSpan> {
    let kind = TargetKind::of(target)?;
    let program = find(source, "cutting a clip")?;
    let reader = VideoReader::open(source, &ReaderOptions::default())?;
    let frames = window(reader.times(), Some(start), (end > start).then_some(end)).ok_or_else(|| {
        let [start, end, duration] = [start, end, reader.duration()].map(|seconds| format!("{seconds:.2}"));
        VideoError::Window { path: source.to_path_buf(), start, end, duration }
    })?;
    let patience = Patience { stall: settings.stall, stop: settings.stop.clone() };
    let mut cutter = Cutter::new([source, target], reader, program, kind, patience)?;
    let done = cutter.cut(&frames, settings.copy_within);
    // A program that decodes hears Ctrl-C as well, and its end looks like a fault of the video.
    if done.is_err() && settings.stop.load(Ordering::Relaxed) {
        return Err(VideoError::Stopped { path: target.to_path_buf() });
    }
    done
}

/// Endings of clips' names.
const ENDINGS: &str = ".mp4, .m4v, .mov, .mkv or .webm";

/// What the ending of the target's name asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum TargetKind {
    /// H.264 and AAC.
    Mp4(&'static str),
    /// VP9 and Opus.
    Webm,
}

impl TargetKind {
    fn of(target: &Path) -> Result<Self> {
        let extension = target.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "mp4" | "m4v" => Ok(Self::Mp4(".mp4")),
            "mov" => Ok(Self::Mp4(".mov")),
            "mkv" => Ok(Self::Mp4(".mkv")),
            "webm" => Ok(Self::Webm),
            _ => Err(VideoError::Ending { path: target.to_path_buf(), endings: ENDINGS.to_owned() }),
        }
    }

    fn extension(self) -> &'static str {
        if let Self::Mp4(extension) = self { extension } else { ".webm" }
    }

    /// Encoders, and what makes files begin to play before they are there.
    fn encoders(self) -> &'static [&'static str] {
        match self {
            Self::Mp4(".mkv") => &["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-c:a", "aac"],
            Self::Mp4(_) => {
                &["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-c:a", "aac", "-movflags", "+faststart"]
            }
            Self::Webm => &[
                "-c:v",
                "libvpx-vp9",
                "-crf",
                "24",
                "-b:v",
                "0",
                "-deadline",
                "good",
                "-cpu-used",
                "4",
                "-c:a",
                "libopus",
            ],
        }
    }
}

/// A source that spans are cut from.
struct Cutter<'a> {
    source: &'a Path,
    target: &'a Path,
    demuxer: &'static str,
    program: FfmpegProgram,
    kind: TargetKind,
    patience: Patience,
    reader: VideoReader,
    /// Of all frames, as the source's clock has them, and where the last one ends.
    times: Vec<f64>,
    keys: Vec<usize>,
}

impl<'a> Cutter<'a> {
    fn new(
        [source, target]: [&'a Path; 2],
        reader: VideoReader,
        program: FfmpegProgram,
        kind: TargetKind,
        patience: Patience,
    ) -> Result<Self> {
        let demuxer = demuxer_of(source)?;
        let mut times = reader.times().to_vec();
        times.push(times.first().map_or(0.0, |first| first + reader.duration()));
        let keys = reader.key_frames().to_vec();
        Ok(Self { source, target, demuxer, program, kind, patience, reader, times, keys })
    }

    /// Cuts `frames`, by copying where a key frame lies at most `copy_within` seconds before them.
    fn cut(&mut self, frames: &Range<usize>, copy_within: Option<f64>) -> Result<CutSpan> {
        let key = self.keys.iter().rev().find(|key| **key <= frames.start).copied();
        let after_key_frame = key.map(|key| self.times[frames.start] - self.times[key]);
        let why = match (key, after_key_frame, copy_within) {
            (_, _, None) => WhyEncoded::Asked,
            (Some(key), Some(gap), Some(most)) if gap <= most + SLACK => match self.copy(&(key..frames.end)) {
                Ok(span) => return Ok(CutSpan { after_key_frame, ..span }),
                Err(VideoError::Corrupt { .. } | VideoError::NotEncoded { .. }) => WhyEncoded::NotCopied,
                Err(error) => return Err(error),
            },
            (Some(_), ..) => WhyEncoded::Far,
            (None, ..) => WhyEncoded::NoKeyFrame,
        };
        Ok(CutSpan { encoded: Some(why), after_key_frame, ..self.encode(frames)? })
    }

    /// The span of `frames`.
    fn span(&self, frames: &Range<usize>) -> CutSpan {
        let [start, end] = [frames.start, frames.end].map(|frame| self.times[frame] - self.times[0]);
        CutSpan { start, end, frames: frames.len(), encoded: None, after_key_frame: None }
    }

    /// Copies the packets of `frames`, of which the first is a key frame. Packets come in the order of decoding: where they
    /// end, a picture may be missing and one that is shown a little later be there.
    fn copy(&mut self, frames: &Range<usize>) -> Result<CutSpan> {
        let part = PartialFile::beside(self.target, self.kind.extension())?;
        let mut command = self.program.command("error");
        // A little later than the key frame: seeking goes back to it, and not to the one before.
        let start = self.times[frames.start] + SLACK;
        command.args(ALIVE).args(["-seek_timestamp", "1", "-ss", &format!("{start:.6}")]);
        add_input(&mut command, &file_name(self.source), self.demuxer);
        let length = (self.times[frames.end] - start - SLACK).max(SLACK);
        command.args(["-t", &format!("{length:.6}"), "-frames:v", &frames.len().to_string()]);
        command
            .args(["-map", "0:V:0", "-map", "0:a?", "-c", "copy", "-avoid_negative_ts", "make_zero"])
            .arg(file_name(part.path()));
        encode_within(command, [self.source, self.target], &self.patience)?;
        let count = self.read_copy(part.path(), frames.start);
        let count = count.map_err(|error| VideoError::corrupt(self.source, error.detail()))?;
        self.require(count, frames)?;
        part.complete(self.target)?;
        Ok(CutSpan { frames: count, ..self.span(frames) })
    }

    /// Frames of the copy at `path`, which must begin with frame `first` of the source: of some files another key frame
    /// than the one that was asked for is found.
    fn read_copy(&mut self, path: &Path, first: usize) -> Result<usize> {
        let count = read_back(path)?;
        let copied = VideoReader::open(path, &ReaderOptions::default())?.get_frames(&[0])?;
        match self.reader.get_frames(&[first])?.data == copied.data {
            true => Ok(count),
            false => Err(VideoError::corrupt(self.source, "the copy begins with another frame")),
        }
    }

    /// Checks that `count` frames are those of the wanted `frames`, but for a few.
    fn require(&self, count: usize, frames: &Range<usize>) -> Result<()> {
        let forgiven = LOST + (frames.len() as f64 * LOST_SHARE) as usize;
        if count.abs_diff(frames.len()) <= forgiven {
            return Ok(());
        }
        let detail = format!("it cut {count} frames out of it instead of {}", frames.len());
        Err(self.failed(&detail))
    }

    /// The program wrote something else than was wanted.
    fn failed(&self, detail: &str) -> VideoError {
        VideoError::not_encoded([self.source, self.target], detail)
    }

    /// Encodes `frames` anew. Where seeking leads to other frames, as in files whose index is wrong, all before is decoded.
    fn encode(&mut self, frames: &Range<usize>) -> Result<CutSpan> {
        if !self.keys.is_empty() && frames.start > 0 {
            match self.encode_after(frames, Some(self.times[frames.start] - SLACK)) {
                Err(VideoError::NotEncoded { .. }) => {}
                done => return done,
            }
        }
        self.encode_after(frames, None)
    }

    /// Encodes `frames` anew, from the key frame before the moment `seek` on or from the source's beginning.
    fn encode_after(&mut self, frames: &Range<usize>, seek: Option<f64>) -> Result<CutSpan> {
        let part = PartialFile::beside(self.target, self.kind.extension())?;
        let mut command = self.program.command("error");
        command.args(ALIVE).arg("-copyts");
        if let Some(seek) = seek {
            // The filters cut. An accurate seek would cut too, at the moment plus the source's start time with `-copyts`.
            command.args(["-noaccurate_seek", "-seek_timestamp", "1", "-ss", &format!("{seek:.6}")]);
        }
        add_input(&mut command, &file_name(self.source), self.demuxer);
        self.filters(&mut command, frames);
        command.args(["-map", "0:V:0", "-map", "0:a?"]).args(self.kind.encoders()).args(["-pix_fmt", "yuv420p"]);
        command.arg(file_name(part.path()));
        encode_within(command, [self.source, self.target], &self.patience)?;
        let count = read_back(part.path()).map_err(|_| self.failed("what it wrote cannot be read"))?;
        self.require(count, frames)?;
        self.require_picture(part.path(), 0, frames.start)?;
        if count == frames.len() {
            self.require_picture(part.path(), count - 1, frames.end - 1)?;
        }
        part.complete(self.target)?;
        Ok(CutSpan { frames: count, ..self.span(frames) })
    }

    /// Checks that picture `place` of the file at `path` is none of those around frame `wanted` instead of it.
    fn require_picture(&mut self, path: &Path, place: usize, wanted: usize) -> Result<()> {
        let written = VideoReader::open(path, &ReaderOptions::default())?.get_frames(&[place])?;
        let around: Vec<usize> = (wanted.saturating_sub(AROUND)..self.reader.len().min(wanted + AROUND + 1)).collect();
        let (bytes, mut apart) = ((self.reader.width() * self.reader.height() * 3).max(1), Vec::new());
        // Read together: where the program decodes, every request begins at the start of the file.
        for frames in around.chunks((COMPARED / bytes).max(1)) {
            let source = self.reader.get_frames(frames)?;
            for place in 0..source.count {
                let Some(apart_from) = difference(&written, &source.one(place)) else { return Ok(()) };
                apart.push(apart_from);
            }
        }
        let nearest = apart.iter().copied().fold(f64::INFINITY, f64::min);
        if apart[wanted - around[0]] <= OTHER_PICTURE + OTHER_TIMES * nearest {
            return Ok(());
        }
        Err(self.failed("it cut at another frame than the one that was asked for"))
    }

    /// Pictures and sound of `frames` on the source's own clock, both moved by the same time, so that they stay in step.
    /// H.264 takes even sides only.
    fn filters(&self, command: &mut Command, frames: &Range<usize>) {
        let start = self.times[frames.start];
        let [first, end] = [start, self.times[frames.end]].map(|time| time - SLACK);
        let moved = format!("setpts=round(PTS-{start:.6}/TB)");
        command.args(["-vf", &format!("trim=start={first:.6}:end={end:.6},{moved},crop=trunc(iw/2)*2:trunc(ih/2)*2")]);
        command.args(["-af", &format!("atrim=start={start:.6}:end={end:.6},a{moved}")]);
        command.args(self.program.passthrough());
    }
}

/// Mean difference of two single frames, levels; none where their sides differ by more than the odd row or column that is
/// cut off.
fn difference(written: &Frames, source: &Frames) -> Option<f64> {
    let even = |side: usize| side / 2 * 2;
    if [written.width, written.height] != [source.width, source.height].map(even) {
        return None;
    }
    let (row, wide) = (written.width * 3, source.width * 3);
    let pairs = written.data.chunks(row).zip(source.data.chunks(wide));
    let sum: u64 = pairs.flat_map(|(a, b)| a.iter().zip(b)).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    Some(sum as f64 / written.data.len() as f64)
}

#[cfg(test)]
mod tests;
