//! Sizes of the three encoders; base is the published model.

use super::{Compat, CrossSparsity, Sparsity, TokenOrder};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The video encoder (docs/model.md, "Video encoder").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoConfig {
    /// Side of the square input, pixels.
    pub image_size: usize,
    /// Side of a patch, pixels.
    pub patch_size: usize,
    /// T: frames of a clip; position tables are built for it.
    pub frames: usize,
    /// d: width of a token.
    pub hidden: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width inside the feed-forward part.
    pub ffn: usize,
    /// Initial value of the layer scales λ1 and λ2.
    pub layer_scale: f64,
    /// Stochastic depth of the last layer; layers before it get linearly less, the first none.
    pub drop_path: f64,
    /// Epsilon of every layer norm.
    pub layer_norm_eps: f64,
    /// The order patch tokens stand in.
    #[serde(default)]
    pub order: TokenOrder,
    /// Edge and node sparsity.
    #[serde(default)]
    pub sparsity: Sparsity,
}

/// The text encoder and, from `fusion_layer` on, the fusion encoder: one BERT
/// (docs/model.md, "Text and fusion encoder").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Width of a token.
    pub hidden: usize,
    /// All layers, text and fusion.
    pub layers: usize,
    /// The first layer with cross-attention.
    pub fusion_layer: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width inside the feed-forward part.
    pub ffn: usize,
    /// Rows of the absolute position table: the longest text.
    pub max_positions: usize,
    /// Rows of the token type table.
    pub type_vocab_size: usize,
    /// Dropout of hidden states and attention probabilities, training only.
    pub dropout: f64,
    /// Epsilon of every layer norm.
    pub layer_norm_eps: f64,
    /// Cross-modal pruning, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross: Option<CrossSparsity>,
}

/// The whole model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The video encoder.
    pub video: VideoConfig,
    /// The text and fusion encoder.
    pub text: TextConfig,
    /// Width of the shared space of the two projection heads.
    pub embed_dim: usize,
    /// Initial temperature.
    #[serde(default = "default_temperature")]
    pub temperature: f64,
    /// Corrected or official rules.
    #[serde(default)]
    pub compat: Compat,
}

fn default_temperature() -> f64 {
    0.07
}

impl VideoConfig {
    /// Patches along one side of a frame.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Patch tokens of a clip, class token not counted.
    pub fn patches(&self) -> usize {
        self.frames * self.grid() * self.grid()
    }

    /// Rows of a relative position table: (2T−1)(2H−1)(2W−1) + 3.
    pub fn table_rows(&self) -> usize {
        let side = 2 * self.grid() - 1;
        (2 * self.frames - 1) * side * side + 3
    }

    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }
}

impl ModelConfig {
    /// The published model: BEiT-base and BERT-base, 224 px, patches of 16.
    pub fn base(frames: usize) -> Self {
        Self::sized(frames, [224, 16], [768, 12, 12, 3072], TextConfig::base(30_522), 256)
    }

    /// A small model for one graphics card or a patient CPU: 6 layers of 256 at 112 px.
    pub fn small(frames: usize) -> Self {
        let text =
            TextConfig { hidden: 256, layers: 6, fusion_layer: 4, heads: 4, ffn: 1024, ..TextConfig::base(30_522) };
        Self::sized(frames, [112, 16], [256, 6, 4, 1024], text, 128)
    }

    /// The model of the default run on `shapes`: 4 layers of 64 at 32 px, patches of 8; trained from scratch, so
    /// layer scale starts at 1 and nothing is dropped.
    pub fn tiny(frames: usize) -> Self {
        let text = TextConfig {
            hidden: 64,
            layers: 4,
            fusion_layer: 2,
            heads: 4,
            ffn: 256,
            max_positions: 32,
            dropout: 0.0,
            ..TextConfig::base(64)
        };
        let mut config = Self::sized(frames, [32, 8], [64, 4, 4, 256], text, 64);
        config.video.layer_scale = 1.0;
        config.video.drop_path = 0.0;
        config
    }

