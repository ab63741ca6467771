//! Model sizes inferred from tensor shapes, the training configuration, and files beside the checkpoint.

use super::beside;
use super::position_tables::TableShape;
use super::schema::CheckpointPart;
use super::source::WeightSource;
use super::source_kind::SourceKind;
use crate::config::{
    Compat, CrossSparsity, EdgeSparsity, ModelConfig, NodeSparsity, Pooling, Positions, Selection, Sparsity,
    TemporalConfig, TextConfig, TokenOrder, VideoConfig,
};
use crate::input::shown;
use crate::{Error, Result};
use serde_json::Value as Json;

const TABLE: &str =
    "vision_encoder.encoder.layer.0.attention.attention.relative_position_bias.relative_position_bias_table";
const REMEDY: &str = "give a complete checkpoint";

/// What a checkpoint is inferred to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Inferred {
    /// Sizes and rules.
    pub model: ModelConfig,
    /// What was assumed because no tensor and no file says it, in words.
    pub assumed: Vec<String>,
}

/// The part of a model that a source of this kind gives.
pub fn part(kind: SourceKind) -> CheckpointPart {
    match kind {
        SourceKind::Beit => CheckpointPart::Video,
        SourceKind::Bert => CheckpointPart::Text,
        _ if kind.answers() => CheckpointPart::QuestionAnswering,
        _ => CheckpointPart::Pretraining,
    }
}

/// The configuration of the model in `source`; see [`inferred`].
///
/// # Errors
/// As [`inferred`].
pub fn model_config(source: &WeightSource, frames: Option<usize>) -> Result<ModelConfig> {
    Ok(inferred(source, frames)?.model)
}

/// The configuration of the model in `source`, for clips of `frames` frames or those it was trained with. Parts that
/// the source lacks get the sizes of the base model.
///
/// # Errors
/// A tensor that every model of the kind has is missing, or sizes contradict each other.
pub fn inferred(source: &WeightSource, frames: Option<usize>) -> Result<Inferred> {
    let (part, mut assumed) = (part(source.kind()), Vec::new());
    let mut config = ModelConfig::base(1);
    if part != CheckpointPart::Text {
        config.video = match source.kind() {
            SourceKind::Umt | SourceKind::UmtQa => umt_video(source, frames, &mut assumed)?,
            _ => video(source, frames)?,
        };
    }
    if part != CheckpointPart::Video {
        config.text = text(source, &config.video, &mut assumed)?;
    }
    if matches!(source.kind(), SourceKind::Singularity | SourceKind::SingularityQa) {
        let temporal = temporal(source, &config.text)?;
        config.video = config.video.singularity(temporal);
    }
    let embed_dim = source.shape("vision_proj.weight").and_then(|shape| shape.first().copied());
    let stated = number(source, "/embed_dim").or(number(source, "/model/embed_dim"));
    config.embed_dim = embed_dim.or(stated).unwrap_or(config.embed_dim);
    let temperature = setting(source, "/temp").or(setting(source, "/model/temp")).and_then(Json::as_f64);
    config.temperature = temperature.unwrap_or(config.temperature);
    let official = matches!(source.kind(), SourceKind::Svitt | SourceKind::SvittQa);
    config.compat = if official { Compat::Official } else { Compat::Corrected };
    config.validate()?;
    Ok(Inferred { model: config, assumed })
}

fn video(source: &WeightSource, frames: Option<usize>) -> Result<VideoConfig> {
    let [hidden, _, patch_size, _] = shape(source, "vision_encoder.embeddings.patch_embeddings.projection.weight")?;
    let [rows, heads] = shape(source, TABLE)?;
    let [ffn, _] = shape(source, "vision_encoder.encoder.layer.0.intermediate.dense.weight")?;
    let grid = number(source, "/image_res").map(|pixels| pixels / patch_size.max(1));
    let frame_by_frame = matches!(source.kind(), SourceKind::Singularity | SourceKind::SingularityQa);
    let known = if frame_by_frame { Some(1) } else { source.frames() };
    let table = table_shape(rows, known, grid).filter(|table| !frame_by_frame || table.frames == 1);
    let table = table.ok_or_else(|| {
        let problem = format!("its position tables of {rows} rows fit no clip length and grid");
        Error::file(source.path(), problem, REMEDY)
    })?;
    let trained = source.frames().unwrap_or(table.frames);
    let beit = beside::beit(source.path(), hidden).map(|(_, json)| json).unwrap_or_default();
    let base = ModelConfig::base(1).video;
    Ok(VideoConfig {
        image_size: table.grid * patch_size,
        patch_size,
        frames: frames.unwrap_or(trained),
        hidden,
        layers: layers(source, "vision_encoder.encoder.layer."),
        heads,
        ffn,
        order: order(source),
        sparsity: sparsity(source),
        layer_norm_eps: beit["layer_norm_eps"].as_f64().unwrap_or(base.layer_norm_eps),
        ..base
    })
}

