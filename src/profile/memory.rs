//! Activation memory a video layer saves for its backward, per clip in f32.

use crate::config::ModelConfig;
use serde::Serialize;

const BYTES: u64 = 4;

/// Bytes of one layer. What a run keeps is `linear` and one of the other two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LayerMemory {
    /// Inputs of every product, norm and GELU.
    pub linear: u64,
    /// The attention weights of every head: kept by implementations that store them, the official one among them.
    pub weights: u64,
    /// One log-sum-exp per query and head: all that is kept where the backward pass recomputes the weights.
    pub statistics: u64,
}

/// Counts a layer that `tokens` patch tokens of every sequence of a clip enter.
pub fn layer(config: &ModelConfig, tokens: usize) -> LayerMemory {
    let video = &config.video;
    let (all, heads) = (tokens as u64 + u64::from(video.class_token), video.heads as u64);
    // Of width d: the layer's input, its norm; q, k, v; the heads' output, its projection before λ1; the middle
    // residual, its norm; the feed-forward output before λ2. Of the inner width: before and after the GELU.
    let per_token = (10 * video.hidden + 2 * video.ffn) as u64;
    let pairs = super::edges::layer(config, super::Convention::True, tokens);
    let memory = LayerMemory {
        linear: BYTES * all * per_token,
        weights: BYTES * heads * pairs,
        statistics: BYTES * heads * all,
    };
    memory.times(video.sequences() as u64)
}

impl LayerMemory {
    /// That of so many sequences.
    fn times(self, sequences: u64) -> Self {
        let Self { linear, weights, statistics } = self;
        Self { linear: linear * sequences, weights: weights * sequences, statistics: statistics * sequences }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_at_four_frames() {
        let memory = layer(&ModelConfig::base(4), 784);
        assert_eq!(memory.linear, 4 * 785 * (7680 + 6144));
        assert_eq!((memory.weights, memory.statistics), (4 * 12 * 785 * 785, 4 * 12 * 785));
    }
}
