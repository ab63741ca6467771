//! The official keys of a model and their shapes, in the order of the official state dictionary
//! (docs/model.md, "Official checkpoints").

use super::keys::Naming;
use super::safetensors::{TensorContent, TensorSpec};
use super::source_kind::tied_to;
use crate::config::{ModelConfig, TextConfig, VideoConfig};
use serde::{Deserialize, Serialize};

/// Layers of the answer decoder are those from the first fusion layer on.
const DECODER: &str = "text_decoder";

/// What a checkpoint holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointPart {
    /// The whole model of pretraining and retrieval.
    #[default]
    Pretraining,
    /// The model of question answering: no projections, an answer decoder.
    QuestionAnswering,
    /// The video encoder alone, as BEiT gives it.
    Video,
    /// The text and fusion encoder alone, as BERT gives it.
    Text,
}

/// One key of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightKey {
    /// Name, shape and type in a file.
    pub outline: TensorSpec,
    /// The key it is a stored copy of.
    pub tied: Option<String>,
}

impl WeightKey {
    /// Whether it is a parameter of its own: not a copy and not a counter.
    pub fn is_learned(&self) -> bool {
        self.tied.is_none() && self.outline.kind == TensorContent::Learned
    }

    /// Whether it is written where `absent` are beginnings of keys that are left out: a copy goes with what it is a
    /// copy of and with the head it belongs to.
    pub fn is_present(&self, absent: &[String]) -> bool {
        let out = |name: &str| absent.iter().any(|absent| has_prefix(name, absent));
        let name = &self.outline.name;
        let head = name.split_once(".decoder.").map(|(head, _)| format!("{head}.bias"));
        !out(name) && !self.tied.as_deref().is_some_and(out) && !head.as_deref().is_some_and(out)
    }
}

