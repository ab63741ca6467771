//! Sizes of the three encoders; base is the published model.

use super::design::{Family, FrameAttention, PixelScale, Pooling, Positions, TemporalConfig, is_default};
use super::{Compat, CrossSparsity, Sparsity, TokenOrder};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

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
    /// Initial value of the layer scales λ1 and λ2; none: layers have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_scale: Option<f64>,
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
    /// Which patches attend to each other.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attention: FrameAttention,
    /// Whether every sequence has a class token in front.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub class_token: bool,
    /// What tells where a patch is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub positions: Positions,
    /// What becomes of the last layer's patches for the shared space.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pooling: Pooling,
    /// What joins the frames' tokens before fusion, where frames are encoded one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temporal: Option<TemporalConfig>,
    /// What pixels are brought to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pixels: PixelScale,
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
    /// Layers of the answer decoder, where they are not as many as fuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder_layers: Option<usize>,
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

fn is_true(flag: &bool) -> bool {
    *flag
}

fn yes() -> bool {
    true
}

impl VideoConfig {
    /// Patches along one side of a frame.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Patch tokens of a clip, class tokens not counted.
    pub fn patches(&self) -> usize {
        self.frames * self.grid() * self.grid()
    }

    /// Frames whose patches attend to each other: all of the clip, or one.
    pub fn frames_per_sequence(&self) -> usize {
        match self.attention {
            FrameAttention::Joint => self.frames,
            FrameAttention::PerFrame => 1,
        }
    }

    /// Patch tokens that attend to each other, before pruning.
    pub fn sequence_patches(&self) -> usize {
        self.frames_per_sequence() * self.grid() * self.grid()
    }

    /// Sequences of one clip.
    pub fn sequences(&self) -> usize {
        self.frames / self.frames_per_sequence().max(1)
    }

    /// Rows of a relative position table: (2T−1)(2H−1)(2W−1) + 3, with the T frames of a sequence; none without tables.
    pub fn table_rows(&self) -> usize {
        let side = 2 * self.grid() - 1;
        match self.positions {
            Positions::Relative => (2 * self.frames_per_sequence() - 1) * side * side + 3,
            Positions::Sinusoid { .. } => 0,
        }
    }

    /// Parts of a sequence of `frames` frames that pruning and pooling treat one by one.
    pub fn groups(&self, frames: usize) -> usize {
        if self.pooling == Pooling::NormalisedPerFrame { frames } else { 1 }
    }

    /// Patch tokens of a sequence that enter each of `layers` layers.
    pub fn tokens_per_layer(&self, layers: usize) -> Vec<usize> {
        let groups = self.groups(self.frames_per_sequence()).max(1);
        let each = self.sparsity.tokens_per_layer(self.sequence_patches() / groups, layers);
        each.into_iter().map(|tokens| tokens * groups).collect()
    }

    /// Video tokens that leave the last layer, all sequences of a clip together and with their class tokens.
    pub fn fusion_tokens(&self) -> usize {
        let patches = self.tokens_per_layer(self.layers + 1).last().copied().unwrap_or(0);
        self.sequences() * (patches + usize::from(self.class_token))
    }

    /// Whether video tokens begin with one class token for the clip, which pruning by text always keeps. The class
    /// tokens of single frames are ranked with the patches.
    pub fn has_clip_token(&self) -> bool {
        self.class_token && self.attention == FrameAttention::Joint
    }

    /// Whether clips of any length are taken: frames are encoded one by one, or positions are computed.
    pub fn takes_any_frames(&self) -> bool {
        self.attention == FrameAttention::PerFrame || self.positions != Positions::Relative
    }

    /// The line of models it is of.
    pub fn family(&self) -> Family {
        match (self.attention, self.class_token) {
            (FrameAttention::PerFrame, _) => Family::Singularity,
            (FrameAttention::Joint, true) => Family::Svitt,
            (FrameAttention::Joint, false) => Family::Umt,
        }
    }

    /// The same sizes, built as Singularity's encoder: frames one by one, `temporal` behind.
    #[must_use]
    pub fn singularity(self, temporal: Option<TemporalConfig>) -> Self {
        Self { attention: FrameAttention::PerFrame, temporal, ..self }
    }

    /// The same sizes, built as UMT's encoder: no class token, fixed positions, no layer scale, frames pooled one by one.
    #[must_use]
    pub fn umt(self) -> Self {
        Self {
            layer_scale: None,
            layer_norm_eps: 1e-6,
            class_token: false,
            positions: Positions::Sinusoid { stretched_from: None },
            pooling: Pooling::NormalisedPerFrame,
            pixels: PixelScale::Imagenet,
            ..self
        }
    }

    /// The same weights as one joint encoder: relative tables then have to be extended over time, and what joined the
    /// frames is left out.
    #[must_use]
    pub fn joint(self) -> Self {
        Self { attention: FrameAttention::Joint, temporal: None, ..self }
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
        config.video.layer_scale = Some(1.0);
        config.video.drop_path = 0.0;
        config
    }

    /// Singularity's published sizes, for 1 frame or as a temporal model of several.
    pub fn singularity_base(frames: usize) -> Self {
        let base = Self::base(frames);
        let TextConfig { heads, ffn, .. } = base.text;
        let temporal = (frames > 1).then_some(TemporalConfig { frames, layers: 2, heads, ffn });
        Self { video: base.video.clone().singularity(temporal), ..base }
    }

