//! Model sizes inferred from tensor shapes, the training configuration, and files beside the checkpoint.

use super::position_tables::TableShape;
use super::schema::CheckpointPart;
use super::source::WeightSource;
use super::source_kind::SourceKind;
use crate::config::{
    Compat, CrossSparsity, EdgeSparsity, ModelConfig, NodeSparsity, Selection, Sparsity, TextConfig, TokenOrder,
    VideoConfig,
};
use crate::{Error, Result};
use serde_json::Value as Json;

const TABLE: &str =
    "vision_encoder.encoder.layer.0.attention.attention.relative_position_bias.relative_position_bias_table";
const REMEDY: &str = "give a complete checkpoint";

/// The part of a model that a source of this kind gives.
pub fn part(kind: SourceKind) -> CheckpointPart {
    match kind {
        SourceKind::Svitt | SourceKind::Singularity => CheckpointPart::Pretraining,
        SourceKind::SvittQa => CheckpointPart::QuestionAnswering,
        SourceKind::Beit => CheckpointPart::Video,
        SourceKind::Bert => CheckpointPart::Text,
    }
}

/// The configuration of the model in `source`, for clips of `frames` frames or those it was trained with. Parts that
/// the source lacks get the sizes of the base model.
///
/// # Errors
/// A tensor that every model of the kind has is missing, or sizes contradict each other.
pub fn model_config(source: &WeightSource, frames: Option<usize>) -> Result<ModelConfig> {
    let part = part(source.kind());
    let mut config = ModelConfig::base(1);
    if part != CheckpointPart::Text {
        config.video = video(source, frames)?;
    }
    if part != CheckpointPart::Video {
        config.text = text(source, &config.video)?;
    }
    let embed_dim = source.shape("vision_proj.weight").and_then(|shape| shape.first().copied());
    config.embed_dim = embed_dim.or(number(source, "/embed_dim")).unwrap_or(config.embed_dim);
    config.temperature = setting(source, "/temp").and_then(Json::as_f64).unwrap_or(config.temperature);
    let official = matches!(source.kind(), SourceKind::Svitt | SourceKind::SvittQa);
    config.compat = if official { Compat::Official } else { Compat::Corrected };
    config.validate()?;
    Ok(config)
}

fn video(source: &WeightSource, frames: Option<usize>) -> Result<VideoConfig> {
    let [hidden, _, patch_size, _] = shape(source, "vision_encoder.embeddings.patch_embeddings.projection.weight")?;
    let [rows, heads] = shape(source, TABLE)?;
    let [ffn, _] = shape(source, "vision_encoder.encoder.layer.0.intermediate.dense.weight")?;
    let grid = number(source, "/image_res").map(|pixels| pixels / patch_size.max(1));
    let table = table_shape(rows, source.frames(), grid).ok_or_else(|| {
        let problem = format!("its position tables of {rows} rows fit no clip length and grid");
        Error::file(source.path(), problem, REMEDY)
    })?;
    let trained = source.frames().unwrap_or(table.frames);
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
        ..ModelConfig::base(1).video
    })
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

fn text(source: &WeightSource, video: &VideoConfig) -> Result<TextConfig> {
    let [vocab_size, hidden] = shape(source, "text_encoder.bert.embeddings.word_embeddings.weight")?;
    let [max_positions, _] = shape(source, "text_encoder.bert.embeddings.position_embeddings.weight")?;
    let [type_vocab_size, _] = shape(source, "text_encoder.bert.embeddings.token_type_embeddings.weight")?;
    let [ffn, _] = shape(source, "text_encoder.bert.encoder.layer.0.intermediate.dense.weight")?;
    let layers = layers(source, "text_encoder.bert.encoder.layer.");
    let crossing = |layer: &usize| {
        source.shape(&format!("text_encoder.bert.encoder.layer.{layer}.crossattention.self.query.weight")).is_some()
    };
    let fusion_layer = (0..layers).find(crossing).unwrap_or(layers * 3 / 4);
    let like_video = (hidden == video.hidden).then_some(video.heads);
    let heads = heads_beside(source, hidden).or(like_video).unwrap_or((hidden / 64).max(1));
    let cross = cross(source, fusion_layer);
    let base = TextConfig::base(vocab_size);
    Ok(TextConfig { hidden, layers, fusion_layer, heads, ffn, max_positions, type_vocab_size, cross, ..base })
}

/// BERT's head count, which no shape shows, from `config_bert.json` or `config.json` beside the weights; of a BERT of
/// another width they say nothing.
fn heads_beside(source: &WeightSource, hidden: usize) -> Option<usize> {
    ["config_bert.json", "config.json"].iter().find_map(|name| {
        let text = std::fs::read_to_string(source.path().with_file_name(name)).ok()?;
        let json: Json = serde_json::from_str(&text).ok()?;
        let bert = json["model_type"] == "bert" && json["hidden_size"].as_u64() == Some(hidden as u64);
        bert.then(|| json["num_attention_heads"].as_u64()).flatten().and_then(|heads| usize::try_from(heads).ok())
    })
}

fn sparsity(source: &WeightSource) -> Sparsity {
    let of = |name: &str| number(source, &format!("/vision_encoder_args/{name}"));
    // The official code attends sparsely as soon as this is not null, 0 included.
    let edge = of("sparse_random_attn").map(|random| EdgeSparsity {
        local: of("sparse_local_attn").unwrap_or(1),
        random,
        block: of("attn_block_size").unwrap_or(1),
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
    setting(source, pointer)?
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
        .filter(|&number| number < 1 << 20)
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
