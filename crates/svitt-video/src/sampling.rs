//! Which frames of a video a clip is made of (docs/model.md, "Frame sampling").

use std::ops::Range;

/// How frames are chosen from equal intervals of the video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FrameSampling {
    /// One frame drawn from each interval, its last frame excluded: what training uses.
    Rand,
    /// The middle frame of each interval: what evaluation uses.
    Middle,
    /// The middle frame of each interval with the second half mirroring the first: the frames of a reversed video are
    /// the same ones backwards. Only the middle one of an odd number differs, by one, where the video has an even
    /// number. A video with too few frames repeats each as evenly as can be.
    Symmetric,
    /// The frame this many frames after the start of each interval.
    FixStart(usize),
    /// Frames at a steady rate, at most `max` of them; the number of frames then follows from the duration.
    Fps {
        /// Frames per second to take.
        fps: f64,
        /// Upper limit of frames, if any.
        max: Option<usize>,
    },
}

/// The boundaries of `min(frames, total)` equal intervals of `0..total`: one more number than intervals.
///
/// The product is formed as `i · (total / n)` in f64 and truncated, which is what the published code's `linspace`
/// computes bit for bit; `total · i / n` differs for 733 pairs of (frames ≤ 32, total < 5000).
pub fn intervals(frames: usize, total: usize) -> Vec<usize> {
    let count = frames.min(total);
    let step = total as f64 / count.max(1) as f64;
    (0..=count).map(|i| if i == count { total } else { (i as f64 * step) as usize }).collect()
}

impl FrameSampling {
    /// The indices of `frames` frames among `total`, ascending; a video shorter than that repeats its last index.
    ///
    /// `fps` is the video's average rate and is used by [`FrameSampling::Fps`] alone, which ignores `frames`.
    /// `uniform` gives random numbers in `[0, 1)` and is used by [`FrameSampling::Rand`] alone. Empty only if `frames` or
    /// `total` is zero.
    pub fn indices(self, frames: usize, total: usize, fps: f64, uniform: &mut dyn FnMut() -> f64) -> Vec<usize> {
        if frames == 0 || total == 0 {
            return Vec::new();
        }
        let bounds = intervals(frames, total);
        let spans = bounds.windows(2).map(|pair| (pair[0], pair[1] - 1));
        let mut chosen: Vec<usize> = match self {
            Self::Rand => draw(&bounds, total, uniform),
            Self::Middle => spans.map(|(low, high)| (low + high) / 2).collect(),
            Self::FixStart(offset) => spans.map(|(low, _)| (low + offset).min(total - 1)).collect(),
            Self::Fps { fps: rate, max } => return at_rate(rate, max, total, fps),
            Self::Symmetric => return mirrored(frames, total),
        };
        let last = chosen.last().copied().unwrap_or(0);
        chosen.resize(frames, last);
        chosen
    }
}

/// The middles of `frames` equal intervals of `0..total`, rounded towards the nearer end.
fn mirrored(frames: usize, total: usize) -> Vec<usize> {
    let place = |i: usize| match 2 * i + 1 {
        middle if middle == frames => (total - 1) / 2,
        first if first < frames => first * total / (2 * frames),
        _ => total - 1 - (2 * (frames - 1 - i) + 1) * total / (2 * frames),
    };
    (0..frames).map(place).collect()
}

/// One frame per interval, its last frame excluded. Where an interval has a single frame nothing is left to draw; then
/// the frames are a sorted random subset of all.
fn draw(bounds: &[usize], total: usize, uniform: &mut dyn FnMut() -> f64) -> Vec<usize> {
    if bounds.windows(2).all(|pair| pair[1] - pair[0] > 1) {
        return bounds.windows(2).map(|pair| pair[0] + below(pair[1] - pair[0] - 1, uniform)).collect();
    }
    let mut all: Vec<usize> = (0..total).collect();
    // Fisher-Yates.
    for i in (1..all.len()).rev() {
        all.swap(i, below(i + 1, uniform));
    }
    all.truncate(bounds.len() - 1);
    all.sort_unstable();
    all
}

/// Uniform in `0..n`.
pub(crate) fn below(n: usize, uniform: &mut dyn FnMut() -> f64) -> usize {
    ((uniform() * n as f64) as usize).min(n - 1)
}

/// Times from δ/2 in steps of δ = 1/rate up to duration + δ/2, as frame numbers rounded half to even.
fn at_rate(rate: f64, max: Option<usize>, total: usize, fps: f64) -> Vec<usize> {
    if !(rate > 0.0 && fps > 0.0) {
        return Vec::new();
    }
    let (delta, duration) = (1.0 / rate, total as f64 / fps);
    let steps = (duration / delta).ceil().max(0.0) as usize;
    let times = (0..steps).map(|i| delta / 2.0 + i as f64 * delta);
    let indices = times.map(|time| (time * fps).round_ties_even() as usize).filter(|&index| index < total);
    indices.take(max.unwrap_or(usize::MAX)).collect()
}

/// The frames that lie in `[start, end)` seconds after the first one, given every frame's time in seconds.
///
/// A part shorter than the gap between two frames yields the frame shown at its start. `None` if nothing is shown then.
pub fn window(times: &[f64], start: Option<f64>, end: Option<f64>) -> Option<Range<usize>> {
    let origin = *times.first()?;
    let (start, end) = (start.unwrap_or(0.0).max(0.0), end.unwrap_or(f64::INFINITY));
    // Half a millisecond of slack: annotated times are rounded, and Matroska stores whole milliseconds.
    let before = |limit: f64| times.partition_point(|time| time - origin < limit - 5e-4);
    let (low, high) = (before(start), before(end));
    if low < high {
        return Some(low..high);
    }
    (low > 0 && low < times.len() && end > start).then(|| low - 1..low)
}

