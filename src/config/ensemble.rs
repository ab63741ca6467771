//! How several clips of one video become one score.

use serde::{Deserialize, Serialize};

/// What joins the scores of the clips of a video (docs/model.md, "Clips and ensembles"). Concatenation of frames is not
/// here: it is one longer clip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum ClipEnsemble {
    /// log Σ exp, the official default.
    #[default]
    Lse,
    /// The mean.
    Mean,
    /// The largest.
    Max,
}

impl ClipEnsemble {
    /// The name in configurations and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lse => "lse",
            Self::Mean => "mean",
            Self::Max => "max",
        }
    }

    /// The joint score of `scores`, one per clip; −∞ of none at all.
    pub fn join(self, scores: &[f32]) -> f32 {
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if scores.is_empty() || self == Self::Max {
            return largest;
        }
        match self {
            Self::Mean => scores.iter().sum::<f32>() / scores.len() as f32,
            _ if largest.is_infinite() => largest,
            _ => largest + scores.iter().map(|score| (score - largest).exp()).sum::<f32>().ln(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_are_joined_as_named() {
        let join = |ensemble: ClipEnsemble| ensemble.join(&[1.0, 3.0, -2.0]);
        assert_eq!((join(ClipEnsemble::Max), join(ClipEnsemble::Mean)), (3.0, 2.0 / 3.0));
        // ln(e + e³ + e⁻²)
        assert!((join(ClipEnsemble::Lse) - 3.132_8).abs() < 1e-4, "{}", join(ClipEnsemble::Lse));
        assert_eq!(ClipEnsemble::Lse.join(&[700.0]), 700.0);
        assert_eq!(ClipEnsemble::Lse.join(&[f32::NEG_INFINITY]), f32::NEG_INFINITY);
    }
}
