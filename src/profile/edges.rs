//! Query-key pairs of a layer, in both conventions (Table 1; docs/model.md, "Edges").

use super::{Convention, TEXT_TOKENS};
use crate::config::{Compat, EdgeSparsity, ModelConfig, VideoConfig, kept_tokens};

/// Edges of one video layer that `tokens` patch tokens enter.
pub fn layer(config: &ModelConfig, convention: Convention, tokens: usize) -> u64 {
    let all = tokens as u64 + 1;
    match (config.video.sparsity.edge, convention) {
        (None, _) => all * all,
        (Some(edge), Convention::True) => tokens as u64 * keys_of_patch(edge, config.compat, tokens) + all,
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
            let alive = alive_at_the_end(&config.video);
            let kept = config.text.cross.as_ref().map_or(alive, |cross| kept_tokens(cross.keep_rate, alive));
            fusion.map(|_| queries * (kept as u64 + 1)).collect()
        }
    }
}

/// The class token and the blocks of G keys a patch query multiplies, padding included. The official code draws blocks
/// twice where fewer than K_l + K_r exist; the corrected rules use each once.
pub fn keys_of_patch(edge: EdgeSparsity, compat: Compat, tokens: usize) -> u64 {
    let wanted = edge.local + edge.random;
    let blocks = match compat {
        Compat::Official => wanted,
        Compat::Corrected => wanted.min(tokens.div_ceil(edge.block)),
    };
    (blocks * edge.block) as u64 + 1
}

fn keys_as_printed(edge: EdgeSparsity) -> u64 {
    ((edge.local + edge.random) * edge.block) as u64 + 1
}

/// Video tokens, class token included, that each fusion layer sees; pruning counts from the layer after it.
fn as_coded(config: &ModelConfig) -> Vec<u64> {
    let mut alive = alive_at_the_end(&config.video);
    let cross = config.text.cross.as_ref().filter(|cross| cross.keep_rate < 1.0);
    (config.text.fusion_layer..config.text.layers)
        .map(|layer| {
            let seen = alive as u64 + 1;
            if let Some(cross) = cross.filter(|cross| cross.layers.contains(&layer)) {
                alive = kept_tokens(cross.keep_rate, alive);
            }
            seen
        })
        .collect()
}

/// Patch tokens that leave the last video layer.
fn alive_at_the_end(video: &VideoConfig) -> usize {
    video.sparsity.tokens_per_layer(video.patches(), video.layers + 1).last().copied().unwrap_or(video.patches())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrected_rules_draw_no_block_twice() {
        let edge = EdgeSparsity { local: 1, random: 5, block: 56 };
        assert_eq!(keys_of_patch(edge, Compat::Official, 270), 6 * 56 + 1);
        assert_eq!(keys_of_patch(edge, Compat::Corrected, 270), 5 * 56 + 1);
        assert_eq!(keys_of_patch(edge, Compat::Corrected, 784), 6 * 56 + 1);
    }
}