/// Whether `name` is `beginning` or continues it after a dot.
pub(super) fn has_prefix(name: &str, beginning: &str) -> bool {
    name.strip_prefix(beginning.trim_end_matches('.')).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The keys of `part` of a model of sizes `config`, under pretraining names.
pub fn keys(config: &ModelConfig, part: CheckpointPart) -> Vec<WeightKey> {
    let mut list = KeyList::default();
    let (video, text, embed) = (config.video.hidden, config.text.hidden, config.embed_dim);
    if part == CheckpointPart::Pretraining {
        list.learned("temp", &[]);
    }
    let umt = Naming::of(&config.video) == Naming::Umt;
    let [pooled, fused] = match umt {
        true => ["vision_encoder.pool_norm", "vision_encoder.encoder.norm"],
        false => ["vision_encoder.pooler.layernorm", "vision_layernorm"],
    };
    if part != CheckpointPart::Text {
        if umt {
            list.umt_video(&config.video)
        } else {
            list.video(&config.video)
        }
        if part != CheckpointPart::QuestionAnswering {
            list.affine(pooled, &[video]);
        }
    }
    if matches!(part, CheckpointPart::Pretraining | CheckpointPart::QuestionAnswering) {
        list.affine(fused, &[video]);
        list.temporal(&config.video);
    }
    if part != CheckpointPart::Video {
        list.bert("text_encoder", &config.text, 0..config.text.layers, config.text.fusion_layer, video);
    }
    match part {
        CheckpointPart::Pretraining => {
            list.language_head("text_encoder", &config.text);
            list.affine("vision_proj", &[embed, video]);
            list.affine("text_proj", &[embed, text]);
            list.affine("itm_head", &[2, text]);
        }
        CheckpointPart::QuestionAnswering => {
            list.bert(DECODER, &config.text, 0..config.text.decoder_depth(), 0, text);
            list.language_head(DECODER, &config.text);
        }
        CheckpointPart::Text => list.language_head("text_encoder", &config.text),
        CheckpointPart::Video => {}
    }
    list.0
}

/// The name under which `part` has the pretraining key `name`: question answering leaves `bert.` out of its encoder.
pub fn file_name(part: CheckpointPart, name: &str) -> String {
    match name.strip_prefix("text_encoder.bert.") {
        Some(rest) if part == CheckpointPart::QuestionAnswering => format!("text_encoder.{rest}"),
        _ => name.to_string(),
    }
}

#[derive(Default)]
struct KeyList(Vec<WeightKey>);

impl KeyList {
    fn learned(&mut self, name: &str, shape: &[usize]) {
        let outline = TensorSpec { name: name.to_string(), shape: shape.to_vec(), kind: TensorContent::Learned };
        self.0.push(WeightKey { tied: tied_to(name), outline });
    }

    /// `name.weight` of shape `weight` and `name.bias` of its first size.
    fn affine(&mut self, name: &str, weight: &[usize]) {
        self.learned(&format!("{name}.weight"), weight);
        self.learned(&format!("{name}.bias"), &weight[..1]);
    }

    fn umt_video(&mut self, video: &VideoConfig) {
        let d = video.hidden;
        let patch = [d, 3, 1, video.patch_size, video.patch_size];
        self.affine("vision_encoder.encoder.patch_embed.proj", &patch);
        for layer in 0..video.layers {
            let layer = format!("vision_encoder.encoder.blocks.{layer}");
            self.affine(&format!("{layer}.norm1"), &[d]);
            self.learned(&format!("{layer}.attn.q_bias"), &[d]);
            self.learned(&format!("{layer}.attn.v_bias"), &[d]);
            self.learned(&format!("{layer}.attn.qkv.weight"), &[3 * d, d]);
            self.affine(&format!("{layer}.attn.proj"), &[d, d]);
            self.affine(&format!("{layer}.norm2"), &[d]);
            self.affine(&format!("{layer}.mlp.fc1"), &[video.ffn, d]);
            self.affine(&format!("{layer}.mlp.fc2"), &[d, video.ffn]);
        }
    }

    fn temporal(&mut self, video: &VideoConfig) {
        let (d, Some(temporal)) = (video.hidden, &video.temporal) else { return };
        if temporal.frames > 0 {
            self.learned("temporal_embeddings", &[1, temporal.frames, 1, d]);
        }
        for layer in 0..temporal.layers {
            self.bert_layer(&format!("temporal_vision_encoder.layer.{layer}"), [d, temporal.ffn], None);
        }
    }

    fn video(&mut self, video: &VideoConfig) {
        let d = video.hidden;
        self.learned("vision_encoder.embeddings.cls_token", &[1, 1, d]);
        let patch = [d, 3, video.patch_size, video.patch_size];
        self.affine("vision_encoder.embeddings.patch_embeddings.projection", &patch);
        for layer in 0..video.layers {
            let layer = format!("vision_encoder.encoder.layer.{layer}");
            self.learned(&format!("{layer}.lambda_1"), &[d]);
            self.learned(&format!("{layer}.lambda_2"), &[d]);
            let attention = format!("{layer}.attention.attention");
            self.affine(&format!("{attention}.query"), &[d, d]);
            self.learned(&format!("{attention}.key.weight"), &[d, d]);
            self.affine(&format!("{attention}.value"), &[d, d]);
            let table = format!("{attention}.relative_position_bias.relative_position_bias_table");
            self.learned(&table, &[video.table_rows(), video.heads]);
            self.affine(&format!("{layer}.attention.output.dense"), &[d, d]);
            self.affine(&format!("{layer}.intermediate.dense"), &[video.ffn, d]);
            self.affine(&format!("{layer}.output.dense"), &[d, video.ffn]);
            self.affine(&format!("{layer}.layernorm_before"), &[d]);
            self.affine(&format!("{layer}.layernorm_after"), &[d]);
        }
    }

    /// A BERT under `root`, with cross-attention to states of width `other` from layer `fusion` on.
    fn bert(&mut self, root: &str, text: &TextConfig, layers: std::ops::Range<usize>, fusion: usize, other: usize) {
        let (d, embeddings) = (text.hidden, format!("{root}.bert.embeddings"));
        let name = format!("{embeddings}.position_ids");
        let counting = TensorSpec { name, shape: vec![1, text.max_positions], kind: TensorContent::Counting };
        self.0.push(WeightKey { outline: counting, tied: None });
        self.learned(&format!("{embeddings}.word_embeddings.weight"), &[text.vocab_size, d]);
        self.learned(&format!("{embeddings}.position_embeddings.weight"), &[text.max_positions, d]);
        self.learned(&format!("{embeddings}.token_type_embeddings.weight"), &[text.type_vocab_size, d]);
        self.affine(&format!("{embeddings}.LayerNorm"), &[d]);
        for index in layers {
            let cross = (index >= fusion).then_some(other);
            self.bert_layer(&format!("{root}.bert.encoder.layer.{index}"), [d, text.ffn], cross);
        }
    }

    /// A layer of width `d` with `ffn` inside, and with cross-attention to states of width `other` where that is given.
    fn bert_layer(&mut self, layer: &str, [d, ffn]: [usize; 2], other: Option<usize>) {
        self.attention(&format!("{layer}.attention"), d, d);
        if let Some(other) = other {
            self.attention(&format!("{layer}.crossattention"), d, other);
        }
        self.affine(&format!("{layer}.intermediate.dense"), &[ffn, d]);
        self.affine(&format!("{layer}.output.dense"), &[d, ffn]);
        self.affine(&format!("{layer}.output.LayerNorm"), &[d]);
    }

    fn attention(&mut self, name: &str, d: usize, other: usize) {
        self.affine(&format!("{name}.self.query"), &[d, d]);
        self.affine(&format!("{name}.self.key"), &[d, other]);
        self.affine(&format!("{name}.self.value"), &[d, other]);
        self.affine(&format!("{name}.output.dense"), &[d, d]);
        self.affine(&format!("{name}.output.LayerNorm"), &[d]);
    }

    fn language_head(&mut self, root: &str, text: &TextConfig) {
        let head = format!("{root}.cls.predictions");
        self.learned(&format!("{head}.bias"), &[text.vocab_size]);
        self.affine(&format!("{head}.transform.dense"), &[text.hidden, text.hidden]);
        self.affine(&format!("{head}.transform.LayerNorm"), &[text.hidden]);
        self.affine(&format!("{head}.decoder"), &[text.vocab_size, text.hidden]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_model_has_the_published_keys() {
        let base = keys(&ModelConfig::base(4), CheckpointPart::Pretraining);
        let learned: Vec<&WeightKey> = base.iter().filter(|key| key.is_learned()).collect();
        let elements: usize = learned.iter().map(|key| key.outline.shape.iter().product::<usize>()).sum();
        // 462 parameters, 203 394 653 elements; with position_ids and two tied copies the 465 keys that are left of
        // the official 477 without the 12 index buffers.
        assert_eq!((learned.len(), elements, base.len()), (462, 203_394_653, 465));
        assert_eq!(base.iter().filter(|key| key.tied.is_some()).count(), 2);
    }

    #[test]
    fn umt_has_as_many_parameters_as_the_official_classes() {
        let count = |config: &ModelConfig, part| {
            let keys = keys(config, part);
            let learned = keys.iter().filter(|key| key.is_learned());
            (keys.len(), learned.map(|key| key.outline.shape.iter().product::<usize>()).sum::<usize>())
        };
        // Of the stage-2 files, 580 and 1092 tensors, 152 and 296 are the teacher's and 24 its decoders'. Of 291.6 M
        // parameters 86.2 M are the teacher's.
        let (base, large) = (ModelConfig::umt_base(4), ModelConfig::umt_large(4));
        assert_eq!(count(&base, CheckpointPart::Pretraining).0, 580 - 152 - 24);
        assert_eq!(count(&large, CheckpointPart::Pretraining).0, 1092 - 296 - 24);
        assert_eq!(count(&base, CheckpointPart::QuestionAnswering).0, 479);
        assert_eq!(count(&large, CheckpointPart::QuestionAnswering).0, 899);
        assert_eq!(count(&base, CheckpointPart::QuestionAnswering).1 / 100_000, 2544);
        assert_eq!(count(&large, CheckpointPart::QuestionAnswering).1 / 100_000, 7750);
    }

    #[test]
    fn question_answering_has_its_own_names() {
        let keys = keys(&ModelConfig::tiny(4), CheckpointPart::QuestionAnswering);
        let names: Vec<String> =
            keys.iter().map(|key| file_name(CheckpointPart::QuestionAnswering, &key.outline.name)).collect();
        for name in [
            "text_encoder.encoder.layer.3.crossattention.self.key.weight",
            "text_decoder.bert.encoder.layer.0.crossattention.self.key.weight",
            "text_decoder.cls.predictions.decoder.bias",
        ] {
            assert!(names.iter().any(|other| other == name), "{name}");
        }
        assert!(
            !names.iter().any(|name| name == "temp" || name.contains("pooler") || name.contains("text_encoder.cls"))
        );
    }
}
