//! The clips of a video one after the other, every frame of them decoded and resized once.

use super::Spans;
use super::clips::{ClipWindows, Timeline};
use super::one_pass_reader::each_clip_in_one_pass;
use super::shot_reader::each_shot_clip;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use svitt_video::{Frames, ReaderOptions, VideoError, VideoReader};

/// Frames that are decoded at once, at most; fewer of large pictures.
const RUN: usize = 32;

/// Bytes of the frames that are decoded at once.
const RUN_BYTES: usize = 128 << 20;

/// Seconds of video for which another thread is worth opening the file once more.
pub(super) const PART: f64 = 60.0;

pub(super) type Result<T> = std::result::Result<T, VideoError>;

/// What becomes of a video's clips.
pub(super) struct ClipSink<'a> {
    /// One frame to the model's pixels, `[3, size, size]`.
    pub prepare: &'a (dyn Fn(&Frames) -> Vec<f32> + Sync),
    /// Takes the seconds and the pixels `[frames, 3, size, size]` of a clip; false: no more are wanted.
    pub take: &'a (dyn Fn([f64; 2], Vec<f32>) -> bool + Sync),
    /// Forgets the clips that were taken: the video is read again from its start.
    pub again: &'a (dyn Fn() + Sync),
    /// How it is read.
    pub reader: &'a ReaderOptions,
    /// What it took.
    pub spent: &'a DecodeSeconds,
}

/// Time that threads spent on videos, in nanoseconds, all threads together, what decoded how many of them, and what there
/// is to say of them.
#[derive(Debug, Default)]
pub(super) struct DecodeSeconds {
    pub decode: AtomicU64,
    pub resize: AtomicU64,
    native: AtomicUsize,
    ffmpeg: AtomicUsize,
    warnings: Mutex<BTreeSet<String>>,
}

impl DecodeSeconds {
    /// Seconds of decoding, and of resizing.
    pub fn seconds(&self) -> [f64; 2] {
        [&self.decode, &self.resize].map(|spent| spent.load(Ordering::Relaxed) as f64 / 1e9)
    }

    /// Counts a video that this decoder read.
    pub fn read_by(&self, decoder: &str) {
        let videos = if decoder == "ffmpeg" { &self.ffmpeg } else { &self.native };
        videos.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes what a person should know of a video that was read all the same; the same words once.
    pub fn warn(&self, warnings: &[String]) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).extend(warnings.iter().cloned());
    }

    /// What was noted, in the order of the names of the videos.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Videos that the built-in decoder read, and the `ffmpeg` program.
    pub fn videos(&self) -> [usize; 2] {
        [&self.native, &self.ffmpeg].map(|videos| videos.load(Ordering::Relaxed))
    }
}

