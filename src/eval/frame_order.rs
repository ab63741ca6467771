//! Temporal probes: the same frames in another order. A score that does not drop does not depend on time.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use svitt_ops::rng::Rng;

/// Seed of [`FrameOrder::Shuffle`]: the same in every run.
const SEED: u64 = 2023;

/// What the frames of a video are turned into before they are cut into clips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameOrder {
    /// As they are.
    #[default]
    None,
    /// Backwards.
    Reverse,
    /// In an order drawn per video, never the right one.
    Shuffle,
    /// One frame repeated: the first, or the one that [`VideoSet::still`](super::VideoSet::still) names.
    Freeze,
}

impl FrameOrder {
    /// Every order, the right one first.
    pub const ALL: [Self; 4] = [Self::None, Self::Reverse, Self::Shuffle, Self::Freeze];

    /// The name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Reverse => "reverse",
            Self::Shuffle => "shuffle",
            Self::Freeze => "freeze",
        }
    }

    /// Which frame of video number `video` stands at each of `frames` places; `still` is the frame that
    /// [`FrameOrder::Freeze`] repeats.
    pub fn indices(self, frames: usize, video: usize, still: usize) -> Vec<usize> {
        let forward: Vec<usize> = (0..frames).collect();
        match self {
            Self::None => forward,
            Self::Reverse => forward.into_iter().rev().collect(),
            Self::Freeze => vec![still; frames],
            Self::Shuffle => {
                let mut rng = Rng::new(SEED, &[video as u64]);
                let mut order = forward.clone();
                while order == forward && frames > 1 {
                    rng.shuffle(&mut order);
                }
                order
            }
        }
    }
}

impl FromStr for FrameOrder {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|order| order.name() == name).ok_or_else(|| {
            let problem = format!("`{name}` is no order of frames");
            Error::setting("frame_order", problem, "use none, reverse, shuffle or freeze")
        })
    }
}

/// The frames of `pixels` `[frames, …]` at `places`, one after the other.
pub fn reorder_frames(pixels: &[f32], frames: usize, places: impl IntoIterator<Item = usize>) -> Vec<f32> {
    let size = pixels.len() / frames.max(1);
    places.into_iter().flat_map(|place| &pixels[place * size..(place + 1) * size]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_what_they_say() {
        assert_eq!(FrameOrder::Reverse.indices(5, 0, 0), [4, 3, 2, 1, 0]);
        assert_eq!(FrameOrder::Freeze.indices(3, 9, 1), [1, 1, 1]);
        for video in 0..40 {
            let mut order = FrameOrder::Shuffle.indices(4, video, 0);
            assert_ne!(order, [0, 1, 2, 3]);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3]);
        }
        assert_eq!(reorder_frames(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, [2, 0]), [5.0, 6.0, 1.0, 2.0]);
    }

    #[test]
    fn names_go_there_and_back() {
        assert!(FrameOrder::ALL.iter().all(|order| order.name().parse::<FrameOrder>().unwrap() == *order));
        assert!("backwards".parse::<FrameOrder>().unwrap_err().to_string().contains("setting `frame_order`"));
    }
}
