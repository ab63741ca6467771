//! Learned numbers of each part, counted from the sizes.

use crate::config::{ModelConfig, TextConfig, VideoConfig};
use serde::Serialize;

/// Learned numbers; tied weights count once, index buffers not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// The video encoder, its position tables included.
    pub video: usize,
    /// The relative position tables alone (part of `video`): they grow with the frames.
    pub position_tables: usize,
    /// Embeddings and layers of the text encoder and the fusion encoder, and the masked-language head.
    pub text: usize,
    /// The norm before fusion, what joins frames, the two projections, the matching head and the temperature.
    pub heads: usize,
    /// All of it.
    pub total: usize,
}

impl Parameters {
    /// Counts `config`.
    pub fn of(config: &ModelConfig) -> Self {
        let (video, text) = (video(&config.video), text(&config.text, config.video.hidden));
        let projections = linear(config.video.hidden, config.embed_dim) + linear(config.text.hidden, config.embed_dim);
        let joining = temporal(&config.video);
        let heads = 2 * config.video.hidden + joining + projections + linear(config.text.hidden, 2) + 1;
        Self { video, position_tables: position_tables(&config.video), text, heads, total: video + text + heads }
    }
}

fn linear(inputs: usize, outputs: usize) -> usize {
    inputs * outputs + outputs
}

fn position_tables(video: &VideoConfig) -> usize {
    video.layers * video.table_rows() * video.heads
}

fn video(video: &VideoConfig) -> usize {
    let d = video.hidden;
    let patches = linear(3 * video.patch_size * video.patch_size, d);
    // Keys have no bias; two norms, and two layer scales where there are any.
    let scales = if video.layer_scale.is_some() { 2 * d } else { 0 };
    let layer = 4 * d * d + 3 * d + linear(d, video.ffn) + linear(video.ffn, d) + 4 * d + scales;
    patches + if video.class_token { d } else { 0 } + video.layers * layer + position_tables(video) + 2 * d
}

fn temporal(video: &VideoConfig) -> usize {
    let (d, Some(temporal)) = (video.hidden, &video.temporal) else { return 0 };
    let layer = 4 * linear(d, d) + linear(d, temporal.ffn) + linear(temporal.ffn, d) + 4 * d;
    temporal.frames * d + temporal.layers * layer
}

fn text(text: &TextConfig, video_width: usize) -> usize {
    let d = text.hidden;
    let embeddings = (text.vocab_size + text.max_positions + text.type_vocab_size + 2) * d;
    let layer = 4 * linear(d, d) + linear(d, text.ffn) + linear(text.ffn, d) + 4 * d;
    let cross = 2 * linear(d, d) + 2 * linear(video_width, d) + 2 * d;
    let head = linear(d, d) + 2 * d + text.vocab_size;
    embeddings + text.layers * layer + (text.layers - text.fusion_layer) * cross + head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_official_checkpoints_have_as_many() {
        assert_eq!(Parameters::of(&ModelConfig::base(4)).total, 203_394_653);
        let mut micro = ModelConfig::base(4);
        micro.video = VideoConfig { image_size: 64, hidden: 64, heads: 4, ffn: 96, ..micro.video };
        micro.text = TextConfig { hidden: 64, heads: 4, ffn: 96, max_positions: 32, ..TextConfig::base(120) };
        micro.embed_dim = 32;
        assert_eq!(Parameters::of(&micro).total, 840_155);
    }

    /// The counts of the official classes at full size: 202.4 M and 659.7 M without the word head.
    #[test]
    fn umt_has_as_many() {
        for (config, millions) in [(ModelConfig::umt_base(12), 202.4), (ModelConfig::umt_large(12), 659.7)] {
            let (d, words) = (config.text.hidden, config.text.vocab_size);
            let total = Parameters::of(&config).total - (linear(d, d) + 2 * d + words);
            assert_eq!((total as f64 / 1e5).round() / 10.0, millions);
        }
    }
}