/// Adds the time since `since` to `spent`.
pub(super) fn add(spent: &AtomicU64, since: Instant) {
    spent.fetch_add(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Passes every clip of the video at `path` to `sink`, decoding up to `threads` parts of a long one at the same time: the
/// clips of each part come in order.
///
/// # Errors
/// The video cannot be opened, or its first clip does not decode.
pub(super) fn each_clip(path: &Path, windows: &ClipWindows, threads: usize, sink: &ClipSink) -> Result<()> {
    if windows.choice().spans == Spans::Shots {
        return each_shot_clip(path, windows, threads, sink);
    }
    let since = Instant::now();
    let mut reader = VideoReader::open(path, sink.reader)?;
    add(&sink.spent.decode, since);
    let all_frames = windows.choice().key_frames(&Timeline::of(&reader)).is_none();
    if all_frames && reader.suits_one_pass() {
        if each_clip_in_one_pass(path, windows, threads, sink)? {
            sink.spent.read_by("ffmpeg");
            sink.spent.warn(reader.warnings());
            return Ok(());
        }
        (sink.again)();
    }
    sink.spent.read_by(reader.decoder());
    let spans = windows.spans(reader.duration());
    let parts = threads.min((reader.duration() / PART) as usize).clamp(1, spans.len().max(1));
    let wanted = AtomicBool::new(true);
    let mut rest = spans.chunks(spans.len().div_ceil(parts).max(1));
    let first = rest.next().unwrap_or_default();
    std::thread::scope(|scope| {
        for spans in rest {
            let wanted = &wanted;
            scope.spawn(move || {
                let read = VideoReader::open(path, sink.reader);
                let read = read.and_then(|reader| PartReader::new(reader, windows, sink, wanted).read(spans));
                read.unwrap_or_else(|error| {
                    sink.spent.warn(&[format!("{}: left out from {:.0} s on: {error}", path.display(), spans[0][0])])
                });
            });
        }
        PartReader::new(reader, windows, sink, &wanted).read(first)
    })
}

/// The reader of some of the clips of a video.
struct PartReader<'a> {
    reader: VideoReader,
    windows: &'a ClipWindows,
    sink: &'a ClipSink<'a>,
    /// More clips are wanted.
    wanted: &'a AtomicBool,
    /// Pixels of frames that further clips may show again.
    ready: BTreeMap<usize, Vec<f32>>,
}

impl<'a> PartReader<'a> {
    fn new(reader: VideoReader, windows: &'a ClipWindows, sink: &'a ClipSink<'a>, wanted: &'a AtomicBool) -> Self {
        Self { reader, windows, sink, wanted, ready: BTreeMap::new() }
    }

    fn read(&mut self, spans: &[[f64; 2]]) -> Result<()> {
        let read = self.read_spans(spans);
        self.sink.spent.warn(self.reader.warnings());
        read
    }

    fn read_spans(&mut self, spans: &[[f64; 2]]) -> Result<()> {
        let (mut at, mut most) = (0, usize::MAX);
        while at < spans.len() && self.wanted.load(Ordering::Relaxed) {
            let run = self.run(&spans[at..], most);
            match self.make_ready(&run) {
                Ok(true) => {
                    at += run.len();
                    self.hand_over(&run);
                }
                // The video turned out to be damaged: its frames are chosen again from those there are.
                Ok(false) => self.ready.clear(),
                Err(_) if run.len() > 1 => most = 1,
                Err(error) if at == 0 => return Err(error),
                Err(error) => {
                    self.sink.spent.warn(&[format!("{error}; its clips before {:.1} s are used", spans[at][0])]);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The next clips and their frames, at most `most` and as many as bring [`RUN`] new frames; clips at whose time
    /// nothing is shown have none.
    fn run(&self, spans: &[[f64; 2]], most: usize) -> Vec<Clip> {
        let (mut run, mut new) = (Vec::new(), BTreeSet::new());
        for &span in spans.iter().take(most) {
            let frames = self.windows.frames_of(&Timeline::of(&self.reader), span);
            new.extend(frames.iter().copied().filter(|frame| !self.ready.contains_key(frame)));
            if !run.is_empty() && new.len() > RUN {
                break;
            }
            run.push(Clip { span, frames });
        }
        run
    }

    /// Decodes the frames of `run` that are not ready yet; false if the video turned out to have other frames.
    fn make_ready(&mut self, run: &[Clip]) -> Result<bool> {
        let frames = run.iter().flat_map(|clip| &clip.frames).copied();
        let new: BTreeSet<usize> = frames.filter(|frame| !self.ready.contains_key(frame)).collect();
        let new: Vec<usize> = new.into_iter().collect();
        let bytes = self.reader.width() * self.reader.height() * 3;
        for frames in new.chunks((RUN_BYTES / bytes.max(1)).clamp(1, RUN)) {
            let count = self.reader.len();
            let since = Instant::now();
            let read = self.reader.get_frames(frames);
            add(&self.sink.spent.decode, since);
            let read = read?;
            if self.reader.len() != count {
                return Ok(false);
            }
            let since = Instant::now();
            for (place, frame) in frames.iter().enumerate() {
                self.ready.insert(*frame, (self.sink.prepare)(&read.one(place)));
            }
            add(&self.sink.spent.resize, since);
        }
        Ok(true)
    }

    /// Gives the clips of `run` to the sink, and forgets what no later clip shows: each begins after the one before.
    fn hand_over(&mut self, run: &[Clip]) {
        for clip in run.iter().filter(|clip| !clip.frames.is_empty()) {
            let pixels: Vec<f32> = clip.frames.iter().flat_map(|frame| self.ready[frame].iter().copied()).collect();
            if !(self.sink.take)(clip.span, pixels) {
                self.wanted.store(false, Ordering::Relaxed);
                return;
            }
        }
        if let Some(first) = run.iter().rev().find_map(|clip| clip.frames.first().copied()) {
            self.ready = self.ready.split_off(&first);
        }
    }
}

/// A clip: its seconds and its frames, ascending, repeats allowed.
struct Clip {
    span: [f64; 2],
    frames: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::super::{Moments, read_span};
    use super::*;
    use std::sync::Mutex;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/svitt-video/tests/fixtures").join(name)
    }

    /// Every byte as a number.
    fn raw(frames: &Frames) -> Vec<f32> {
        frames.data.iter().map(|&byte| f32::from(byte)).collect()
    }

    fn clips(path: &Path, windows: &ClipWindows, spans_per_part: usize) -> Vec<([f64; 2], Vec<f32>)> {
        let (found, spent) = (Mutex::new(Vec::new()), DecodeSeconds::default());
        let take = |span, pixels| {
            found.lock().unwrap().push((span, pixels));
            true
        };
        let sink =
            ClipSink { prepare: &raw, take: &take, again: &|| {}, reader: &ReaderOptions::default(), spent: &spent };
        let reader = || VideoReader::open(path, &ReaderOptions::default()).unwrap();
        let (spans, wanted) = (windows.spans(reader().duration()), AtomicBool::new(true));
        for part in spans.chunks(spans_per_part) {
            PartReader::new(reader(), windows, &sink, &wanted).read(part).unwrap();
        }
        assert!(spent.seconds()[0] > 0.0);
        found.into_inner().unwrap()
    }

    #[test]
    fn clips_read_in_runs_are_those_read_alone() {
        for name in ["bframes.mp4", "h264.mkv", "vp9.webm", "vfr.mp4", "fragmented.mp4"] {
            let path = fixture(name);
            let duration = VideoReader::open(&path, &ReaderOptions::default()).unwrap().duration();
            for (moments, seconds, overlap) in [
                (Moments::Exact, duration / 5.0, 0.5),
                (Moments::Exact, duration / 2.3, 0.9),
                (Moments::Keyframes, duration / 3.0, 0.0),
            ] {
                let windows = ClipWindows::new(seconds.max(0.1), overlap, 3).unwrap().at(moments);
                let all = clips(&path, &windows, usize::MAX);
                assert!(all.len() > 1, "{name}");
                assert_eq!(clips(&path, &windows, 2), all, "{name}: the parts together");
                for (span, pixels) in all {
                    let mut reader = VideoReader::open(&path, &ReaderOptions::default()).unwrap();
                    let alone = read_span(&mut reader, span, 3, windows.choice()).unwrap().unwrap();
                    assert!(raw(&alone) == pixels, "{name} {span:?} {moments:?}");
                }
            }
        }
    }

    #[test]
    fn frames_that_no_later_clip_shows_are_forgotten() {
        let path = fixture("bframes.mp4");
        let windows = ClipWindows::new(0.2, 0.0, 2).unwrap();
        let (spent, wanted) = (DecodeSeconds::default(), AtomicBool::new(true));
        let sink = ClipSink {
            prepare: &raw,
            take: &|_, _| true,
            again: &|| {},
            reader: &ReaderOptions::default(),
            spent: &spent,
        };
        let reader = VideoReader::open(&path, &ReaderOptions::default()).unwrap();
        let spans = windows.spans(reader.duration());
        let mut part = PartReader::new(reader, &windows, &sink, &wanted);
        part.read(&spans).unwrap();
        assert!(part.ready.len() <= 2, "{}", part.ready.len());
    }
}
