//! Presets: named curricula embedded in the crate, with the command that runs each and the scores it is expected to
//! reach.

use super::{Curriculum, ModelConfig, Precision, Stage};
use crate::data::shapes::ShapesPreset;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Every preset by name, embedded from `data/presets`.
const EMBEDDED: [(&str, &str); 8] = [
    ("shapes-default", include_str!("../../data/presets/shapes-default.toml")),
    ("shapes-smoke", include_str!("../../data/presets/shapes-smoke.toml")),
    ("shapes-long", include_str!("../../data/presets/shapes-long.toml")),
    ("tiny-video", include_str!("../../data/presets/tiny-video.toml")),
    ("paper-webvid", include_str!("../../data/presets/paper-webvid.toml")),
    ("paper-webvid-8", include_str!("../../data/presets/paper-webvid-8.toml")),
    ("shipped-webvid", include_str!("../../data/presets/shipped-webvid.toml")),
    ("shipped-webvid-8", include_str!("../../data/presets/shipped-webvid-8.toml")),
];

/// The three sizes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelSize {
    /// [`ModelConfig::tiny`].
    Tiny,
    /// [`ModelConfig::small`].
    Small,
    /// [`ModelConfig::base`].
    Base,
}

/// A size, and what is different from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelChoice {
    /// The size it starts from.
    pub size: ModelSize,
    /// Side of the input, pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// Side of a patch, pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch_size: Option<usize>,
    /// Width of both encoders' tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// Layers of the video encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video_layers: Option<usize>,
    /// Attention heads of the video encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video_heads: Option<usize>,
    /// Width of the text encoder's tokens, where it is not that of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_hidden: Option<usize>,
    /// Attention heads of the text and fusion encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_heads: Option<usize>,
    /// Layers of the text and fusion encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_layers: Option<usize>,
    /// The first of them with cross-attention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fusion_layer: Option<usize>,
    /// Fresh weight matrices have a deviation of `init_gain` over the root of their inputs; absent: .02 as published,
    /// which is meant for a width of 768.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_gain: Option<f64>,
    /// How sharply fresh position tables let each head look at one neighbouring patch of the next or last frame; 0 as
    /// published. Published models start from BEiT, whose tables are local already; a small model from scratch spends
    /// most of its steps on becoming so.
    #[serde(default)]
    pub local_positions: f64,
}

/// What is wrong with the TOML `text`, on one line and with the number of the line.
pub(crate) fn toml_problem(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    let before = error.span().and_then(|span| text.get(..span.start));
    before.map_or(message.clone(), |before| format!("line {}: {message}", 1 + before.matches('\n').count()))
}

impl ModelChoice {
    /// The model, for a vocabulary of `vocab_size` entries and clips of `frames` frames.
    pub fn model(&self, frames: usize, vocab_size: usize) -> ModelConfig {
        let mut model = match self.size {
            ModelSize::Tiny => ModelConfig::tiny(frames),
            ModelSize::Small => ModelConfig::small(frames),
            ModelSize::Base => ModelConfig::base(frames),
        };
        model.text.vocab_size = vocab_size;
        let set = |target: &mut usize, value: Option<usize>| *target = value.unwrap_or(*target);
        set(&mut model.video.image_size, self.image_size);
        set(&mut model.video.patch_size, self.patch_size);
        if let Some(hidden) = self.hidden {
            (model.video.hidden, model.video.ffn) = (hidden, 4 * hidden);
            (model.text.hidden, model.text.ffn) = (hidden, 4 * hidden);
        }
        if let Some(hidden) = self.text_hidden {
            (model.text.hidden, model.text.ffn) = (hidden, 4 * hidden);
        }
        set(&mut model.text.heads, self.text_heads);
        set(&mut model.video.layers, self.video_layers);
        set(&mut model.video.heads, self.video_heads);
        set(&mut model.text.layers, self.text_layers);
        set(&mut model.text.fusion_layer, self.fusion_layer);
        model
    }
}

