//! Query-key pairs of a layer, in both conventions (Table 1; docs/model.md, "Edges").

use super::{Convention, TEXT_TOKENS};
use crate::config::{BlockChoice, Compat, EdgeSparsity, ModelConfig, VideoConfig, kept_tokens};

/// Edges of one video layer in one sequence that `tokens` patch tokens enter.
pub fn layer(config: &ModelConfig, convention: Convention, tokens: usize) -> u64 {
    let class = u64::from(config.video.class_token);
    let all = tokens as u64 + class;
    match (config.video.sparsity.edge, convention) {
        (None, _) => all * all,
        (Some(edge), Convention::True) => {
            tokens as u64 * (keys_of_patch(edge, config.compat, tokens) + class) + class * all
        }
        (Some(edge), Convention::Paper) => all * keys_as_printed(edge),
    }
}

/// Edges of each fusion layer's cross-attention.
pub fn cross(config: &ModelConfig, convention: Convention) -> Vec<u64> {
    let queries = TEXT_TOKENS as u64;
    let fusion = config.text.fusion_layer..config.text.layers;
    match (convention, config.video.sparsity.edge) {
        (Convention::True, _) => as_coded(config).into_iter().map(|tokens| queries * tokens).collect(),
        (Convention::Paper, Some(edge)) => fusion.map(|_| queries * keys_as_printed(edge)).collect(),
        (Convention::Paper, None) => {
            let (fixed, alive) = fixed_and_alive(&config.video);
            let kept = config.text.cross.as_ref().map_or(alive, |cross| kept_tokens(cross.keep_rate, alive));
            fusion.map(|_| queries * (kept + fixed) as u64).collect()
        }
    }
}

/// Blocks of G tokens in a sequence of `tokens`.
pub fn blocks(edge: EdgeSparsity, tokens: usize) -> usize {
    tokens.div_ceil(edge.block)
}

/// The blocks of G keys a patch query multiplies, padding included, class token not counted. The official code draws
/// blocks twice when fewer than K_l + K_r exist; the corrected rules take each once, and so does a choice by the data.
pub fn keys_of_patch(edge: EdgeSparsity, compat: Compat, tokens: usize) -> u64 {
    let (wanted, all) = (edge.local + edge.random, blocks(edge, tokens));
    let seen = match (compat, edge.blocks) {
        (Compat::Official, BlockChoice::Random) => wanted,
        (Compat::Official, BlockChoice::Top) => edge.local + edge.random.min(all.saturating_sub(edge.local)),
        (Compat::Corrected, _) => wanted.min(all),
    };
    (seen * edge.block) as u64
}

fn keys_as_printed(edge: EdgeSparsity) -> u64 {
    ((edge.local + edge.random) * edge.block) as u64 + 1
}

/// Video tokens, class token included, that each fusion layer sees; pruning counts from the layer after it.
fn as_coded(config: &ModelConfig) -> Vec<u64> {
    let (fixed, mut alive) = fixed_and_alive(&config.video);
    let cross = config.text.cross.as_ref().filter(|cross| cross.keep_rate < 1.0);
    (config.text.fusion_layer..config.text.layers)
        .map(|layer| {
            let seen = (alive + fixed) as u64;
            if let Some(cross) = cross.filter(|cross| cross.layers.contains(&layer)) {
                alive = kept_tokens(cross.keep_rate, alive);
            }
            seen
        })
        .collect()
}

/// Video tokens of a clip that fusion always sees (the clip's class token), and those that texts may prune.
fn fixed_and_alive(video: &VideoConfig) -> (usize, usize) {
    let fixed = usize::from(video.has_clip_token());
    (fixed, video.fusion_tokens() - fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrected_rules_draw_no_block_twice() {
        let edge = EdgeSparsity::new(1, 5, 56);
        assert_eq!(keys_of_patch(edge, Compat::Official, 270), 6 * 56);
        assert_eq!(keys_of_patch(edge, Compat::Corrected, 270), 5 * 56);
        assert_eq!(keys_of_patch(edge, Compat::Corrected, 784), 6 * 56);
        let top = edge.with_blocks(BlockChoice::Top);
        for compat in [Compat::Official, Compat::Corrected] {
            assert_eq!([784, 270].map(|tokens| keys_of_patch(top, compat, tokens)), [6 * 56, 5 * 56]);
        }
    }
}
