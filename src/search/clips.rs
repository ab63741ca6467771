//! How a video is cut into clips, and which frames a clip has.

use super::Moments;
use crate::{Error, Result};
use svitt_video::{FrameSampling, Frames, VideoError, VideoReader, window};

/// A video up to this many clip lengths is one clip, to avoid a very short second one.
const WHOLE: f64 = 1.25;

/// Lengths and overlaps of clips, and the frames taken of each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipWindows {
    seconds: f64,
    overlap: f64,
    frames: usize,
    moments: Moments,
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
        Ok(Self { seconds, overlap, frames, moments: Moments::Exact })
    }

    /// The same clips with these frames.
    pub fn at(self, moments: Moments) -> Self {
        Self { moments, ..self }
    }

    /// The frames of a clip in an open video, ascending, repeats allowed; none if nothing is shown then.
    pub(super) fn frames_of(&self, reader: &VideoReader, span: [f64; 2]) -> Vec<usize> {
        frames_of(reader, span, self.frames, self.moments)
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
        format!("{} frames of {} s, overlap {}{}", self.frames, self.seconds, self.overlap, self.moments)
    }

    /// Start and end, in seconds, of the clips of a video of `duration` seconds: evenly spread from its first to its
    /// last moment, so that neighbours overlap as much as was asked for or a little more.
    pub fn spans(&self, duration: f64) -> Vec<[f64; 2]> {
        if duration <= WHOLE * self.seconds {
            return vec![[0.0, duration]];
        }
        let (room, stride) = (duration - self.seconds, self.seconds * (1.0 - self.overlap));
        let steps = (room / stride - 1e-6).ceil().max(1.0);
        (0..=steps as usize).map(|n| room * n as f64 / steps).map(|start| [start, start + self.seconds]).collect()
    }
}

/// `frames` middle frames of `[start, end]` seconds of an open video, or what stands for them; none if nothing is shown
/// then. A span without length (a single picture) means everything from its start.
fn frames_of(reader: &VideoReader, [start, end]: [f64; 2], frames: usize, moments: Moments) -> Vec<usize> {
    let Some(inside) = window(reader.times(), Some(start), (end > start).then_some(end)) else { return Vec::new() };
    let places = FrameSampling::Middle.indices(frames, inside.len(), reader.fps(), &mut || 0.0);
    moments.of_frames(reader, places.into_iter().map(|place| place + inside.start).collect())
}

/// `frames` middle frames of `[start, end]` seconds of an open video, or what `moments` has stand for them; none if
/// nothing is shown then.
///
/// # Errors
/// What decoding finds wrong.
pub fn read_span(
    reader: &mut VideoReader,
    span: [f64; 2],
    frames: usize,
    moments: Moments,
) -> std::result::Result<Option<Frames>, VideoError> {
    loop {
        let count = reader.len();
        let places = frames_of(reader, span, frames, moments);
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
