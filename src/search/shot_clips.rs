//! Where the clips of a video lie that is cut by its shots, told while the shots are found.

use super::clips::{ClipWindows, WHOLE};
use std::ops::Range;

/// Seconds of the shortest shot: what is cut off before that joins the shot after it, at the end the one before.
const LEAST_SHOT: f64 = 0.5;

/// A float of a time added up otherwise is the same time.
const SAME: f64 = 1e-6;

/// The clips of shots: a shot is one clip, a longer one than 1.25 windows is cut into windows from its start, of which
/// the last takes what is left. What is known of a clip does not depend on what comes after it.
pub(super) struct ShotClips<'a> {
    windows: &'a ClipWindows,
    /// When each frame is shown, seconds after the first.
    times: &'a [f64],
    origin: f64,
    duration: f64,
    /// Frames of the shortest shot.
    least_frames: usize,
    /// The frame that the shot began with.
    shot: usize,
    /// When the next clip begins.
    begin: f64,
}

impl<'a> ShotClips<'a> {
    /// The clips of a video of `duration` seconds whose frames are shown at `times`; a shot has `least_frames` or more.
    pub fn new(windows: &'a ClipWindows, times: &'a [f64], duration: f64, least_frames: usize) -> Self {
        let origin = times.first().copied().unwrap_or(0.0);
        Self { windows, times, origin, duration, least_frames, shot: 0, begin: 0.0 }
    }

    /// Seconds at which the next clip begins.
    pub fn begin(&self) -> f64 {
        self.begin
    }

    /// The clips that are complete when frame `cut` turns out to begin a shot: none if that shot or the one before it
    /// would be too short.
    pub fn cut(&mut self, cut: usize) -> Vec<[f64; 2]> {
        let (at, shot) = (self.time(cut), self.time(self.shot));
        let long =
            |seconds: f64, frames: Range<usize>| seconds >= LEAST_SHOT - SAME && frames.len() >= self.least_frames;
        if !long(at - shot, self.shot..cut) || !long(self.duration - at, cut..self.times.len()) {
            return Vec::new();
        }
        let mut clips = self.reached(cut);
        clips.push([self.begin, at]);
        (self.shot, self.begin) = (cut, at);
        clips
    }

    /// The clips that are complete when no shot begins up to frame `frame`, which comes next.
    pub fn reached(&mut self, frame: usize) -> Vec<[f64; 2]> {
        let at = if frame < self.times.len() { self.time(frame) } else { self.duration };
        self.windows_until(at)
    }

    /// The last clips.
    pub fn end(&mut self) -> Vec<[f64; 2]> {
        let mut clips = self.windows_until(self.duration);
        clips.push([self.begin, self.duration]);
        clips
    }

    fn windows_until(&mut self, at: f64) -> Vec<[f64; 2]> {
        let mut clips = Vec::new();
        while at - self.begin > WHOLE * self.windows.seconds() + SAME {
            clips.push([self.begin, self.begin + self.windows.seconds()]);
            self.begin += self.windows.stride();
        }
        clips
    }

    fn time(&self, frame: usize) -> f64 {
        self.times.get(frame).map_or(self.duration, |time| time - self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clips of a video of 25 frames a second that is cut at these frames, told one frame at a time.
    fn clips(frames: usize, cuts: &[usize], overlap: f64) -> Vec<[f64; 2]> {
        let windows = ClipWindows::new(4.0, overlap, 4).unwrap();
        let times: Vec<f64> = (0..frames).map(|n| 7.0 + n as f64 / 25.0).collect();
        let mut shots = ShotClips::new(&windows, &times, frames as f64 / 25.0, 5);
        let mut found = Vec::new();
        for frame in 1..frames {
            found.extend(if cuts.contains(&frame) { shots.cut(frame) } else { shots.reached(frame) });
        }
        found.extend(shots.end());
        found.iter().map(|span| span.map(|time| (time * 1000.0).round() / 1000.0)).collect()
    }

    #[test]
    fn shots_are_clips_and_long_ones_are_windows() {
        assert_eq!(clips(125, &[], 0.5), [[0.0, 5.0]], "up to 1.25 windows");
        assert_eq!(clips(250, &[75, 175], 0.5), [[0.0, 3.0], [3.0, 7.0], [7.0, 10.0]]);
        assert_eq!(clips(300, &[25], 0.5), [[0.0, 1.0], [1.0, 5.0], [3.0, 7.0], [5.0, 9.0], [7.0, 12.0]]);
        assert_eq!(clips(300, &[25], 0.0), [[0.0, 1.0], [1.0, 5.0], [5.0, 9.0], [9.0, 12.0]]);
        assert_eq!(clips(130, &[], 0.0), [[0.0, 4.0], [4.0, 5.2]]);
        assert_eq!(clips(1, &[], 0.5), [[0.0, 0.04]]);
    }

    #[test]
    fn a_short_shot_joins_the_next_and_at_the_end_the_one_before() {
        assert_eq!(clips(100, &[40, 45, 80], 0.5), [[0.0, 1.6], [1.6, 3.2], [3.2, 4.0]]);
        assert_eq!(clips(100, &[10, 60], 0.5), [[0.0, 2.4], [2.4, 4.0]]);
        assert_eq!(clips(100, &[60, 95], 0.5), [[0.0, 2.4], [2.4, 4.0]]);
        let burst: Vec<usize> = (30..70).step_by(5).collect();
        assert_eq!(
            clips(100, &burst, 0.5),
            [[0.0, 1.2], [1.2, 1.8], [1.8, 2.4], [2.4, 4.0]],
            "as short as a shot may be"
        );
    }

    #[test]
    fn every_moment_is_in_a_clip() {
        for frames in [1, 12, 124, 126, 300, 999] {
            for overlap in [0.0, 0.5, 0.9] {
                let clips = clips(frames, &[7, 50, 51, 130, 600, 990], overlap);
                assert_eq!((clips[0][0], clips[clips.len() - 1][1]), (0.0, frames as f64 / 25.0));
                assert!(clips.windows(2).all(|pair| pair[1][0] > pair[0][0] && pair[1][0] <= pair[0][1]), "{clips:?}");
                assert!(clips.iter().all(|[start, end]| end - start <= 5.0 + 1e-6));
            }
        }
    }
}
