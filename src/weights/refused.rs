//! Tests only: checkpoints that are wrong or incomplete, each refused by the name of what is wrong, and nothing written.

use super::safetensors::{TensorContent, TensorSpec, write};
use super::schema::{CheckpointPart, keys};
use super::{ImportOptions, import};
use crate::config::{ModelConfig, TemporalConfig};
use std::collections::BTreeMap;

/// Tensors by name.
type Tensors = BTreeMap<String, Vec<usize>>;

fn of(config: &ModelConfig, part: CheckpointPart) -> Tensors {
    keys(config, part).into_iter().map(|key| (key.outline.name, key.outline.shape)).collect()
}

fn umt() -> ModelConfig {
    let tiny = ModelConfig::tiny(4);
    ModelConfig { video: tiny.video.clone().umt(), ..tiny }
}

fn singularity() -> ModelConfig {
    let tiny = ModelConfig::tiny(2);
    let temporal = TemporalConfig { frames: 2, layers: 2, heads: 1, ffn: 256 };
    ModelConfig { video: tiny.video.clone().singularity(Some(temporal)), ..tiny }
}

/// What an import of a file with `tensors` says; each is filled with one number, that of its place.
fn said(tensors: &Tensors) -> Result<super::ImportSummary, String> {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("x.safetensors"), folder.path().join("out"));
    let outlines: Vec<TensorSpec> = tensors
        .iter()
        .map(|(name, shape)| TensorSpec { name: name.clone(), shape: shape.clone(), kind: TensorContent::Learned })
        .collect();
    write(&file, &outlines, &BTreeMap::new(), |name| Ok(vec![0.25; tensors[name].iter().product()])).unwrap();
    let imported = import(&file, &out, &ImportOptions::default()).map_err(|error| error.to_string());
    assert_eq!(imported.is_ok(), out.exists());
    imported
}

#[track_caller]
fn refused(tensors: &Tensors, says: &[&str]) {
    let message = said(tensors).unwrap_err();
    assert!(says.iter().all(|part| message.contains(part)), "{message}");
}

fn with(mut tensors: Tensors, name: &str, shape: &[usize]) -> Tensors {
    tensors.insert(name.to_string(), shape.to_vec());
    tensors
}

fn without(mut tensors: Tensors, name: &str) -> Tensors {
    tensors.remove(name).unwrap();
    tensors
}

fn prefixed(tensors: &Tensors, prefix: &str) -> Tensors {
    tensors.iter().map(|(name, shape)| (format!("{prefix}{name}"), shape.clone())).collect()
}

fn bert(words: usize, types: usize) -> Tensors {
    let table = |name: &str, rows: usize| (format!("embeddings.{name}_embeddings.weight"), vec![rows, 4]);
    [table("word", words), table("position", 6), table("token_type", types)].into()
}

#[test]
fn complete_ones_are_taken_with_whatever_wrappers() {
    let umt = with(of(&umt(), CheckpointPart::Pretraining), "clip_teacher.proj", &[3, 5]);
    let imported = said(&prefixed(&umt, "_orig_mod.module.model.module.")).unwrap();
    assert_eq!((imported.family, imported.report.set_aside.len()), ("umt", 1));
    assert!(imported.assumed.iter().any(|assumed| assumed.contains("video: 1 heads")), "{:?}", imported.assumed);
    assert_eq!(said(&of(&singularity(), CheckpointPart::Pretraining)).unwrap().family, "singularity");
}

#[test]
fn other_models_are_called_by_their_names() {
    refused(&prefixed(&bert(64, 2), "roberta."), &["RoBERTa"]);
    refused(&bert(64, 1), &["RoBERTa"]);
    refused(&with(Tensors::new(), "distilbert.transformer.layer.0.attention.q_lin.weight", &[4, 4]), &["DistilBERT"]);
    refused(&bert(28_996, 2), &["a cased BERT"]);
    refused(&with(Tensors::new(), "visual.transformer.resblocks.0.ln_1.weight", &[4]), &["CLIP"]);
    refused(&with(Tensors::new(), "vit.embeddings.patch_embeddings.projection.weight", &[4, 3, 2, 2]), &["ViT"]);
    refused(&with(Tensors::new(), "encoder.blocks.0.norm1.weight", &[4]), &["UMT's video encoder alone"]);
    refused(&with(Tensors::new(), "transformer.wte.weight", &[4, 4]), &["another model", "transformer.wte.weight"]);
}

#[test]
fn what_umt_lacks_or_has_too_much_is_named() {
    let all = of(&umt(), CheckpointPart::Pretraining);
    let name = "vision_encoder.encoder.blocks.1.attn.q_bias";
    refused(&without(all.clone(), name), &["lacks 1 tensors", name]);
    refused(&without(all.clone(), "itm_head.weight"), &["itm_head.weight"]);
    let name = "vision_encoder.encoder.blocks.1.gamma_1";
    refused(&with(all.clone(), name, &[64]), &["no use for 1", name]);
    let name = "vision_encoder.encoder.blocks.1.attn.qkv.weight";
    refused(&with(all.clone(), name, &[64, 64]), &["another shape", name]);
    let name = "vision_encoder.encoder.patch_embed.proj.weight";
    refused(&with(all.clone(), name, &[64, 3, 2, 8, 8]), &["span 2 frames"]);
    refused(&without(all.clone(), "text_encoder.bert.embeddings.position_embeddings.weight"), &["position_embeddings"]);
    refused(&with(all, "module.temp", &[]), &["one tensor twice", "module.temp"]);
    let name = "text_decoder.bert.encoder.layer.1.crossattention.self.key.weight";
    refused(&without(of(&umt(), CheckpointPart::QuestionAnswering), name), &[name]);
}

#[test]
fn what_singularity_lacks_or_has_too_much_is_named() {
    let all = of(&singularity(), CheckpointPart::Pretraining);
    let name = "temporal_vision_encoder.layer.1.output.dense.bias";
    refused(&without(all.clone(), name), &["lacks 1 tensors", name]);
    let name = "temporal_vision_encoder.layer.0.crossattention.self.key.bias";
    refused(&with(all.clone(), name, &[64]), &["no use for 1", name]);
    refused(&without(all.clone(), "temporal_embeddings"), &["temporal_embeddings"]);
    let table =
        "vision_encoder.encoder.layer.0.attention.attention.relative_position_bias.relative_position_bias_table";
    refused(&with(all.clone(), table, &[3 * 49 + 3, 4]), &["fit no clip length and grid"]);
    refused(&without(all, "vision_layernorm.bias"), &["vision_layernorm.bias"]);
}
