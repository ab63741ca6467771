//! T_test frames of a video as K clips, and how the clips' outputs are combined (docs/model.md, "Clips and ensembles").

use serde::{Deserialize, Serialize};

/// Which of the frames read from a video go into which clip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum ClipSampling {
    /// Clip c holds T consecutive frames, from number c · T on; the official default.
    #[default]
    Contiguous,
    /// Clip c holds frames c, c + K, c + 2K, …: every clip spans the video.
    Strided,
}

/// What the video encoder makes of one video, on the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncodedClips {
    /// Unit vectors of the shared space, `[clips, e]`; empty for question answering.
    pub features: Vec<f32>,
    /// What cross-attention sees, `[clips, 1 + tokens, d]`.
    pub states: Vec<f32>,
}

impl ClipSampling {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Contiguous => "contiguous",
            Self::Strided => "strided",
        }
    }

    /// Positions of the frames of each clip, `[clips][frames / clips]`; frames beyond a multiple are left out.
    pub fn clips(self, frames: usize, clips: usize) -> Vec<Vec<usize>> {
        let length = frames / clips.max(1);
        let position = |clip: usize, frame: usize| match self {
            Self::Contiguous => clip * length + frame,
            Self::Strided => frame * clips + clip,
        };
        (0..clips).map(|clip| (0..length).map(|frame| position(clip, frame)).collect()).collect()
    }
}

/// The mean over clips of `features` `[videos, clips, width]`: `[videos, width]`. Its product with a text is the mean
/// over clips of the cosines, since products are linear; it is not normalised again.
pub fn mean_features(features: &[f32], clips: usize, width: usize) -> Vec<f32> {
    let mut means = Vec::with_capacity(features.len() / clips.max(1));
    for video in features.chunks_exact((clips * width).max(1)) {
        let column = |i: usize| video.iter().skip(i).step_by(width.max(1)).sum::<f32>() / clips as f32;
        means.extend((0..width).map(column));
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_assigned_contiguously_or_strided() {
        assert_eq!(ClipSampling::Contiguous.clips(6, 3), [[0, 1], [2, 3], [4, 5]]);
        assert_eq!(ClipSampling::Strided.clips(6, 2), [[0, 2, 4], [1, 3, 5]]);
        assert_eq!(ClipSampling::Contiguous.clips(5, 1), [[0, 1, 2, 3, 4]]);
    }

    #[test]
    fn the_mean_is_over_clips() {
        let features = [1.0, 2.0, 3.0, 5.0, 6.0, 7.0, -1.0, 0.0, 1.0, 3.0, 2.0, 1.0];
        assert_eq!(mean_features(&features, 2, 3), [3.0, 4.0, 5.0, 1.0, 1.0, 1.0]);
    }
}
