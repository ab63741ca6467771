//! The clips of a video that is cut by its shots: every picture is decoded once, shots are found on the way, and of the
//! pictures that were kept of a shot those are prepared that its clips show.

use super::clip_reader::{ClipSink, PART, Result, add};
use super::clips::{ClipWindows, Timeline};
use super::shot_clips::ShotClips;
use super::spans::Candidates;
use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use svitt_video::{ShotDetector, ShotRule, SmallLuma, StreamedFrame, StreamedPicture, VideoReader};

/// Bytes of the pictures that wait until those before them are decoded, for each thread.
const WAITING: usize = 64 << 20;

/// Frames of a part that a thread decodes, at least; key frames where only these are read.
const LEAST_PART: usize = 32;

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
            return Ok(());
        } else if suits {
            // In the end one reader alone decides what of a damaged video is used.
            (sink.again)();
        }
    }
    read_alone(&mut reader, windows, sink)
}

/// As [`each_shot_clip`] by one reader.
fn read_alone(reader: &mut VideoReader, windows: &ClipWindows, sink: &ClipSink) -> Result<()> {
    loop {
        let source = FrameSource::of(reader, windows);
        let (mut shots, facts) = (None, Facts::of(reader));
        let read = source.read(0..source.parts.len(), reader, sink, &mut |frame| {
            shots.get_or_insert_with(|| ShotReader::new(&facts, windows, &source, sink)).take(frame)
        });
        let mut shots = shots.unwrap_or_else(|| ShotReader::new(&facts, windows, &source, sink));
        match read {
            Ok(true) => {
                sink.spent.read_by(reader.decoder());
                return shots.finish();
            }
            Ok(false) => (sink.again)(),
            Err(error) if shots.handed == 0 => return Err(error),
            Err(error) => {
                log::warn!("{error}; its clips before {:.1} s are used", shots.shots.begin());
                return Ok(());
            }
        }
    }
}

/// Which frames of a video are read, in parts that can be decoded by themselves.
struct FrameSource {
    /// The key frames, where only these are read.
    keys: Option<Vec<usize>>,
    /// Ranges of frames, or of places among the key frames.
    parts: Vec<Range<usize>>,
    /// Every so many frames the picture is wanted.
    every: usize,
}

impl FrameSource {
    fn of(reader: &mut VideoReader, windows: &ClipWindows) -> Self {
        let keys = windows.choice().key_frames(&Timeline::of(reader)).map(|keys| keys.into_owned());
        let every = Candidates::of(&Timeline::of(reader)).every();
        let (length, entries) = match &keys {
            Some(keys) => (keys.len(), (0..keys.len()).collect()),
            None => (reader.len(), reader.entries()),
        };
        let mut starts: Vec<usize> = Vec::new();
        for entry in entries {
            if starts.last().is_none_or(|last| entry - last >= LEAST_PART) {
                starts.push(entry);
            }
        }
        let ends = starts.iter().skip(1).copied().chain([length]);
        let parts = starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect();
        Self { keys, parts, every }
    }

    /// Hands the frames of some `parts` to `take`, until it returns false. `Ok(false)`: the video turned out to have
    /// other frames.
    fn read(
        &self,
        parts: Range<usize>,
        reader: &mut VideoReader,
        sink: &ClipSink,
        take: &mut dyn FnMut(StreamedFrame) -> bool,
    ) -> Result<bool> {
        let Some((first, last)) = self.parts[parts.clone()].first().zip(self.parts[parts].last()) else {
            return Ok(true);
        };
        timed(sink, take, |take| match &self.keys {
            Some(keys) => read_keys(reader, &keys[first.start..last.end], take),
            None => reader.stream(first.start..last.end, self.every, take),
        })
    }
}

/// Hands the key frames `keys` to `take`.
fn read_keys(reader: &mut VideoReader, keys: &[usize], take: &mut dyn FnMut(StreamedFrame) -> bool) -> Result<bool> {
    let bytes = (reader.width() * reader.height() * 3).max(1);
    for keys in keys.chunks((WAITING / bytes).clamp(1, LEAST_PART)) {
        let count = reader.len();
        let frames = reader.get_frames(keys)?;
        if reader.len() != count {
            return Ok(false);
        }
        for (place, &index) in keys.iter().enumerate() {
            let (luma, picture) = (SmallLuma::of_frame(&frames, place), StreamedPicture::Rgb(frames.one(place)));
            if !take(StreamedFrame { index, luma, picture: Some(picture) }) {
                return Ok(true);
            }
        }
    }
    Ok(true)
}

/// Who decodes a video on threads of its own.
#[derive(Clone, Copy)]
enum Decoding {
    /// The `ffmpeg` program all of it, on so many threads.
    OnePass(usize),
    /// So many readers, each every so many-th part.
    Parts(usize),
}

