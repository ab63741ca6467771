//! Operations of the video encoder, forward, for one clip (docs/model.md, "Operations").

use super::{Convention, edges};
use crate::config::{BlockChoice, ModelConfig, VideoConfig};

/// Operations of one layer in one sequence that `tokens` patch tokens enter and that has `edges` edges.
pub fn layer(config: &ModelConfig, convention: Convention, tokens: usize, edges: u64) -> u64 {
    let width = config.video.hidden as u64;
    let all = tokens as u64 + u64::from(config.video.class_token);
    let linear = all * 2 * products_per_token(config.video.hidden, config.video.ffn);
    linear
        + block_choice(config, convention, tokens)
        + match convention {
            // Scores and weighted values: two products of `width` multiply-adds for each pair.
            Convention::True => 4 * width * computed_pairs(config, tokens),
            Convention::Paper => width * edges,
        }
}

/// Operations by which one layer chooses blocks, where it does: the means of all blocks' queries and keys, one addition
/// for each of their numbers, and one product of `width` multiply-adds for each pair of blocks. Where all blocks are seen
/// there is no choice. The paper's convention counts a pair of blocks like an edge, and no sums.
fn block_choice(config: &ModelConfig, convention: Convention, tokens: usize) -> u64 {
    let chooses = config.video.sparsity.edge.filter(|edge| edge.blocks == BlockChoice::Top && edge.random > 0);
    let Some(edge) = chooses else { return 0 };
    let (width, blocks) = (config.video.hidden as u64, edges::blocks(edge, tokens) as u64);
    if (edge.local + edge.random) as u64 >= blocks {
        return 0;
    }
    match convention {
        Convention::True => 2 * width * (tokens as u64 + blocks * blocks),
        Convention::Paper => width * blocks * blocks,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Profile, published};

    /// Twelve layers of 784 tokens in 14 blocks of a model 768 wide.
    #[test]
    fn the_choice_of_blocks_is_counted() {
        let drawn = published::base_in_mode(4, "edge");
        let mut chosen = drawn.clone();
        chosen.video.sparsity.edge = drawn.video.sparsity.edge.map(|edge| edge.with_blocks(BlockChoice::Top));
        let added = |convention| {
            let [chosen, drawn] = [&chosen, &drawn].map(|config| Profile::of(config, convention).unwrap());
            assert_eq!(chosen.edges(), drawn.edges());
            chosen.flops() - drawn.flops()
        };
        assert_eq!(added(Convention::True), 12 * 2 * 768 * (784 + 14 * 14));
        assert_eq!(added(Convention::Paper), 12 * 768 * 14 * 14);
    }
}
