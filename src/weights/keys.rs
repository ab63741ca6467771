//! The map between this crate's module paths and the official keys, written once for both directions.
//!
//! PyTorch stores a linear map as `[out, in]`, Burn as `[in, out]`; the video layers keep query, key and value in one
//! matrix; the patch embedding is a convolution there and a linear map here. Singularity's keys are SViTT's and some
//! more; UMT's video encoder has names of its own.

use crate::config::{Family, VideoConfig};

/// How a video encoder's tensors are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// As BEiT's in the transformers library (SViTT, Singularity).
    Beit,
    /// As UMT's.
    Umt,
}

impl Naming {
    /// The names of an encoder of this make.
    pub fn of(video: &VideoConfig) -> Self {
        if video.family() == Family::Umt { Self::Umt } else { Self::Beit }
    }

    /// The names of a module with parameters at `paths`: a video encoder without class token is UMT's.
    pub fn of_paths<'a>(mut paths: impl Iterator<Item = &'a str> + Clone) -> Self {
        let has_video = paths.clone().any(|path| path.starts_with("video.layers."));
        if has_video && !paths.any(|path| path == "video.embeddings.cls_token") { Self::Umt } else { Self::Beit }
    }
}

/// How a parameter is stored in an official checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamLayout {
    /// In the same order; only the listed sizes may differ (`[1]` for a scalar).
    Same(String),
    /// As the transposed matrix, its input axis perhaps in several dimensions.
    Transposed(String),
    /// As several transposed matrices, side by side here.
    Columns(Vec<String>),
}

impl ParamLayout {
    /// The official keys the parameter is made of.
    pub fn keys(&self) -> &[String] {
        match self {
            Self::Same(key) | Self::Transposed(key) => std::slice::from_ref(key),
            Self::Columns(keys) => keys,
        }
    }
}

/// Beginnings of module paths and what they are called officially.
const ROOTS: [(&str, &str); 17] = [
    ("video.embeddings.projection.", "vision_encoder.embeddings.patch_embeddings.projection."),
    ("video.embeddings.", "vision_encoder.embeddings."),
    ("video.layers.", "vision_encoder.encoder.layer."),
    ("video.pool_norm.", "vision_encoder.pooler.layernorm."),
    ("video_norm.", "vision_layernorm."),
    ("text.embeddings.", "text_encoder.bert.embeddings."),
    ("text.layers.", "text_encoder.bert.encoder.layer."),
    ("text.mlm.", "text_encoder.cls.predictions."),
    ("decoder.embeddings.", "text_decoder.bert.embeddings."),
    ("decoder.layers.", "text_decoder.bert.encoder.layer."),
    ("decoder.mlm.", "text_decoder.cls.predictions."),
    ("video_proj.", "vision_proj."),
    ("text_proj.", "text_proj."),
    ("itm_head.", "itm_head."),
    ("temporal.embeddings", "temporal_embeddings"),
    ("temporal.layers.", "temporal_vision_encoder.layer."),
    ("temp", "temp"),
];

/// What is called otherwise in UMT.
const UMT_ROOTS: [(&str, &str); 4] = [
    ("video.embeddings.projection.", "vision_encoder.encoder.patch_embed.proj."),
    ("video.layers.", "vision_encoder.encoder.blocks."),
    ("video.pool_norm.", "vision_encoder.pool_norm."),
    ("video_norm.", "vision_encoder.encoder.norm."),
];

/// Parts of a video layer.
const VIDEO_LAYER: [(&str, &str); 9] = [
    ("norm_before.", "layernorm_before."),
    ("norm_after.", "layernorm_after."),
    ("query_bias", "attention.attention.query.bias"),
    ("value_bias", "attention.attention.value.bias"),
    ("position_table", "attention.attention.relative_position_bias.relative_position_bias_table"),
    ("attention_out.", "attention.output.dense."),
    ("up.", "intermediate.dense."),
    ("down.", "output.dense."),
    ("lambda_", "lambda_"),
];

/// Parts of a video layer of UMT.
const UMT_LAYER: [(&str, &str); 7] = [
    ("norm_before.", "norm1."),
    ("norm_after.", "norm2."),
    ("query_bias", "attn.q_bias"),
    ("value_bias", "attn.v_bias"),
    ("attention_out.", "attn.proj."),
    ("up.", "mlp.fc1."),
    ("down.", "mlp.fc2."),
];

