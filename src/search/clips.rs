//! How a video is cut into clips, and which frames a clip has.

use super::moments::{self, Moments};
use super::spans::{CANDIDATES, Candidates, Spans};
use crate::{Error, Result};
use std::borrow::Cow;
use std::ops::Range;
use svitt_video::{FrameSampling, Frames, VideoError, VideoReader, window};

/// A video up to this many clip lengths is one clip, to avoid a very short second one.
pub(super) const WHOLE: f64 = 1.25;

/// Lengths and overlaps of clips, and the frames taken of each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipWindows {
    seconds: f64,
    overlap: f64,
    frames: usize,
    choice: FrameChoice,
}

/// Which frames of a video stand for a clip, and what the clip was cut by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FrameChoice {
    /// Which frames stand for the moments of a clip.
    pub moments: Moments,
    /// What it was cut by.
    pub spans: Spans,
}

impl FrameChoice {
    /// That of the clips that an index knows by this name.
    pub(super) fn of(name: &str) -> Self {
        Self { moments: Moments::of(name), spans: Spans::of(name) }
    }

    /// The key frames that stand for the others, where they do and are known. Of shots, four a second at most: where
    /// every frame is one, all those of a shot would have to be kept.
    pub(super) fn key_frames<'a>(self, video: &Timeline<'a>) -> Option<Cow<'a, [usize]>> {
        let known = self.moments == Moments::Keyframes && !video.key_frames.is_empty();
        match self.spans {
            _ if !known => None,
            Spans::Windows => Some(Cow::Borrowed(video.key_frames)),
            Spans::Shots => Some(Cow::Owned(moments::apart(video.key_frames, video.times, 1.0 / CANDIDATES))),
        }
    }
}

/// What of an open video tells which frames stand for a clip.
#[derive(Clone, Copy)]
pub(super) struct Timeline<'a> {
    /// When each frame is shown, in seconds.
    pub times: &'a [f64],
    /// The frames that decode without others, ascending.
    pub key_frames: &'a [usize],
    /// Frames per second.
    pub fps: f64,
    /// Pixels of a frame.
    pub pixels: usize,
}

impl<'a> Timeline<'a> {
    /// That of an open video.
    pub fn of(reader: &'a VideoReader) -> Self {
        let pixels = reader.width() * reader.height();
        Self { times: reader.times(), key_frames: reader.key_frames(), fps: reader.fps(), pixels }
    }
}

impl ClipWindows {
    /// Clips of `seconds` that share at least `overlap` (0 to 0.95) of their length with the next, `frames` frames each.
    ///
    /// # Errors
    /// A length or overlap that makes no clips.
    pub fn new(seconds: f64, overlap: f64, frames: usize) -> Result<Self> {
        if !(seconds >= 0.1 && seconds.is_finite()) {
            return Err(Error::setting("clip_seconds", format!("is {seconds:?}"), "use 0.1 or more"));
        }
        if !(0.0..=0.95).contains(&overlap) {
            return Err(Error::setting("overlap", format!("is {overlap:?}"), "use a share from 0 to 0.95"));
        }
        Ok(Self { seconds, overlap, frames, choice: FrameChoice::default() })
    }

    /// The same clips with these frames.
    pub fn at(self, moments: Moments) -> Self {
        Self { choice: FrameChoice { moments, ..self.choice }, ..self }
    }

    /// Clips of the same length at most, cut by `spans`.
    pub fn by(self, spans: Spans) -> Self {
        Self { choice: FrameChoice { spans, ..self.choice }, ..self }
    }

    /// Which frames stand for a clip, and what clips are cut by.
    pub(super) fn choice(&self) -> FrameChoice {
        self.choice
    }

    /// Seconds from the start of one clip to that of the next.
    pub(super) fn stride(&self) -> f64 {
        self.seconds * (1.0 - self.overlap)
    }

    /// The frames of a clip in an open video, ascending, repeats allowed; none if nothing is shown then.
    pub(super) fn frames_of(&self, video: &Timeline, span: [f64; 2]) -> Vec<usize> {
        frames_of(video, span, self.frames, self.choice)
    }

    /// Length of a clip, seconds.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Frames of a clip.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// What an index remembers of a file besides its size and date: cut otherwise, it must be embedded again.
    pub fn name(&self) -> String {
        let FrameChoice { moments, spans } = self.choice;
        format!("{} frames of {} s, overlap {}{spans}{moments}", self.frames, self.seconds, self.overlap)
    }

