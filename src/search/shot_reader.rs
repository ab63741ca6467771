//! The clips of a video that is cut by its shots: every picture is decoded once, shots are found on the way, and of the
//! pictures that were kept of a shot those are prepared that its clips show.

use super::clip_reader::{ClipSink, PART, Result, add};
use super::clips::{ClipWindows, Timeline};
use super::frame_source::{Decoding, FrameSource};
use super::shot_clips::ShotClips;
use super::spans::Candidates;
use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;
use svitt_video::{ShotDetector, ShotRule, StreamedFrame, StreamedPicture, VideoReader};

/// Passes every clip of the shots of the video at `path` to `sink` in order, decoding on up to `threads` threads.
///
/// # Errors
/// The video cannot be opened, or does not decode up to the end of its first clip.
pub(super) fn each_shot_clip(path: &Path, windows: &ClipWindows, threads: usize, sink: &ClipSink) -> Result<()> {
    let since = Instant::now();
    let mut reader = VideoReader::open(path, sink.reader)?;
    let source = FrameSource::of(&mut reader, windows);
    add(&sink.spent.decode, since);
    let one_pass = source.keys.is_none() && reader.suits_one_pass();
    let workers = threads.min((reader.duration() / PART) as usize).min(source.parts.len());
    for (suits, decoder, decoding) in
        [(one_pass, "ffmpeg", Decoding::OnePass(threads)), (workers > 1, reader.decoder(), Decoding::Parts(workers))]
    {
        if suits && read_on_threads(path, &reader, windows, &source, decoding, sink).is_ok() {
            sink.spent.read_by(decoder);
            sink.spent.warn(reader.warnings());
            return Ok(());
        } else if suits {
            // In the end one reader alone decides what of a damaged video is used.
            (sink.again)();
        }
    }
    let read = read_alone(&mut reader, windows, sink);
    sink.spent.warn(reader.warnings());
    read
}

/// As [`each_shot_clip`] by one reader.
fn read_alone(reader: &mut VideoReader, windows: &ClipWindows, sink: &ClipSink) -> Result<()> {
    loop {
        let source = FrameSource::of(reader, windows);
        let facts = Facts::of(reader);
        let mut shots = ShotReader::new(&facts, windows, &source, sink);
        let read = source.read(0..source.parts.len(), reader, sink, &mut |frame| shots.take(frame));
        match read {
            Ok(true) => {
                sink.spent.read_by(reader.decoder());
                return shots.finish();
            }
            Ok(false) => (sink.again)(),
            Err(error) if shots.handed == 0 => return Err(error),
            Err(error) => {
                sink.spent.warn(&[format!("{error}; its clips before {:.1} s are used", shots.shots.begin())]);
                return Ok(());
            }
        }
    }
}

/// As [`each_shot_clip`], decoded on other threads.
///
/// # Errors
/// Some of it does not decode; why is found out by reading it again.
fn read_on_threads(
    path: &Path,
    reader: &VideoReader,
    windows: &ClipWindows,
    source: &FrameSource,
    decoding: Decoding,
    sink: &ClipSink,
) -> std::result::Result<(), ()> {
    let facts = Facts::of(reader);
    let mut shots = ShotReader::new(&facts, windows, source, sink);
    source.read_on_threads(path, decoding, sink, &mut |frame| shots.take(frame))?;
    shots.finish().map_err(|_| ())
}

/// What is known of a video before it is decoded.
struct Facts {
    times: Vec<f64>,
    key_frames: Vec<usize>,
    fps: f64,
    pixels: usize,
    duration: f64,
}

impl Facts {
    fn of(reader: &VideoReader) -> Self {
        let Timeline { times, key_frames, fps, pixels } = Timeline::of(reader);
        let (times, key_frames) = (times.to_vec(), key_frames.to_vec());
        Self { times, key_frames, fps, pixels, duration: reader.duration() }
    }

    fn timeline(&self) -> Timeline<'_> {
        Timeline { times: &self.times, key_frames: &self.key_frames, fps: self.fps, pixels: self.pixels }
    }
}

/// A picture that is kept for the clips to come.
enum Kept {
    Picture(StreamedPicture),
    /// As the model takes it.
    Pixels(Vec<f32>),
}

/// Finds the shots in the frames that come, and makes clips of them.
struct ShotReader<'a> {
    facts: &'a Facts,
    windows: &'a ClipWindows,
    sink: &'a ClipSink<'a>,
    candidates: Candidates,
    detector: ShotDetector,
    shots: ShotClips<'a>,
    /// The number of every frame that came.
    came: Vec<usize>,
    /// Pictures with their numbers, ascending.
    kept: VecDeque<(usize, Kept)>,
    /// Pictures from before a clip that it may show: the last one, where only key frames are read.
    spare: usize,
    /// Clips that were handed over.
    handed: usize,
    /// What went wrong.
    failed: Result<()>,
    /// More clips are wanted.
    wanted: bool,
}