/// How much each loss counts in the sum that is differentiated; 1 each as published
/// (docs/model.md, "Total loss").
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossWeights {
    /// Contrastive.
    pub vtc: f64,
    /// Matching; 0 skips its forward.
    pub vtm: f64,
    /// Masked language; 0 skips its forward.
    pub mlm: f64,
}

impl Default for LossWeights {
    fn default() -> Self {
        Self { vtc: 1.0, vtm: 1.0, mlm: 1.0 }
    }
}

/// What a preset is expected to reach in its last stage, percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedScores {
    /// Text-to-video R@1 of the dual encoder.
    pub r1: f64,
    /// Twin accuracy.
    pub twin_accuracy: f64,
}

/// A named curriculum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainPreset {
    /// Set from the file's name.
    #[serde(default)]
    pub name: String,
    /// What it shows.
    pub description: String,
    /// The command that runs it.
    #[serde(default)]
    pub command: String,
    /// What it is expected to reach, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<ExpectedScores>,
    /// Tokens of a text, `[CLS]` included.
    pub text_tokens: usize,
    /// Videos that validation re-ranks per text.
    pub rerank_k: usize,
    /// The variant of `shapes`: the default one, or one by name, such as `long-clips`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shapes: Option<ShapesPreset>,
    /// Programs in the gallery of `shapes`, at most; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gallery_programs: Option<usize>,
    /// Mirror half of the training clips; never done to `shapes`, whose captions speak of left and right.
    #[serde(default = "yes")]
    pub flip: bool,
    /// Share of words the masked-language loss asks for; .5 as published. Words that only a clip tells (the
    /// directions of `shapes`) are always asked for.
    #[serde(default = "half")]
    pub mask_probability: f64,
    /// What it is trained with on CUDA; other backends train in f32 unless they are asked for this.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
    /// Weights of the three losses.
    #[serde(default)]
    pub loss_weights: LossWeights,
    /// The model.
    pub model: ModelChoice,
    /// The stages.
    pub stages: Vec<Stage>,
}

fn yes() -> bool {
    true
}

fn half() -> f64 {
    0.5
}