    fn sized(
        frames: usize,
        [image_size, patch_size]: [usize; 2],
        [hidden, layers, heads, ffn]: [usize; 4],
        text: TextConfig,
        embed_dim: usize,
    ) -> Self {
        let video = VideoConfig {
            image_size,
            patch_size,
            frames,
            hidden,
            layers,
            heads,
            ffn,
            layer_scale: 0.1,
            drop_path: 0.1,
            layer_norm_eps: 1e-12,
            order: TokenOrder::Raster,
            sparsity: Sparsity::default(),
        };
        Self { video, text, embed_dim, temperature: default_temperature(), compat: Compat::Corrected }
    }

    /// Checks every size against every other.
    ///
    /// # Errors
    /// Names the first setting that cannot work and what it should be.
    pub fn validate(&self) -> Result<()> {
        let VideoConfig { image_size, patch_size, frames, hidden, heads, layers, .. } = self.video;
        check_positive(&[("video.patch_size", patch_size)])?;
        if image_size == 0 || image_size % patch_size != 0 {
            let problem = format!("{image_size} px is not a whole number of patches of {patch_size} px");
            return Err(Error::setting("video.image_size", problem, format!("use a multiple of {patch_size}")));
        }
        check_positive(&[
            ("video.frames", frames),
            ("video.layers", layers),
            ("embed_dim", self.embed_dim),
            ("text.vocab_size", self.text.vocab_size),
        ])?;
        check_heads("video.heads", hidden, heads)?;
        check_heads("text.heads", self.text.hidden, self.text.heads)?;
        if self.text.fusion_layer > self.text.layers {
            let problem =
                format!("fusion starts at layer {}, but there are {} layers", self.text.fusion_layer, self.text.layers);
            return Err(Error::setting("text.fusion_layer", problem, format!("use at most {}", self.text.layers)));
        }
        self.video.sparsity.validate(self.video.patches(), layers)?;
        match &self.text.cross {
            Some(cross) => cross.validate(self.text.fusion_layer..self.text.layers),
            None => Ok(()),
        }
    }
}

impl TextConfig {
    /// BERT-base with `vocab_size` entries, fusion from layer 9.
    pub fn base(vocab_size: usize) -> Self {
        Self {
            vocab_size,
            hidden: 768,
            layers: 12,
            fusion_layer: 9,
            heads: 12,
            ffn: 3072,
            max_positions: 512,
            type_vocab_size: 2,
            dropout: 0.1,
            layer_norm_eps: 1e-12,
            cross: None,
        }
    }
}

fn check_positive(sizes: &[(&str, usize)]) -> Result<()> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        None => Ok(()),
        Some((setting, _)) => Err(Error::setting(*setting, "is 0", "use 1 or more")),
    }
}

fn check_heads(setting: &str, hidden: usize, heads: usize) -> Result<()> {
    if heads > 0 && hidden > 0 && hidden.is_multiple_of(heads) {
        return Ok(());
    }
    Err(Error::setting(setting, format!("{heads} heads do not divide a width of {hidden}"), "use a divisor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_has_the_published_sizes() {
        let base = ModelConfig::base(4);
        assert_eq!((base.video.patches(), base.video.table_rows(), base.video.head_dim()), (784, 5106, 64));
        for config in [ModelConfig::base(16), ModelConfig::small(4), ModelConfig::tiny(8)] {
            config.validate().unwrap();
        }
    }

    #[test]
    fn a_config_survives_json() {
        let config = ModelConfig::tiny(4);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<ModelConfig>(&json).unwrap(), config);
        let unknown = json.replacen("\"frames\"", "\"framez\"", 1);
        assert!(serde_json::from_str::<ModelConfig>(&unknown).unwrap_err().to_string().contains("framez"));
    }
}
