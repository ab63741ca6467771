//! How a video encoder is built beyond its sizes: the choices in which SViTT, Singularity and UMT differ. The default
//! of each is SViTT's.

use serde::{Deserialize, Serialize};

/// Which patches attend to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameAttention {
    /// All patches of a clip (SViTT, UMT).
    #[default]
    Joint,
    /// Those of one frame: every frame is encoded by itself, with a class token of its own (Singularity).
    PerFrame,
}

/// What tells the encoder where a patch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    /// A learned table in every layer, added to the scores by the offset of query and key in time, row and column
    /// (SViTT, Singularity).
    #[default]
    Relative,
    /// A fixed sinusoid of the place in the sequence, added to the patches once (UMT).
    Sinusoid {
        /// Stretch the table of so many frames to other clip lengths, instead of making a longer one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stretched_from: Option<usize>,
    },
}

/// What becomes of the last layer's patches for the shared space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The norm of their mean over the sequence (SViTT; Singularity, whose sequences are frames).
    #[default]
    Raw,
    /// They are normalised as for fusion first, then as [`Self::Raw`]; over the whole clip (UMT with hidden patches).
    Normalised,
    /// As [`Self::Normalised`], frame by frame: every frame has a vector, and pruning leaves every frame as many
    /// patches (UMT).
    NormalisedPerFrame,
}

/// What pixels in 0–1 are brought to. Models take them in −1 to 1, whatever made them, and rescale them themselves, so that
/// no program around a model can forget to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PixelScale {
    /// −1 to 1: mean and deviation 0.5 (SViTT, Singularity).
    #[default]
    Symmetric,
    /// Mean and deviation of ImageNet's channels (UMT).
    Imagenet,
}

/// What Singularity's temporal models do with the frames' tokens before fusion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemporalConfig {
    /// Frames with a learned vector, which is added to all tokens of the frame; 0: none is.
    pub frames: usize,
    /// BERT layers over time, one sequence for every place of a frame; 0: none.
    pub layers: usize,
    /// Their attention heads.
    pub heads: usize,
    /// Width inside their feed-forward part.
    pub ffn: usize,
}

impl PixelScale {
    /// What is subtracted from the channels, and what they are divided by then.
    pub fn mean_and_deviation(self) -> [[f32; 3]; 2] {
        match self {
            Self::Symmetric => [[0.5; 3]; 2],
            Self::Imagenet => [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]],
        }
    }

    /// What brings pixels in −1 to 1 to this scale, per channel: a factor, then a summand; none where they are there.
    pub fn from_symmetric(self) -> Option<[[f32; 3]; 2]> {
        let [mean, deviation] = self.mean_and_deviation();
        (self != Self::Symmetric)
            .then(|| [deviation.map(|d| 0.5 / d), [0, 1, 2].map(|channel| (0.5 - mean[channel]) / deviation[channel])])
    }
}

/// The line of models a configuration is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Joint attention, a class token for the clip, relative positions.
    Svitt,
    /// Frames one by one, perhaps with a temporal encoder behind.
    Singularity,
    /// Joint attention without class token, fixed positions.
    Umt,
}

impl Family {
    /// The name of the model.
    pub fn name(self) -> &'static str {
        match self {
            Self::Svitt => "SViTT",
            Self::Singularity => "Singularity",
            Self::Umt => "UMT",
        }
    }
}

/// For fields that are written only where they differ from SViTT's.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
