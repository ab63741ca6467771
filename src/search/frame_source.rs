//! The frames of a video in order, decoded here, on several threads or by the `ffmpeg` program.

use super::clip_reader::{ClipSink, Result, add};
use super::clips::{ClipWindows, Timeline};
use super::spans::Candidates;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use svitt_video::{SmallLuma, StreamedFrame, StreamedPicture, VideoReader};

/// Bytes of the pictures that wait until those before them are decoded, for each thread.
const WAITING: usize = 64 << 20;

/// Frames of a part that a thread decodes, at least; key frames where only these are read.
const LEAST_PART: usize = 32;

/// Which frames of a video are read, in parts that can be decoded by themselves.
pub(super) struct FrameSource {
    /// The key frames, where only these are read.
    pub keys: Option<Vec<usize>>,
    /// Ranges of frames, or of places among the key frames.
    pub parts: Vec<Range<usize>>,
    /// Every so many frames the picture is wanted.
    pub every: usize,
    /// Frames that a thread is ahead, at most.
    room: usize,
}

impl FrameSource {
    /// Those of an open video.
    pub fn of(reader: &mut VideoReader, windows: &ClipWindows) -> Self {
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
        let pictures = (WAITING / (reader.width() * reader.height() * 3 / 2).max(1)).clamp(2, 256);
        let room = if keys.is_some() { pictures.div_ceil(2) } else { pictures * every };
        Self { keys, parts, every, room }
    }

    /// Hands the frames of some `parts` to `take`, until it returns false. `Ok(false)`: the video turned out to have
    /// other frames.
    pub fn read(
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
pub(super) enum Decoding {
    /// The `ffmpeg` program all of it, on so many threads.
    OnePass(usize),
    /// So many readers, each every so many-th part.
    Parts(usize),
}

/// A frame, the end of a part, or why there are no more.
type Sent = std::result::Result<Option<StreamedFrame>, ()>;

impl FrameSource {
    /// Hands all frames of the video at `path` to `take`, decoded on other threads, until it returns false.
    ///
    /// # Errors
    /// Some of it does not decode; why is found out by reading it again.
    pub fn read_on_threads(
        &self,
        path: &Path,
        decoding: Decoding,
        sink: &ClipSink,
        take: &mut dyn FnMut(StreamedFrame) -> bool,
    ) -> std::result::Result<(), ()> {
        let (workers, ends) = match decoding {
            Decoding::Parts(workers) => (workers, self.parts.len()),
            Decoding::OnePass(_) => (1, 1),
        };
        std::thread::scope(|scope| {
            let lane = |first: usize| {
                let (sender, receiver) = sync_channel::<Sent>(self.room);
                scope.spawn(move || {
                    let opened = VideoReader::open(path, sink.reader);
                    let read = opened.is_ok_and(|mut reader| match decoding {
                        Decoding::OnePass(threads) => self.send_all(&mut reader, threads, sink, &sender),
                        Decoding::Parts(_) => {
                            let mut parts = (first..self.parts.len()).step_by(workers);
                            parts.all(|part| self.send(part, &mut reader, sink, &sender))
                        }
                    });
                    if !read {
                        let _ = sender.send(Err(()));
                    }
                });
                receiver
            };
            let lanes: Vec<Receiver<Sent>> = (0..workers).map(lane).collect();
            for end in 0..ends {
                while let Some(frame) = lanes[end % workers].recv().unwrap_or(Err(()))? {
                    if !take(frame) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    /// Sends all of a video, as the `ffmpeg` program decodes it, and its end; false as [`FrameSource::send`].
    fn send_all(&self, reader: &mut VideoReader, threads: usize, sink: &ClipSink, to: &SyncSender<Sent>) -> bool {
        let read = timed(sink, &mut |frame| to.send(Ok(Some(frame))).is_ok(), |take| {
            reader.stream_in_one_pass(self.every, threads, take)
        });
        read.unwrap_or(false) && to.send(Ok(None)).is_ok()
    }

    /// Sends a part and its end; false if it does not decode, or nobody listens.
    fn send(&self, part: usize, reader: &mut VideoReader, sink: &ClipSink, to: &SyncSender<Sent>) -> bool {
        let read = self.read(part..part + 1, reader, sink, &mut |frame| to.send(Ok(Some(frame))).is_ok());
        read.unwrap_or(false) && to.send(Ok(None)).is_ok()
    }
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
