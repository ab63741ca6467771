//! Operations of the video encoder, forward, for one clip (docs/model.md, "Operations").

use super::{Convention, edges};
use crate::config::{ModelConfig, VideoConfig};

/// Operations of one layer in one sequence that `tokens` patch tokens enter and that has `edges` edges.
pub fn layer(config: &ModelConfig, convention: Convention, tokens: usize, edges: u64) -> u64 {
    let width = config.video.hidden as u64;
    let all = tokens as u64 + u64::from(config.video.class_token);
    let linear = all * 2 * products_per_token(config.video.hidden, config.video.ffn);
    linear
        + match convention {
            // Scores and weighted values: two products of `width` multiply-adds for each pair.
            Convention::True => 4 * width * computed_pairs(config, tokens),
            Convention::Paper => width * edges,
        }
}

/// Operations of the patch embedding.
pub fn patches(video: &VideoConfig) -> u64 {
    let pixels = 3 * video.patch_size * video.patch_size;
    2 * (video.patches() * pixels * video.hidden) as u64
}

/// Operations of the layers over time that join the frames of a clip.
pub fn temporal(video: &VideoConfig) -> u64 {
    let Some(temporal) = video.temporal.as_ref().filter(|_| video.frames > 1) else { return 0 };
    let (width, frames, tokens) = (video.hidden as u64, video.frames as u64, video.fusion_tokens() as u64);
    let linear = 2 * tokens * products_per_token(video.hidden, temporal.ffn);
    temporal.layers as u64 * (linear + 4 * width * tokens * frames)
}

/// Multiply-adds of query, key, value and output projections and of the feed-forward part.
fn products_per_token(width: usize, ffn: usize) -> u64 {
    (width * (4 * width + 2 * ffn)) as u64
}

/// Pairs whose score is computed: queries are padded to whole blocks, which edges do not count.
fn computed_pairs(config: &ModelConfig, tokens: usize) -> u64 {
    let class = u64::from(config.video.class_token);
    let all = tokens as u64 + class;
    match config.video.sparsity.edge {
        None => all * all,
        Some(edge) => {
            let padded = (tokens.div_ceil(edge.block) * edge.block) as u64;
            padded * (edges::keys_of_patch(edge, config.compat, tokens) + class) + class * all
        }
    }
}
