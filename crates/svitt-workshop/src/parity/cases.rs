//! The settings of a parity directory: `cases.json`, and the sizes in `config_beit.json` and `config_bert.json`.

use super::fixture::invalid;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use std::path::Path;
use svitt::config::{
    Compat, CrossSparsity, EdgeSparsity, ModelConfig, NodeSparsity, Selection, Sparsity, TextConfig, TokenOrder,
    VideoConfig,
};
use svitt::{Error, Result};

/// The name of the file with the settings.
pub const CASES: &str = "cases.json";
/// Sizes of the video encoder.
pub const BEIT: &str = "config_beit.json";
/// Sizes of the text and fusion encoder.
pub const BERT: &str = "config_bert.json";

/// `cases.json`; fields it leaves out keep the defaults of the official code.
#[derive(Clone, Debug, Deserialize)]
pub struct Cases {
    /// Side of the square input, pixels.
    pub image_size: usize,
    /// Width of the shared space.
    pub embed_dim: usize,
    /// T of the main checkpoint.
    pub num_frames_of_checkpoint: usize,
    /// Tokens of a caption.
    pub max_text_length: usize,
    /// Tokens of a question.
    pub question_length: usize,
    /// Tokens of an answer.
    pub answer_length: usize,
    /// Tokens in `tokenization.json`.
    pub tokenization_length: usize,
    /// The first layer with cross-attention.
    pub fusion_layer: usize,
    /// Settings per file, by its stem; some have a table of settings.
    pub cases: Map<String, Json>,
}

/// The settings of one forward.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// T of its clips.
    #[serde(default)]
    pub frames: Option<usize>,
    /// Block-sparse attention, or dense.
    #[serde(default)]
    edge: Option<Edge>,
    /// q_v.
    #[serde(default = "one")]
    keep_rate: f64,
    /// Where q_v applies.
    #[serde(default)]
    prune_layers: Vec<usize>,
    /// Order of the patch tokens.
    #[serde(default)]
    pub order: TokenOrder,
    /// Which pixels: a tensor's name, perhaps with `[from:to]`, perhaps with words behind.
    #[serde(default)]
    input: String,
    /// q_m.
    #[serde(default = "one")]
    cross_keep: f64,
    /// Where q_m applies.
    #[serde(default)]
    cross_layers: Vec<usize>,
    /// `fusion` or `multi_modal`.
    #[serde(default)]
    pub mode: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Edge {
    #[serde(rename = "G")]
    block: usize,
    #[serde(rename = "K_l")]
    local: usize,
    #[serde(rename = "K_r")]
    random: usize,
}

/// `config_beit.json`.
#[derive(Deserialize)]
struct Beit {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    image_size: usize,
    patch_size: usize,
    layer_scale_init_value: f64,
    layer_norm_eps: f64,
    drop_path_rate: f64,
}

/// `config_bert.json`.
#[derive(Deserialize)]
struct Bert {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    vocab_size: usize,
    layer_norm_eps: f64,
    hidden_dropout_prob: f64,
}

fn one() -> f64 {
    1.0
}

/// Reads the JSON file `path`.
///
/// # Errors
/// It is missing or says something else than it should.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|problem| Error::io(path, &problem))?;
    serde_json::from_str(&text).map_err(|problem| invalid(path, format!("cannot be understood ({problem})")))
}

impl Cases {
    /// Reads `cases.json` of `folder`.
    ///
    /// # Errors
    /// It is missing or incomplete.
    pub fn read(folder: &Path) -> Result<Self> {
        read_json(&folder.join(CASES))
    }

    /// The settings of the file with stem `name`, or of entry `part` of its table; none if it has none.
    ///
    /// # Errors
    /// Settings that cannot be understood.
    pub fn case(&self, name: &str, part: Option<&str>) -> Result<Option<Case>> {
        let entry = self.cases.get(name).and_then(|entry| part.map_or(Some(entry), |part| entry.get(part)));
        let Some(entry) = entry else { return Ok(None) };
        let case = serde_json::from_value(entry.clone());
        case.map(Some)
            .map_err(|problem| invalid(Path::new(CASES), format!("case `{name}` is not understood ({problem})")))
    }

    /// The first case of the plain dense encoder with the checkpoint's own clip length.
    pub fn plain_video(&self) -> Option<Case> {
        let cases = self.cases.iter().filter(|(name, _)| name.starts_with("video_"));
        let mut cases = cases.filter_map(|(_, case)| serde_json::from_value::<Case>(case.clone()).ok());
        cases.find(|case| case.is_plain() && case.frames == Some(self.num_frames_of_checkpoint))
    }

    /// Every q_m below 1 of the fusion cases. The margins of `misc.json` were taken at one of them for all cases.
    pub fn cross_rates(&self) -> Vec<f64> {
        let cases = self.cases.iter().filter(|(name, _)| name.starts_with("fusion_"));
        let rates = cases.filter_map(|(_, case)| case.get("cross_keep").and_then(Json::as_f64));
        let mut rates: Vec<f64> = rates.filter(|rate| *rate < 1.0).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        rates
    }