/// Splits the indices of a long test clip into clips of `frames` each: consecutive chunks, or every n-th index.
/// What is left over after whole clips is dropped.
pub fn clips(indices: &[usize], frames: usize, strided: bool) -> Vec<Vec<usize>> {
    let count = indices.len() / frames.max(1);
    let pick = |clip: usize, i: usize| if strided { i * count + clip } else { clip * frames + i };
    (0..count).map(|clip| (0..frames).map(|i| indices[pick(clip, i)]).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn middle(frames: usize, total: usize) -> Vec<usize> {
        FrameSampling::Middle.indices(frames, total, 25.0, &mut crate::random(0))
    }

    #[test]
    fn middle_frames_are_the_published_ones() {
        assert_eq!(middle(4, 100), [12, 37, 62, 87]);
        assert_eq!(middle(4, 7), [0, 1, 3, 5]);
        assert_eq!(middle(4, 3), [0, 1, 2, 2]);
        assert_eq!(middle(4, 450), [55, 168, 280, 393]);
        assert_eq!(middle(1, 10), [4]);
        assert_eq!(middle(12, 301), [12, 37, 62, 87, 112, 137, 162, 187, 212, 237, 262, 287]);
        assert_eq!(intervals(4, 7), [0, 1, 3, 5, 7]);
        assert!(middle(4, 0).is_empty() && middle(0, 4).is_empty());
    }

    #[test]
    fn drawn_frames_never_are_the_last_of_their_interval() {
        let mut counts = [0usize; 23];
        for seed in 0..5000 {
            let drawn = FrameSampling::Rand.indices(3, 23, 25.0, &mut crate::random(seed));
            drawn.iter().for_each(|&i| counts[i] += 1);
        }
        // Intervals [0, 7), [7, 15), [15, 23): frames 6, 14 and 22 stay out.
        assert_eq!([counts[6], counts[14], counts[22]], [0, 0, 0], "{counts:?}");
        assert!((700..970).contains(&counts[0]) && (600..830).contains(&counts[21]), "{counts:?}");
    }

    #[test]
    fn short_videos_draw_a_sorted_subset_and_repeat_the_last_frame() {
        let mut with_last = 0;
        for seed in 0..200 {
            let drawn = FrameSampling::Rand.indices(4, 7, 25.0, &mut crate::random(seed));
            assert!(drawn.len() == 4 && drawn.windows(2).all(|w| w[0] < w[1]) && drawn[3] < 7, "{drawn:?}");
            with_last += usize::from(drawn[3] == 6);
        }
        assert!((80..150).contains(&with_last), "4 of 7 frames hold the last one 57 % of the time: {with_last}");
        let padded = FrameSampling::Rand.indices(5, 2, 25.0, &mut crate::random(1));
        assert_eq!(padded, [0, 1, 1, 1, 1]);
    }

    #[test]
    fn steady_rates_are_the_published_ones() {
        let at =
            |rate, max, total, fps| FrameSampling::Fps { fps: rate, max }.indices(4, total, fps, &mut crate::random(0));
        assert_eq!(at(0.5, None, 100, 25.0), [25, 75]);
        assert_eq!(at(1.0, Some(3), 64, 29.97), [15, 45]);
        assert_eq!(at(1.0, Some(1), 64, 29.97), [15]);
    }

    #[test]
    fn symmetric_frames_of_a_reversed_video_are_the_same_backwards() {
        for frames in 1..=16 {
            for total in 1..80 {
                let chosen = FrameSampling::Symmetric.indices(frames, total, 1.0, &mut || 0.0);
                assert_eq!(chosen.len(), frames);
                assert!(chosen.is_sorted() && chosen[frames - 1] < total, "{frames} of {total}: {chosen:?}");
                let mut backwards: Vec<usize> = chosen.iter().rev().map(|index| total - 1 - index).collect();
                if frames % 2 == 1 {
                    let (middle, off) = (frames / 2, usize::from(total % 2 == 0));
                    assert_eq!(backwards[middle], chosen[middle] + off);
                    backwards[middle] = chosen[middle];
                }
                assert_eq!(backwards, chosen, "{frames} of {total}");
            }
        }
        assert_eq!(FrameSampling::Symmetric.indices(4, 10, 1.0, &mut || 0.0), [1, 3, 6, 8]);
        assert_eq!(FrameSampling::Symmetric.indices(6, 3, 1.0, &mut || 0.0), [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn windows_are_counted_from_the_first_frame() {
        let times: Vec<f64> = (0..50).map(|i| 3.0 + f64::from(i) / 10.0).collect();
        assert_eq!(window(&times, Some(1.0), Some(2.5)), Some(10..25));
        assert_eq!(window(&times, None, None), Some(0..50));
        assert_eq!(window(&times, Some(1.01), Some(1.02)), Some(10..11), "between two frames: the one on screen");
        assert_eq!(window(&times, Some(9.0), None), None);
        assert_eq!(window(&[], None, None), None);
    }

    #[test]
    fn long_clips_split_both_ways() {
        let indices = [1, 2, 3, 4, 5, 6, 7];
        assert_eq!(clips(&indices, 3, false), [[1, 2, 3], [4, 5, 6]]);
        assert_eq!(clips(&indices, 3, true), [[1, 3, 5], [2, 4, 6]]);
    }
}