/// Parts of a BERT layer.
const BERT_LAYER: [(&str, &str); 13] = [
    ("attention.query.", "attention.self.query."),
    ("attention.key.", "attention.self.key."),
    ("attention.value.", "attention.self.value."),
    ("attention.output.", "attention.output.dense."),
    ("attention.norm.", "attention.output.LayerNorm."),
    ("cross_attention.query.", "crossattention.self.query."),
    ("cross_attention.key.", "crossattention.self.key."),
    ("cross_attention.value.", "crossattention.self.value."),
    ("cross_attention.output.", "crossattention.output.dense."),
    ("cross_attention.norm.", "crossattention.output.LayerNorm."),
    ("intermediate.", "intermediate.dense."),
    ("output.", "output.dense."),
    ("norm.", "output.LayerNorm."),
];

/// Parts of BERT's embeddings and of its language head.
const BERT_REST: [(&str, &str); 6] = [
    ("word.", "word_embeddings."),
    ("position.", "position_embeddings."),
    ("token_type.", "token_type_embeddings."),
    ("dense.", "transform.dense."),
    ("norm.", "LayerNorm."),
    ("bias", "bias"),
];

/// The official keys of the parameter at `path` (fields and indices, joined by dots) under `naming`; none if it has none.
pub fn layout(path: &str, naming: Naming) -> Option<ParamLayout> {
    let own: &[(&str, &str)] = if naming == Naming::Umt { &UMT_ROOTS } else { &[] };
    let (root, rest) = own.iter().chain(&ROOTS).find_map(|(ours, theirs)| Some((*theirs, path.strip_prefix(ours)?)))?;
    if root.ends_with(".layer.") || root.ends_with(".blocks.") {
        let (index, rest) = rest.split_once('.')?;
        return layer_part(&format!("{root}{index}."), rest);
    }
    if root.starts_with("text_") && (root.contains(".bert.") || root.contains(".cls.")) {
        let head_norm = root.ends_with(".predictions.").then(|| rest.strip_prefix("norm.")).flatten();
        return match head_norm {
            Some(leaf) => leaf_of(&format!("{root}transform.LayerNorm."), leaf),
            None => translated(root, rest, &BERT_REST),
        };
    }
    leaf_of(root, rest)
}

fn layer_part(root: &str, rest: &str) -> Option<ParamLayout> {
    if !root.starts_with("vision_encoder.") {
        return translated(root, rest, &BERT_LAYER);
    }
    if root.starts_with("vision_encoder.encoder.blocks.") {
        return match rest {
            "qkv" => Some(ParamLayout::Transposed(format!("{root}attn.qkv.weight"))),
            _ => translated(root, rest, &UMT_LAYER),
        };
    }
    if rest == "qkv" {
        let key = |name| format!("{root}attention.attention.{name}.weight");
        return Some(ParamLayout::Columns(["query", "key", "value"].map(key).to_vec()));
    }
    translated(root, rest, &VIDEO_LAYER)
}

fn translated(root: &str, rest: &str, parts: &[(&str, &str)]) -> Option<ParamLayout> {
    let (part, leaf) = parts.iter().find_map(|(ours, theirs)| Some((*theirs, rest.strip_prefix(ours)?)))?;
    leaf_of(&format!("{root}{part}"), leaf)
}

/// `stem` plus the name of a field of one of Burn's own modules; of ours, the field is empty or named alike.
fn leaf_of(stem: &str, leaf: &str) -> Option<ParamLayout> {
    Some(match leaf {
        "weight" if stem.ends_with("_embeddings.") && !stem.contains("patch") => {
            ParamLayout::Same(format!("{stem}weight"))
        }
        "weight" => ParamLayout::Transposed(format!("{stem}weight")),
        "gamma" => ParamLayout::Same(format!("{stem}weight")),
        "beta" => ParamLayout::Same(format!("{stem}bias")),
        _ => ParamLayout::Same(format!("{stem}{leaf}")),
    })
}

/// `matrix` `[rows, columns]`, row-major, as `[columns, rows]`.
pub fn transpose(matrix: &[f32], rows: usize) -> Vec<f32> {
    let columns = matrix.len().checked_div(rows).unwrap_or(0);
    let mut result = Vec::with_capacity(matrix.len());
    for column in 0..columns {
        result.extend((0..rows).map(|row| matrix[row * columns + column]));
    }
    result
}