impl PretrainPreset {
    /// The names of all presets.
    pub fn names() -> impl Iterator<Item = &'static str> {
        EMBEDDED.iter().map(|(name, _)| *name)
    }

    /// The embedded preset `name`, or the one in the file of that name if it ends in `.toml`.
    ///
    /// # Errors
    /// An unknown name, a file that cannot be read, or a key that does not exist (named with its line).
    pub fn load(name: &str) -> Result<Self> {
        if name.ends_with(".toml") {
            let path = Path::new(name);
            let text = crate::input::read_text(path, 1 << 20)?;
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let preset = Self::parse(&stem, &text).map_err(|problem| {
                Error::file(path, problem.trim_end().to_string(), "see data/presets for examples")
            })?;
            return super::ranges::preset(&preset).map(|()| preset);
        }
        let known = || Self::names().collect::<Vec<_>>().join(", ");
        let (name, text) = EMBEDDED.iter().find(|(known, _)| *known == name).ok_or_else(|| {
            Error::setting("preset", format!("no preset `{name}`"), format!("use {}, or a .toml file", known()))
        })?;
        Self::parse(name, text).map_err(|problem| Error::setting("preset", problem, "report this as a bug"))
    }

    fn parse(name: &str, text: &str) -> std::result::Result<Self, String> {
        let preset: Self = toml::from_str(text).map_err(|e| toml_problem(text, &e))?;
        Ok(Self { name: name.to_string(), ..preset })
    }

    /// The stages as a curriculum.
    pub fn curriculum(&self) -> Curriculum {
        Curriculum { stages: self.stages.clone() }
    }

    /// Checks its own settings for `model`, then its stages.
    ///
    /// # Errors
    /// Names the setting, and what it should be.
    pub fn validate(&self, model: &ModelConfig) -> Result<()> {
        let most = model.text.max_positions;
        if !(2..=most).contains(&self.text_tokens) {
            let problem =
                format!("is {}, but texts have [CLS], a word or more, and {most} positions", self.text_tokens);
            return Err(Error::setting("text_tokens", problem, format!("use 2 to {most}")));
        }
        if self.rerank_k == 0 || self.gallery_programs == Some(0) {
            let setting = if self.rerank_k == 0 { "rerank_k" } else { "gallery_programs" };
            return Err(Error::setting(setting, "is 0", "use 1 or more"));
        }
        if !(0.0..=1.0).contains(&self.mask_probability) {
            let problem = format!("{} is no share", self.mask_probability);
            return Err(Error::setting("mask_probability", problem, "use a number from 0 to 1"));
        }
        self.curriculum().validate(model)
    }

    /// Whether it trains on the `shapes` benchmark: its stages name program lengths.
    pub fn is_shapes(&self) -> bool {
        self.stages.iter().any(|stage| !stage.segments.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_obeys_the_equations() {
        for name in PretrainPreset::names() {
            let preset = PretrainPreset::load(name).unwrap();
            let model = preset.model.model(preset.stages[0].frames, 30_522);
            preset.validate(&model).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(preset.command.contains(name) || name == "shapes-default" || name == "tiny-video", "{name}");
            assert_eq!(preset.is_shapes(), name.starts_with("shapes"));
        }
    }

    #[test]
    fn the_papers_schedule_is_the_papers() {
        let paper = PretrainPreset::load("paper-webvid").unwrap();
        let rows: Vec<_> = paper.stages.iter().map(|s| (s.frames, s.keep_rate(), s.edge.is_some())).collect();
        assert_eq!(rows, [(1, 1.0, false), (4, 0.7, true), (8, 0.6, true), (16, 0.5, true)]);
        assert!(paper.stages.iter().all(|s| s.cross.as_ref().is_some_and(|c| c.keep_rate == 0.1)));
        let shipped = PretrainPreset::load("shipped-webvid").unwrap();
        assert!(shipped.stages[0].cross.is_none() && shipped.stages[0].learning_rate == 3e-5);
    }

    #[test]
    fn the_default_run_drops_half_the_edges_and_prunes() {
        let preset = PretrainPreset::load("shapes-default").unwrap();
        let last = preset.stages.last().unwrap();
        assert!(last.keep_rate() < 1.0);
        let config = last.model(&preset.model.model(last.frames, 64));
        let edges = |config: &ModelConfig| {
            let profile = crate::profile::Profile::of(config, crate::profile::Convention::True).unwrap();
            profile.layers.iter().map(|layer| layer.edges).sum::<u64>() as f64
        };
        let mut dense = config.clone();
        dense.video.sparsity = Default::default();
        assert!(edges(&config) < 0.5 * edges(&dense), "{} of {}", edges(&config), edges(&dense));
    }

    #[test]
    fn settings_of_the_whole_run_are_checked_and_named() {
        let refuse = |change: fn(&mut PretrainPreset)| {
            let mut preset = PretrainPreset::load("shapes-smoke").unwrap();
            change(&mut preset);
            preset.validate(&preset.model.model(1, 54)).unwrap_err().to_string()
        };
        assert!(refuse(|p| p.text_tokens = 1).contains("`text_tokens`"));
        assert!(refuse(|p| p.text_tokens = 33).contains("use 2 to 32"));
        assert!(refuse(|p| p.rerank_k = 0).contains("`rerank_k`"));
        assert!(refuse(|p| p.gallery_programs = Some(0)).contains("`gallery_programs`"));
        assert!(refuse(|p| p.mask_probability = f64::NAN).contains("`mask_probability`"));
        assert!(refuse(|p| p.model.patch_size = Some(0)).contains("patch_size"));
    }

    #[test]
    fn an_unknown_preset_or_key_is_named() {
        assert!(PretrainPreset::load("shapes-huge").unwrap_err().to_string().contains("shapes-default"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        let text = EMBEDDED[0].1.replace("rerank_k", "rerank_kk");
        std::fs::write(&file, text).unwrap();
        let message = PretrainPreset::load(file.to_str().unwrap()).unwrap_err().to_string();
        assert!(message.contains("mine.toml") && message.contains("rerank_kk"), "{message}");
    }
}