    /// The sizes of the main model.
    ///
    /// # Errors
    /// A configuration file is missing or incomplete, or sizes do not fit together.
    pub fn model(&self, folder: &Path) -> Result<ModelConfig> {
        let (beit, bert): (Beit, Bert) = (read_json(&folder.join(BEIT))?, read_json(&folder.join(BERT))?);
        let base = ModelConfig::base(self.num_frames_of_checkpoint);
        let video = VideoConfig {
            image_size: beit.image_size,
            patch_size: beit.patch_size,
            hidden: beit.hidden_size,
            layers: beit.num_hidden_layers,
            heads: beit.num_attention_heads,
            ffn: beit.intermediate_size,
            layer_scale: Some(beit.layer_scale_init_value),
            drop_path: beit.drop_path_rate,
            layer_norm_eps: beit.layer_norm_eps,
            ..base.video
        };
        let text = TextConfig {
            hidden: bert.hidden_size,
            layers: bert.num_hidden_layers,
            fusion_layer: self.fusion_layer,
            heads: bert.num_attention_heads,
            ffn: bert.intermediate_size,
            max_positions: bert.max_position_embeddings,
            type_vocab_size: bert.type_vocab_size,
            dropout: bert.hidden_dropout_prob,
            layer_norm_eps: bert.layer_norm_eps,
            ..TextConfig::base(bert.vocab_size)
        };
        let config = ModelConfig { video, text, embed_dim: self.embed_dim, compat: Compat::Official, ..base };
        config.validate()?;
        Ok(config)
    }
}

impl Case {
    /// The dense model for clips of `frames` frames, the checkpoint's own by default.
    pub fn plain(frames: Option<usize>) -> Self {
        Self {
            frames,
            edge: None,
            keep_rate: 1.0,
            prune_layers: Vec::new(),
            order: TokenOrder::Raster,
            input: String::new(),
            cross_keep: 1.0,
            cross_layers: Vec::new(),
            mode: String::new(),
        }
    }

    /// `base` with the settings of the case.
    pub fn configure(&self, base: &ModelConfig) -> ModelConfig {
        let mut config = base.clone();
        config.video.frames = self.frames.unwrap_or(config.video.frames);
        config.video.order = self.order;
        config.video.sparsity = self.sparsity();
        config.text.cross = (self.cross_keep < 1.0).then(|| CrossSparsity {
            keep_rate: self.cross_keep,
            layers: self.cross_layers.clone(),
            selection: Selection::ClassAttention,
        });
        config
    }

    fn sparsity(&self) -> Sparsity {
        let edge = self.edge.as_ref();
        let edge = edge.map(|edge| EdgeSparsity::new(edge.local, edge.random, edge.block));
        let node = (self.keep_rate < 1.0).then(|| NodeSparsity {
            keep_rate: self.keep_rate,
            layers: self.prune_layers.clone(),
            selection: Selection::ClassAttention,
        });
        Sparsity { edge, node }
    }

    /// The layers that prune video tokens by text, ascending.
    pub fn cross_layers(&self) -> Vec<usize> {
        let mut layers = self.cross_layers.clone();
        layers.sort_unstable();
        layers
    }

    /// Whether it is the dense model on tokens in their natural order.
    pub fn is_plain(&self) -> bool {
        self.sparsity() == Sparsity::default() && self.order == TokenOrder::Raster
    }

    /// The tensor its pixels are in, and which clips of it; none where it names no tensor.
    pub fn input(&self) -> Option<(&str, Option<std::ops::Range<usize>>)> {
        let word = self.input.split_whitespace().next()?.trim_end_matches([';', ',']);
        let Some((name, range)) = word.split_once('[') else { return Some((word, None)) };
        let (from, to) = range.trim_end_matches(']').split_once(':')?;
        Some((name, Some(from.parse().ok()?..to.parse().ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_names_its_clips() {
        let case = |input: &str| serde_json::from_value::<Case>(serde_json::json!({ "input": input })).unwrap();
        assert_eq!(case("video4_u8[1:3]").input(), Some(("video4_u8", Some(1..3))));
        assert_eq!(case("video8_u8").input(), Some(("video8_u8", None)));
        assert_eq!(case("video_u8[0:3] of retrieval.safetensors; first 4").input(), Some(("video_u8", Some(0..3))));
        assert_eq!(case("").input(), None);
    }

    #[test]
    fn settings_become_a_configuration() {
        let text = r#"{"frames": 6, "edge": {"G": 7, "K_l": 3, "K_r": 2}, "keep_rate": 0.6, "prune_layers": [1],
            "order": "zcurve", "cross_keep": 0.3, "cross_layers": [3, 2]}"#;
        let case: Case = serde_json::from_str(text).unwrap();
        let config = case.configure(&ModelConfig::tiny(4));
        assert_eq!((config.video.frames, config.video.order), (6, TokenOrder::ZCurve));
        assert_eq!(config.video.sparsity.edge, Some(EdgeSparsity::new(3, 2, 7)));
        assert_eq!(config.video.sparsity.node.unwrap().layers, [1]);
        assert_eq!((case.cross_layers(), case.is_plain()), (vec![2, 3], false));
    }
}