/// The columns of `matrix` `[rows, parts · width]` that belong to part `part` of `parts`, as `[rows, width]`.
pub fn columns(matrix: &[f32], rows: usize, part: usize, parts: usize) -> Vec<f32> {
    let width = matrix.len() / (rows * parts).max(1);
    matrix.chunks(width * parts).flat_map(|row| &row[part * width..(part + 1) * width]).copied().collect()
}

/// Matrices of `rows` rows each, side by side.
pub fn concat_columns(matrices: &[Vec<f32>], rows: usize) -> Vec<f32> {
    let mut result = Vec::with_capacity(matrices.iter().map(Vec::len).sum());
    for row in 0..rows {
        for matrix in matrices {
            let width = matrix.len() / rows;
            result.extend_from_slice(&matrix[row * width..(row + 1) * width]);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_the_official_keys() {
        let of = |path| layout(path, Naming::Beit);
        let same = |key: &str| Some(ParamLayout::Same(key.to_string()));
        let transposed = |key: &str| Some(ParamLayout::Transposed(key.to_string()));
        assert_eq!(of("temp"), same("temp"));
        assert_eq!(of("video.embeddings.cls_token"), same("vision_encoder.embeddings.cls_token"));
        let patch = "vision_encoder.embeddings.patch_embeddings.projection.weight";
        assert_eq!(of("video.embeddings.projection.weight"), transposed(patch));
        assert_eq!(of("video.layers.7.lambda_2"), same("vision_encoder.encoder.layer.7.lambda_2"));
        assert_eq!(
            of("video.layers.0.up.weight"),
            transposed("vision_encoder.encoder.layer.0.intermediate.dense.weight")
        );
        assert_eq!(of("video.pool_norm.gamma"), same("vision_encoder.pooler.layernorm.weight"));
        assert_eq!(of("text.embeddings.word.weight"), same("text_encoder.bert.embeddings.word_embeddings.weight"));
        assert_eq!(of("text.embeddings.norm.beta"), same("text_encoder.bert.embeddings.LayerNorm.bias"));
        assert_eq!(of("text.mlm.norm.gamma"), same("text_encoder.cls.predictions.transform.LayerNorm.weight"));
        assert_eq!(of("text.mlm.bias"), same("text_encoder.cls.predictions.bias"));
        let cross = "text_decoder.bert.encoder.layer.2.crossattention.self.key.weight";
        assert_eq!(of("decoder.layers.2.cross_attention.key.weight"), transposed(cross));
        assert_eq!(of("itm_head.bias"), same("itm_head.bias"));
        assert_eq!(of("video.layers.3.qkv").unwrap().keys().len(), 3);
        assert_eq!(of("unknown.weight"), None);
        assert_eq!(of("temporal.embeddings"), same("temporal_embeddings"));
        let query = "temporal_vision_encoder.layer.1.attention.self.query.weight";
        assert_eq!(of("temporal.layers.1.attention.query.weight"), transposed(query));
    }

    #[test]
    fn umt_has_names_of_its_own() {
        let of = |path| layout(path, Naming::Umt).unwrap().keys().to_vec();
        assert_eq!(of("video.layers.3.qkv"), ["vision_encoder.encoder.blocks.3.attn.qkv.weight"]);
        assert_eq!(of("video.layers.3.norm_after.gamma"), ["vision_encoder.encoder.blocks.3.norm2.weight"]);
        assert_eq!(of("video_norm.beta"), ["vision_encoder.encoder.norm.bias"]);
        assert_eq!(of("itm_head.bias"), ["itm_head.bias"]);
        let naming = |paths: [&str; 2]| Naming::of_paths(paths.into_iter());
        assert_eq!(naming(["video.layers.0.qkv", "temp"]), Naming::Umt);
        assert_eq!(naming(["video.layers.0.qkv", "video.embeddings.cls_token"]), Naming::Beit);
        assert_eq!(naming(["text.layers.0.output.bias", "temp"]), Naming::Beit);
    }

    #[test]
    fn matrices_are_cut_and_joined() {
        let matrix = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(transpose(&matrix, 2), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let parts: Vec<Vec<f32>> = (0..3).map(|part| columns(&matrix, 2, part, 3)).collect();
        assert_eq!(parts[1], [2.0, 5.0]);
        assert_eq!(concat_columns(&parts, 2), matrix);
    }
}