/// UMT's encoder. Its head count and the size of its frames show in no tensor.
fn umt_video(source: &WeightSource, frames: Option<usize>, assumed: &mut Vec<String>) -> Result<VideoConfig> {
    let [hidden, _, tubelet, patch_size, _] = shape(source, "vision_encoder.encoder.patch_embed.proj.weight")?;
    let [ffn, _] = shape(source, "vision_encoder.encoder.blocks.0.mlp.fc1.weight")?;
    if tubelet != 1 {
        let problem = format!("its patches span {tubelet} frames; published models cut frames one by one");
        return Err(Error::file(source.path(), problem, "give one of the published checkpoints"));
    }
    let stated = |name: &str| number(source, &format!("/model/vision_encoder/{name}"));
    let mut or = |stated: Option<usize>, usual: usize, what: String| {
        stated.unwrap_or_else(|| {
            assumed.push(what);
            usual
        })
    };
    let heads = heads_of_64(hidden);
    let heads = or(stated("encoder_num_heads"), heads, format!("video: {heads} heads, 64 numbers in each"));
    let image_size = or(stated("img_size"), 224, "video: frames of 224 px".to_string());
    let usual = if source.is_fine_tuned() { 12 } else { 4 };
    let trained = frames.or(stated("num_frames")).or(number(source, "/num_frames"));
    let frames = or(trained, usual, format!("video: clips of {usual} frames"));
    let per_frame = setting(source, "/model/vision_encoder/keep_temporal").and_then(Json::as_bool).unwrap_or(true);
    let stretched_from = number(source, "/model/vision_encoder/ckpt_num_frame");
    let layers = layers(source, "vision_encoder.encoder.blocks.");
    let video =
        VideoConfig { image_size, patch_size, frames, hidden, layers, heads, ffn, ..ModelConfig::base(1).video };
    Ok(VideoConfig {
        pooling: if per_frame { Pooling::NormalisedPerFrame } else { Pooling::Normalised },
        positions: Positions::Sinusoid { stretched_from },
        ..video.umt()
    })
}

/// What joins the frames in a Singularity checkpoint, as its configuration says, or as its tensors do.
fn temporal(source: &WeightSource, text: &TextConfig) -> Result<Option<TemporalConfig>> {
    let flag = |pointer: &str| setting(source, pointer).and_then(Json::as_bool);
    if flag("/temporal_vision_encoder/update_pooler_embed") == Some(true) {
        let problem = "it pools the class tokens of its temporal encoder (`update_pooler_embed`), which no published \
                       model does";
        return Err(Error::file(source.path(), problem, "give one of the published checkpoints"));
    }
    let found = layers(source, "temporal_vision_encoder.layer.");
    if found == 0 && source.shape("temporal_embeddings").is_some_and(|shape| shape.get(1).is_some_and(|&rows| rows > 1))
    {
        let problem = "has temporal embeddings of several frames and no `temporal_vision_encoder`";
        return Err(Error::file(source.path(), problem, "give the whole checkpoint, its temporal encoder included"));
    }
    let layers = if flag("/temporal_vision_encoder/enable").unwrap_or(found > 0) { found } else { 0 };
    let [_, rows, _, _] = shape(source, "temporal_embeddings")?;
    let added = flag("/add_temporal_embed").unwrap_or(rows > 1 || layers > 0);
    let frames = if added { rows } else { 0 };
    let ffn = source.shape("temporal_vision_encoder.layer.0.intermediate.dense.weight").and_then(|shape| shape.first());
    let (heads, ffn) = (text.heads, ffn.copied().unwrap_or(text.ffn));
    Ok((frames + layers > 0).then_some(TemporalConfig { frames, layers, heads, ffn }))
}

/// The shape of tables with `rows` rows: for the clip length the checkpoint names, else for its grid, else an image
/// model's, else the shortest clip length that fits.
pub fn table_shape(rows: usize, frames: Option<usize>, grid: Option<usize>) -> Option<TableShape> {
    let named: Vec<usize> = frames.into_iter().collect();
    let of_grid = (1..=64).map(|frames| TableShape { frames, grid: grid.unwrap_or(0) });
    TableShape::of_rows(rows, &named)
        .filter(|shape| frames.is_some() || grid.is_none_or(|grid| grid == shape.grid))
        .or_else(|| of_grid.filter(|shape| shape.grid > 0).find(|shape| shape.rows() == rows))
        .or_else(|| TableShape::of_rows(rows, &(1..=64).collect::<Vec<_>>()))
}