    /// Start and end, in seconds, of the clips of a video of `duration` seconds: evenly spread from its first to its
    /// last moment, so that neighbours overlap as much as was asked for or a little more.
    pub fn spans(&self, duration: f64) -> Vec<[f64; 2]> {
        if duration <= WHOLE * self.seconds {
            return vec![[0.0, duration]];
        }
        let (room, stride) = (duration - self.seconds, self.stride());
        let steps = (room / stride - 1e-6).ceil().max(1.0);
        (0..=steps as usize).map(|n| room * n as f64 / steps).map(|start| [start, start + self.seconds]).collect()
    }
}

/// `frames` middle frames of `[start, end]` seconds of an open video, or what stands for them; none if nothing is shown
/// then. A span without length (a single picture) means everything from its start.
pub(super) fn frames_of(video: &Timeline, [start, end]: [f64; 2], frames: usize, choice: FrameChoice) -> Vec<usize> {
    let Some(inside) = window(video.times, Some(start), (end > start).then_some(end)) else { return Vec::new() };
    let places = FrameSampling::Middle.indices(frames, inside.len(), video.fps, &mut || 0.0);
    let wanted: Vec<usize> = places.into_iter().map(|place| place + inside.start).collect();
    match (choice.key_frames(video), choice.spans) {
        (Some(keys), Spans::Windows) => moments::nearest_of(&keys, video.times, wanted),
        (Some(keys), Spans::Shots) => moments::nearest_of(inside_of(&keys, &inside), video.times, wanted),
        (None, Spans::Windows) => wanted,
        (None, Spans::Shots) => {
            let candidates = Candidates::of(video);
            wanted.into_iter().map(|frame| candidates.nearest(frame, &inside, end - start)).collect()
        }
    }
}

/// The key frames within `inside`, or the last one before it: the shot began with one.
fn inside_of<'a>(keys: &'a [usize], inside: &Range<usize>) -> &'a [usize] {
    let [low, high] = [inside.start, inside.end].map(|end| keys.partition_point(|key| *key < end));
    if low < high { &keys[low..high] } else { &keys[low.saturating_sub(1)..low.max(1).min(keys.len())] }
}

/// `frames` middle frames of `[start, end]` seconds of an open video, or what stands for them by `choice`; none if
/// nothing is shown then.
///
/// # Errors
/// What decoding finds wrong.
pub fn read_span(
    reader: &mut VideoReader,
    span: [f64; 2],
    frames: usize,
    choice: FrameChoice,
) -> std::result::Result<Option<Frames>, VideoError> {
    loop {
        let count = reader.len();
        let places = frames_of(&Timeline::of(reader), span, frames, choice);
        if places.is_empty() {
            return Ok(None);
        }
        let read = reader.get_frames(&places)?;
        // A damaged file turns out shorter while it is read; its frames are then chosen again.
        if reader.len() == count {
            return Ok(Some(read));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_cover_the_video_and_overlap_as_asked() {
        let clip_windows = ClipWindows::new(10.0, 0.5, 8).unwrap();
        assert_eq!(clip_windows.spans(12.5), [[0.0, 12.5]], "no clip of a remainder");
        assert_eq!(clip_windows.spans(20.0), [[0.0, 10.0], [5.0, 15.0], [10.0, 20.0]]);
        for duration in [12.6, 17.3, 61.0, 3599.9] {
            let spans = clip_windows.spans(duration);
            assert_eq!((spans[0][0], spans.len() as f64), (0.0, ((duration - 10.0) / 5.0).ceil() + 1.0));
            assert!((spans[spans.len() - 1][1] - duration).abs() < 1e-9);
            assert!(spans.windows(2).all(|pair| pair[1][0] > pair[0][0] && pair[1][0] - pair[0][0] <= 5.0 + 1e-9));
        }
        assert_eq!(clip_windows.spans(0.0), [[0.0, 0.0]]);
        assert_eq!(ClipWindows::new(2.0, 0.0, 4).unwrap().spans(6.0), [[0.0, 2.0], [2.0, 4.0], [4.0, 6.0]]);
    }

    #[test]
    fn clips_that_make_no_sense_are_refused() {
        for (seconds, overlap) in [(0.0, 0.5), (f64::NAN, 0.5), (f64::INFINITY, 0.5), (4.0, 1.0), (4.0, -0.1)] {
            let message = ClipWindows::new(seconds, overlap, 4).unwrap_err().to_string();
            assert!(message.contains("setting `clip_seconds`") || message.contains("setting `overlap`"), "{message}");
        }
    }
}
