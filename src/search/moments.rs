//! Which frames stand for a clip: exactly the wanted ones, or the key frames nearest to them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What the name of clips ends with whose frames are key frames.
const KEY_FRAMES: &str = ", key frames";

/// Which frames of a video stand for the wanted moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Moments {
    /// The frames at them.
    #[default]
    Exact,
    /// The key frame nearest to each, which decodes without others: an hour takes a few hundred pictures instead of
    /// 90,000. Where the container does not tell key frames (AVI, MPEG), the frames at them.
    Keyframes,
}

impl Moments {
    /// Those of the clips that an index knows by this name.
    pub(super) fn of(name: &str) -> Self {
        if name.ends_with(KEY_FRAMES) { Self::Keyframes } else { Self::Exact }
    }
}

/// The ascending frames `keys`; where there are more than one for every `seconds` of the video, those that are so much
/// or more after the one before that is taken.
pub(super) fn apart(keys: &[usize], times: &[f64], seconds: f64) -> Vec<usize> {
    let length = times.last().zip(times.first()).map_or(0.0, |(last, first)| last - first);
    if keys.len() as f64 <= 1.0 + length / seconds {
        return keys.to_vec();
    }
    let mut last = f64::NEG_INFINITY;
    let far = |key: &&usize| {
        let far = times[**key] - last >= seconds - 1e-3;
        last = if far { times[**key] } else { last };
        far
    };
    keys.iter().filter(far).copied().collect()
}

/// The one of the ascending frames `keys` that is nearest to each of the frames `wanted`.
pub(super) fn nearest_of(keys: &[usize], times: &[f64], wanted: Vec<usize>) -> Vec<usize> {
    wanted.into_iter().map(|frame| nearest(keys, times, frame)).collect()
}

/// What a name of clips ends with.
impl fmt::Display for Moments {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if *self == Self::Exact { "" } else { KEY_FRAMES })
    }
}

/// The one of the ascending frames `keys` whose time is nearest to that of `frame`; the earlier one of two.
fn nearest(keys: &[usize], times: &[f64], frame: usize) -> usize {
    let after = keys.partition_point(|key| *key < frame);
    let candidates = [after.checked_sub(1), Some(after)].into_iter().flatten().filter_map(|place| keys.get(place));
    let distance = |key: usize| (times[key] - times[frame]).abs();
    candidates.copied().min_by(|a, b| distance(*a).total_cmp(&distance(*b))).unwrap_or(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_frame_is_by_time() {
        let times = [0.0, 1.0, 2.0, 3.0, 9.0, 10.0];
        let found: Vec<usize> = (0..6).map(|frame| nearest(&[0, 4], &times, frame)).collect();
        assert_eq!(found, [0, 0, 0, 0, 4, 4]);
        assert_eq!(nearest(&[0, 4], &[0.0, 1.0, 2.0, 3.0, 4.0], 2), 0, "the earlier one of two");
    }

    #[test]
    fn dense_key_frames_are_thinned_out() {
        let times: Vec<f64> = (0..100).map(|n| f64::from(n) / 25.0).collect();
        let every: Vec<usize> = (0..30).collect();
        assert_eq!(apart(&every, &times, 0.25), [0, 7, 14, 21, 28]);
        assert_eq!(apart(&[3, 40, 42], &times, 0.25), [3, 40, 42], "one that begins a shot may follow another soon");
    }

    #[test]
    fn names_say_which() {
        for moments in [Moments::Exact, Moments::Keyframes] {
            assert_eq!(Moments::of(&format!("4 frames of 10 s, overlap 0.5{moments}")), moments);
        }
    }
}