fn text(source: &WeightSource, video: &VideoConfig, assumed: &mut Vec<String>) -> Result<TextConfig> {
    let [vocab_size, hidden] = shape(source, "text_encoder.bert.embeddings.word_embeddings.weight")?;
    let [max_positions, _] = shape(source, "text_encoder.bert.embeddings.position_embeddings.weight")?;
    let [type_vocab_size, _] = shape(source, "text_encoder.bert.embeddings.token_type_embeddings.weight")?;
    let [ffn, _] = shape(source, "text_encoder.bert.encoder.layer.0.intermediate.dense.weight")?;
    let layers = layers(source, "text_encoder.bert.encoder.layer.");
    let crossing = |layer: &usize| {
        source.shape(&format!("text_encoder.bert.encoder.layer.{layer}.crossattention.self.query.weight")).is_some()
    };
    let fusion_layer = (0..layers).find(crossing).unwrap_or(layers * 3 / 4);
    if source.kind() == SourceKind::Bert {
        let sizes = [("hidden_size", hidden), ("num_hidden_layers", layers), ("intermediate_size", ffn)];
        agrees_with_config(source, &[sizes[0], sizes[1], sizes[2], ("vocab_size", vocab_size)])?;
    }
    let heads = text_heads(source, hidden, video, assumed);
    let cross = cross(source, fusion_layer);
    let base = TextConfig::base(vocab_size);
    let stated = beside::bert(source.path(), hidden).map(|(_, json)| json).unwrap_or_default();
    let layer_norm_eps = stated["layer_norm_eps"].as_f64().unwrap_or(base.layer_norm_eps);
    let decoder = self::layers(source, "text_decoder.bert.encoder.layer.");
    let decoder_layers = Some(decoder).filter(|&decoder| decoder > 0 && decoder != layers.saturating_sub(fusion_layer));
    let sizes = TextConfig { hidden, layers, fusion_layer, heads, ffn, max_positions, type_vocab_size, ..base };
    Ok(TextConfig { cross, decoder_layers, layer_norm_eps, ..sizes })
}

/// Compares the sizes that tensors show with those that a configuration of the transformers library beside them states:
/// one of another model would be taken for the head count and the activation of this one.
fn agrees_with_config(source: &WeightSource, sizes: &[(&str, usize)]) -> Result<()> {
    let of_bert = |json: &Json| json.get("model_type").is_some() || json.get("hidden_size").is_some();
    let Some((name, stated)) = beside::beside(source.path(), &[beside::BERT, beside::PLAIN], of_bert) else {
        return Ok(());
    };
    let wrong = |problem: String| {
        let remedy = "put the configuration of these weights beside them, or none";
        Err(Error::file(source.path().with_file_name(name), problem, remedy))
    };
    if let Some(other) = stated["model_type"].as_str().filter(|kind| *kind != "bert") {
        return wrong(format!("is of the model `{}`, and the weights are BERT's", shown(other)));
    }
    if let Some(other) = stated["hidden_act"].as_str().filter(|act| *act != "gelu") {
        return wrong(format!("has the activation `{}`; models here have gelu", shown(other)));
    }
    for (key, ours) in sizes {
        if let Some(theirs) = stated[key].as_u64().filter(|theirs| *theirs != *ours as u64) {
            return wrong(format!("says `{key}` is {theirs}, and the weights have {ours}"));
        }
    }
    Ok(())
}

/// BERT's head count, which no shape shows: from a file beside the weights; in SViTT, where both encoders have one
/// width, the video encoder's; else 64 numbers in each.
fn text_heads(source: &WeightSource, hidden: usize, video: &VideoConfig, assumed: &mut Vec<String>) -> usize {
    let stated =
        beside::bert(source.path(), hidden).and_then(|(_, json)| beside::number(&json, "/num_attention_heads"));
    let svitt = matches!(source.kind(), SourceKind::Svitt | SourceKind::SvittQa) && hidden == video.hidden;
    stated.or(svitt.then_some(video.heads)).unwrap_or_else(|| {
        let heads = heads_of_64(hidden);
        assumed.push(format!("text: {heads} heads, 64 numbers in each"));
        heads
    })
}

fn heads_of_64(width: usize) -> usize {
    (width / 64).max(1)
}

