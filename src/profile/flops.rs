//! Operations of the video encoder, forward, for one clip (docs/model.md, "Operations").

use super::{Convention, edges};
use crate::config::{ModelConfig, VideoConfig};

/// Operations of one layer that `tokens` patch tokens enter and that has `edges` edges.
pub fn layer(config: &ModelConfig, convention: Convention, tokens: usize, edges: u64) -> u64 {
    let width = config.video.hidden as u64;
    let linear = (tokens as u64 + 1) * 2 * products_per_token(&config.video);
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

/// Multiply-adds of query, key, value and output projections and of the feed-forward part.
fn products_per_token(video: &VideoConfig) -> u64 {
    (video.hidden * (4 * video.hidden + 2 * video.ffn)) as u64
}

/// Pairs whose score is computed: queries are padded to whole blocks, which edges do not count.
fn computed_pairs(config: &ModelConfig, tokens: usize) -> u64 {
    let all = tokens as u64 + 1;
    match config.video.sparsity.edge {
        None => all * all,
        Some(edge) => {
            let padded = (tokens.div_ceil(edge.block) * edge.block) as u64;
            padded * edges::keys_of_patch(edge, config.compat, tokens) + all
        }
    }
}