    /// UMT's published B/16.
    pub fn umt_base(frames: usize) -> Self {
        let base = Self::base(frames);
        Self { video: base.video.clone().umt(), embed_dim: 512, ..base }
    }

    /// UMT's published L/16, with BERT-large.
    pub fn umt_large(frames: usize) -> Self {
        let base = Self::base(frames);
        let video = VideoConfig { hidden: 1024, layers: 24, heads: 16, ffn: 4096, ..base.video.clone().umt() };
        let text = TextConfig { hidden: 1024, layers: 24, fusion_layer: 19, heads: 16, ffn: 4096, ..base.text.clone() };
        Self { video, text, embed_dim: 768, ..base }
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
            layer_scale: Some(0.1),
            drop_path: 0.1,
            layer_norm_eps: 1e-12,
            order: TokenOrder::Raster,
            sparsity: Sparsity::default(),
            attention: FrameAttention::Joint,
            class_token: true,
            positions: Positions::Relative,
            pooling: Pooling::Raw,
            temporal: None,
            pixels: PixelScale::Symmetric,
        };
        Self { video, text, embed_dim, temperature: default_temperature(), compat: Compat::Corrected }
    }

    /// Checks every size against every other.
    ///
    /// # Errors
    /// Names the first setting that cannot work and what it should be.
    pub fn validate(&self) -> Result<()> {
        super::ranges::model(self)?;
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
        self.video.validate_design()?;
        self.video.sparsity.validate(self.video.sequence_patches(), layers)?;
        match &self.text.cross {
            Some(cross) => cross.validate(self.text.fusion_layer..self.text.layers),
            None => Ok(()),
        }
    }
}

/// A published model by its name on command lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedModel {
    /// [`ModelConfig::base`].
    #[default]
    SvittBase,
    /// [`ModelConfig::singularity_base`].
    SingularityBase,
    /// [`ModelConfig::umt_base`].
    UmtBase,
    /// [`ModelConfig::umt_large`].
    UmtLarge,
}

impl NamedModel {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SvittBase => "svitt-base",
            Self::SingularityBase => "singularity-base",
            Self::UmtBase => "umt-base",
            Self::UmtLarge => "umt-large",
        }
    }

    /// Its sizes, for clips of `frames` frames.
    pub fn config(self, frames: usize) -> ModelConfig {
        match self {
            Self::SvittBase => ModelConfig::base(frames),
            Self::SingularityBase => ModelConfig::singularity_base(frames),
            Self::UmtBase => ModelConfig::umt_base(frames),
            Self::UmtLarge => ModelConfig::umt_large(frames),
        }
    }
}

impl FromStr for NamedModel {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::SvittBase, Self::SingularityBase, Self::UmtBase, Self::UmtLarge];
        all.into_iter().find(|model| model.name() == name).ok_or_else(|| {
            let remedy = "use svitt-base, singularity-base, umt-base or umt-large";
            Error::setting("model", format!("`{name}` is not known"), remedy)
        })
    }
}

impl VideoConfig {
    /// Checks that the choices in how the encoder is built go together.
    fn validate_design(&self) -> Result<()> {
        let wrong = |setting: &str, problem: &str, remedy: &str| Err(Error::setting(setting, problem, remedy));
        if let Some(temporal) = &self.temporal {
            if self.attention != FrameAttention::PerFrame {
                let problem = "there is nothing left to join where all frames attend to each other";
                return wrong("video.temporal", problem, "leave it out, or use `\"attention\": \"per-frame\"`");
            }
            if temporal.layers > 0 {
                check_heads("video.temporal.heads", self.hidden, temporal.heads)?;
            }
        }
        if self.pooling == Pooling::NormalisedPerFrame && self.order != TokenOrder::Raster {
            let problem = "patches are pooled frame by frame, so they must stand frame by frame";
            return wrong("video.order", problem, "use raster");
        }
        if let Positions::Sinusoid { stretched_from: Some(0) } = self.positions {
            return wrong("video.positions", "a table of 0 frames cannot be stretched", "use 1 or more");
        }
        Ok(())
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
            decoder_layers: None,
        }
    }

    /// Layers of the answer decoder: as many as fuse, or as its checkpoint has.
    pub fn decoder_depth(&self) -> usize {
        self.decoder_layers.unwrap_or(self.layers.saturating_sub(self.fusion_layer))
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
    fn families_are_told_apart_and_count_their_tokens() {
        let of = |config: ModelConfig| {
            config.validate().unwrap();
            (
                config.video.family(),
                config.video.sequence_patches(),
                config.video.sequences(),
                config.video.fusion_tokens(),
            )
        };
        assert_eq!(of(ModelConfig::base(4)), (Family::Svitt, 784, 1, 785));
        assert_eq!(of(ModelConfig::singularity_base(4)), (Family::Singularity, 196, 4, 4 * 197));
        assert_eq!(of(ModelConfig::umt_large(12)), (Family::Umt, 2352, 1, 2352));
        let mut umt = ModelConfig::umt_base(3);
        umt.video.sparsity.node = Some(super::super::NodeSparsity::by_class(0.7, &[0]));
        // ceil(.7 · 196) = 138 of every frame, not ceil(.7 · 588) = 412 of all.
        assert_eq!(umt.video.tokens_per_layer(2), [588, 3 * 138]);
        umt.video.order = TokenOrder::ZCurve;
        assert!(umt.validate().unwrap_err().to_string().contains("video.order"));
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
