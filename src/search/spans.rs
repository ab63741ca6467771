//! What a video is cut by: windows of equal length, or its shots.

use super::clips::Timeline;
use crate::index::Index;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// What the name of clips holds that are cut by shots.
const SHOTS: &str = ", by shots";

/// Frames of a shot that stand for its clips, a second: more are not kept until it is known where the shot ends.
pub(super) const CANDIDATES: f64 = 4.0;

/// A video up to so many frames keeps them all.
const SHORT: usize = 256;

/// Bytes of the pictures that are kept of a shot.
const KEPT: usize = 128 << 20;

/// What a video is cut by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Spans {
    /// Windows of equal length over all of it.
    #[default]
    Windows,
    /// Its shots; long ones are cut into windows.
    Shots,
}

impl Spans {
    /// What `index` has the videos below `folder` cut by, or others where it has none of them; none if it is empty.
    pub fn used_in(index: &Index, folder: Option<&Path>) -> Option<Self> {
        let root = folder.and_then(|folder| folder.canonicalize().ok());
        let inside = |path: &&Path| root.as_ref().is_some_and(|root| path.starts_with(root));
        let path = index.files().find(inside).or_else(|| index.files().next())?;
        index.stamp(path).map(|stamp| Self::of(&stamp.clip_windows))
    }

    /// That of the clips that an index knows by this name.
    pub(super) fn of(name: &str) -> Self {
        if name.contains(SHOTS) { Self::Shots } else { Self::Windows }
    }
}

/// What a name of clips holds of it.
impl fmt::Display for Spans {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if *self == Self::Windows { "" } else { SHOTS })
    }
}

/// Which frames can stand for a clip of a shot: while a shot is read nobody knows where it ends, so that some are kept
/// of which the best are chosen then. A function of the video and the clip's length alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidates {
    /// Every so many frames there is one.
    every: usize,
    /// Candidates that are kept of one clip, about.
    most: f64,
    fps: f64,
}

impl Candidates {
    /// Those of an open video.
    pub fn of(video: &Timeline) -> Self {
        let fps = video.fps;
        let every = if video.times.len() <= SHORT { 1 } else { ((fps / CANDIDATES).round() as usize).max(1) };
        // 4:2:0.
        let bytes = (video.pixels * 3 / 2).max(1);
        Self { every, most: (KEPT / bytes).clamp(4, SHORT) as f64, fps }
    }

    /// Frames from one candidate to the next, whatever the clip's length.
    pub fn every(&self) -> usize {
        self.every
    }

    /// Pictures that are kept at once, at most.
    pub fn most(&self) -> usize {
        2 * self.most as usize + 16
    }

    /// Frames from one candidate of a clip of `seconds` to the next: twice as many for longer ones.
    pub fn stride(&self, seconds: f64) -> usize {
        let mut stride = self.every;
        while seconds * self.fps / stride as f64 > self.most && stride < 1 << 24 {
            stride *= 2;
        }
        stride
    }

    /// The candidate nearest to `frame` within `inside`, for a clip of `seconds`; the frame itself where there is none.
    pub fn nearest(&self, frame: usize, inside: &std::ops::Range<usize>, seconds: f64) -> usize {
        let mut stride = self.stride(seconds);
        loop {
            let (first, last) = (inside.start.next_multiple_of(stride), (inside.end - 1) / stride * stride);
            if first <= last {
                return ((frame + stride / 2) / stride * stride).clamp(first, last);
            }
            if stride == 1 {
                return frame;
            }
            stride /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_get_rarer_with_the_length_of_a_clip_and_stay_inside() {
        let candidates = Candidates { every: 6, most: 43.0, fps: 25.0 };
        assert_eq!([1.0, 10.0, 12.5, 41.0].map(|seconds| candidates.stride(seconds)), [6, 6, 12, 24]);
        let near = |frame, inside, seconds| candidates.nearest(frame, &inside, seconds);
        assert_eq!(
            [near(8, 1..40, 1.0), near(9, 1..40, 1.0), near(2, 1..40, 1.0), near(39, 1..40, 1.0)],
            [6, 12, 6, 36]
        );
        assert_eq!(near(40, 31..61, 12.5), 36, "48 is further");
        assert_eq!(near(8, 7..10, 0.1), 9, "none of a sixth frame is inside: every third");
    }

    #[test]
    fn names_say_which() {
        for spans in [Spans::Windows, Spans::Shots] {
            assert_eq!(Spans::of(&format!("4 frames of 10 s, overlap 0.5{spans}, key frames")), spans);
        }
    }
}