impl<'a> ShotReader<'a> {
    fn new(facts: &'a Facts, windows: &'a ClipWindows, source: &FrameSource, sink: &'a ClipSink<'a>) -> Self {
        // A shot has a frame that is kept.
        let (rule, least, spare) = match source.keys {
            Some(_) => (ShotRule::KEY_FRAMES, 1, 1),
            None => (ShotRule::EVERY_PICTURE, source.every, 0),
        };
        Self {
            facts,
            windows,
            sink,
            candidates: Candidates::of(&facts.timeline()),
            detector: ShotDetector::new(rule),
            shots: ShotClips::new(windows, &facts.times, facts.duration, least),
            came: Vec::new(),
            kept: VecDeque::new(),
            spare,
            handed: 0,
            failed: Ok(()),
            wanted: true,
        }
    }

    /// Takes the next frame; false: no more are wanted.
    fn take(&mut self, frame: StreamedFrame) -> bool {
        self.came.push(frame.index);
        self.kept.extend(frame.picture.map(|picture| (frame.index, Kept::Picture(picture))));
        let clips = match self.detector.push(frame.luma) {
            Some(cut) => self.shots.cut(self.came[cut]),
            None => self.came.get(self.detector.decided()).map_or_else(Vec::new, |next| self.shots.reached(*next)),
        };
        self.wanted = self.wanted && clips.into_iter().all(|clip| self.hand_over(clip));
        self.forget();
        self.wanted
    }

    /// The clips at the end.
    fn finish(&mut self) -> Result<()> {
        while let Some(cut) = self.detector.finish() {
            let clips = self.shots.cut(self.came[cut]);
            self.wanted = self.wanted && clips.into_iter().all(|clip| self.hand_over(clip));
        }
        let _ = self.wanted && self.shots.end().into_iter().all(|clip| self.hand_over(clip));
        std::mem::replace(&mut self.failed, Ok(()))
    }

    /// Gives a clip to the sink; a time at which nothing is shown is none.
    fn hand_over(&mut self, span: [f64; 2]) -> bool {
        let frames = self.windows.frames_of(&self.facts.timeline(), span);
        let mut pixels = Vec::new();
        for frame in frames {
            match self.pixels(frame) {
                Ok(more) => pixels.extend_from_slice(more),
                Err(error) => {
                    self.failed = Err(error);
                    return false;
                }
            }
        }
        self.handed += 1;
        pixels.is_empty() || (self.sink.take)(span, pixels)
    }

    /// The pixels of the kept picture that is nearest to `frame`: its own, but where a video's clock is so uneven that
    /// too many had to be kept.
    fn pixels(&mut self, frame: usize) -> Result<&[f32]> {
        let after = self.kept.partition_point(|(index, _)| *index < frame);
        let near = [after.saturating_sub(1), after].into_iter().filter(|place| *place < self.kept.len());
        let Some(place) = near.min_by_key(|place| self.kept[*place].0.abs_diff(frame)) else { return Ok(&[]) };
        let since = Instant::now();
        if let Kept::Picture(picture) = &self.kept[place].1 {
            self.kept[place].1 = Kept::Pixels((self.sink.prepare)(&picture.to_frames()?));
            add(&self.sink.spent.resize, since);
        }
        Ok(if let Kept::Pixels(pixels) = &self.kept[place].1 { pixels } else { &[] })
    }

    /// Drops the pictures that no later clip shows, and those that become too many in a long clip.
    fn forget(&mut self) {
        let (times, begin) = (&self.facts.times, self.shots.begin());
        let first = times.partition_point(|time| time - times[0] < begin - 1e-3);
        // A clip without a key frame shows the one before it.
        let before = self.kept.partition_point(|(index, _)| *index < first);
        self.kept.drain(..before.saturating_sub(self.spare));
        let known = self.came.get(self.detector.decided()).copied().unwrap_or(0);
        let seconds = (times.get(known).map_or(0.0, |time| time - times[0]) - begin).min(self.windows.seconds());
        let mut stride = self.candidates.stride(seconds.max(0.0));
        if self.spare == 0 && stride > self.candidates.every() {
            self.kept.retain(|(index, _)| *index >= known || index.is_multiple_of(stride));
        }
        while self.kept.len() > self.candidates.most() {
            stride *= 2;
            self.kept.retain(|(index, _)| index.is_multiple_of(stride));
        }
    }
}

#[cfg(test)]
#[path = "shot_reader_tests.rs"]
mod tests;