fn sparsity(source: &WeightSource) -> Sparsity {
    let of = |name: &str| number(source, &format!("/vision_encoder_args/{name}"));
    // The official code attends sparsely as soon as this is not null, 0 included.
    let edge = of("sparse_random_attn").map(|random| {
        EdgeSparsity::new(of("sparse_local_attn").unwrap_or(1), random, of("attn_block_size").unwrap_or(1))
    });
    let keep = setting(source, "/vision_encoder_args/token_keep_rate").and_then(Json::as_f64);
    let node = keep.filter(|&rate| rate < 1.0).map(|keep_rate| NodeSparsity {
        keep_rate,
        layers: numbers(source, "/vision_encoder_args/token_drop_loc").unwrap_or_else(|| vec![3, 6, 9]),
        selection: selection(source, "/vision_encoder_args/token_keep_strategy"),
    });
    Sparsity { edge, node }
}

/// The settings the official code reads; the `joint_encoder_args` of its configurations are dead
/// (docs/model.md, "Cross-modal pruning").
fn cross(source: &WeightSource, fusion_layer: usize) -> Option<CrossSparsity> {
    let keep_rate = setting(source, "/text_encoder_args/token_keep_rate").and_then(Json::as_f64)?;
    (keep_rate < 1.0).then(|| CrossSparsity {
        keep_rate,
        layers: numbers(source, "/text_encoder_args/token_drop_loc").unwrap_or_else(|| vec![fusion_layer]),
        selection: selection(source, "/text_encoder_args/token_keep_strategy"),
    })
}

fn selection(source: &WeightSource, pointer: &str) -> Selection {
    match setting(source, pointer).and_then(Json::as_str) {
        Some("random") => Selection::Random,
        Some("avg_attn") => Selection::AverageAttention,
        _ => Selection::ClassAttention,
    }
}

fn order(source: &WeightSource) -> TokenOrder {
    match setting(source, "/vision_encoder_args/token_3d_order").and_then(Json::as_str) {
        Some("zcurve") => TokenOrder::ZCurve,
        Some("hilbert") => TokenOrder::Hilbert,
        _ => TokenOrder::Raster,
    }
}

/// Layers of an encoder: one more than the highest index in its keys.
fn layers(source: &WeightSource, prefix: &str) -> usize {
    let index = |name: &str| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
    source.names().filter_map(index).filter(|&layer| layer < 1024).max().map_or(0, |last| last + 1)
}

fn shape<const N: usize>(source: &WeightSource, name: &str) -> Result<[usize; N]> {
    let shape =
        source.shape(name).ok_or_else(|| Error::file(source.path(), format!("has no tensor `{name}`"), REMEDY))?;
    shape.try_into().map_err(|_| {
        Error::file(source.path(), format!("its tensor `{name}` has shape {shape:?}, not {N} sizes"), REMEDY)
    })
}

fn setting<'a>(source: &'a WeightSource, pointer: &str) -> Option<&'a Json> {
    source.config()?.pointer(pointer)
}

fn number(source: &WeightSource, pointer: &str) -> Option<usize> {
    beside::number(source.config()?, pointer)
}

fn numbers(source: &WeightSource, pointer: &str) -> Option<Vec<usize>> {
    let list = setting(source, pointer)?.as_array()?;
    list.iter().map(|number| number.as_u64().and_then(|number| usize::try_from(number).ok())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_off_the_micro_checkpoint() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity/checkpoint_micro_full.pth");
        let config = model_config(&WeightSource::open(path).unwrap(), None).unwrap();
        let VideoConfig { image_size, patch_size, frames, hidden, layers, heads, ffn, .. } = config.video;
        assert_eq!([image_size, patch_size, frames, hidden, layers, heads, ffn], [32, 16, 4, 16, 2, 2, 16]);
        let TextConfig { vocab_size, layers, fusion_layer, heads, ffn, .. } = config.text;
        assert_eq!([vocab_size, layers, fusion_layer, heads, ffn], [120, 3, 2, 2, 16]);
        assert_eq!((config.embed_dim, config.compat), (8, Compat::Official));
    }

    #[test]
    fn tables_name_their_clip_length() {
        let shape = |rows, frames, grid| table_shape(rows, frames, grid).map(|shape| (shape.frames, shape.grid));
        assert_eq!(shape(5106, Some(4), Some(14)), Some((4, 14)));
        assert_eq!(shape(732, Some(4), Some(14)), Some((1, 14)), "2-D tables although four frames are configured");
        assert_eq!(shape(738, None, Some(4)), Some((8, 4)));
        assert_eq!(shape(5106, None, None), Some((4, 14)));
    }
}