/// A frame, the end of a part, or why there are no more.
type Sent = std::result::Result<Option<StreamedFrame>, ()>;

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
    let pictures = (WAITING / (reader.width() * reader.height() * 3 / 2).max(1)).clamp(2, 256);
    let room = if source.keys.is_some() { pictures.div_ceil(2) } else { pictures * source.every };
    let workers = if let Decoding::Parts(workers) = decoding { workers } else { 1 };
    std::thread::scope(|scope| {
        let lane = |first: usize| {
            let (sender, receiver) = sync_channel::<Sent>(room);
            scope.spawn(move || {
                let opened = VideoReader::open(path, sink.reader);
                let read = opened.is_ok_and(|mut reader| match decoding {
                    Decoding::OnePass(threads) => send_all(&mut reader, source, threads, sink, &sender),
                    Decoding::Parts(_) => (first..source.parts.len())
                        .step_by(workers)
                        .all(|part| send(part, &mut reader, source, sink, &sender)),
                });
                if !read {
                    let _ = sender.send(Err(()));
                }
            });
            receiver
        };
        let lanes: Vec<Receiver<Sent>> = (0..workers).map(lane).collect();
        let ends = if let Decoding::OnePass(_) = decoding { 1 } else { source.parts.len() };
        for part in 0..ends {
            while let Some(frame) = lanes[part % workers].recv().unwrap_or(Err(()))? {
                if !shots.take(frame) {
                    return Ok(());
                }
            }
        }
        shots.finish().map_err(|_| ())
    })
}

/// Sends all of a video, as the `ffmpeg` program decodes it, and its end; false as [`send`].
fn send_all(
    reader: &mut VideoReader,
    source: &FrameSource,
    threads: usize,
    sink: &ClipSink,
    to: &SyncSender<Sent>,
) -> bool {
    let read = timed(sink, &mut |frame| to.send(Ok(Some(frame))).is_ok(), |take| {
        reader.stream_in_one_pass(source.every, threads, take)
    });
    read.unwrap_or(false) && to.send(Ok(None)).is_ok()
}

/// What `read` says; the time it takes without `take` is spent on decoding.
fn timed(
    sink: &ClipSink,
    take: &mut dyn FnMut(StreamedFrame) -> bool,
    read: impl FnOnce(&mut dyn FnMut(StreamedFrame) -> bool) -> Result<bool>,
) -> Result<bool> {
    let (since, mut taking) = (Instant::now(), Duration::ZERO);
    let read = read(&mut |frame| {
        let since = Instant::now();
        let more = take(frame);
        taking += since.elapsed();
        more
    });
    add(&sink.spent.decode, since + taking);
    read
}

/// Sends a part and its end; false if it does not decode, or nobody listens.
fn send(part: usize, reader: &mut VideoReader, source: &FrameSource, sink: &ClipSink, to: &SyncSender<Sent>) -> bool {
    let read = source.read(part..part + 1, reader, sink, &mut |frame| to.send(Ok(Some(frame))).is_ok());
    read.unwrap_or(false) && to.send(Ok(None)).is_ok()
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
    /// Clips that were handed over.
    handed: usize,
    /// What went wrong.
    failed: Result<()>,
}

impl<'a> ShotReader<'a> {
    fn new(facts: &'a Facts, windows: &'a ClipWindows, source: &FrameSource, sink: &'a ClipSink<'a>) -> Self {
        let rule = if source.keys.is_some() { ShotRule::KEY_FRAMES } else { ShotRule::EVERY_PICTURE };
        // A shot has a frame that is kept.
        let least = if source.keys.is_some() { 1 } else { source.every };
        Self {
            facts,
            windows,
            sink,
            candidates: Candidates::of(&facts.timeline()),
            detector: ShotDetector::new(rule),
            shots: ShotClips::new(windows, &facts.times, facts.duration, least),
            came: Vec::new(),
            kept: VecDeque::new(),
            handed: 0,
            failed: Ok(()),
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
        let more = clips.into_iter().all(|clip| self.hand_over(clip));
        self.forget();
        more
    }

    /// The clips at the end.
    fn finish(&mut self) -> Result<()> {
        let mut more = self.failed.is_ok();
        while let Some(cut) = self.detector.finish() {
            more = more && self.shots.cut(self.came[cut]).into_iter().all(|clip| self.hand_over(clip));
        }
        let _ = more && self.shots.end().into_iter().all(|clip| self.hand_over(clip));
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
        let spare = if self.windows.choice().key_frames(&self.facts.timeline()).is_some() { 1 } else { 0 };
        self.kept.drain(..before.saturating_sub(spare));
        let known = self.came.get(self.detector.decided()).copied().unwrap_or(0);
        let seconds = (times.get(known).map_or(0.0, |time| time - times[0]) - begin).min(self.windows.seconds());
        let mut stride = self.candidates.stride(seconds.max(0.0));
        if spare == 0 && stride > self.candidates.every() {
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
