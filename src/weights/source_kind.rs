//! Which model a checkpoint is of, and its tensors' names under the official pretraining keys.

/// The models whose weights are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// SViTT after pretraining or retrieval fine-tuning; also what this crate writes.
    Svitt,
    /// SViTT for question answering: an encoder and an answer decoder.
    SvittQa,
    /// Singularity: an image encoder with 2-D tables, perhaps a temporal encoder that SViTT does not have.
    Singularity,
    /// The image encoder BEiT of the transformers library.
    Beit,
    /// The text encoder BERT of the transformers library.
    Bert,
}

impl SourceKind {
    /// The model's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Svitt => "SViTT",
            Self::SvittQa => "SViTT for question answering",
            Self::Singularity => "Singularity",
            Self::Beit => "BEiT",
            Self::Bert => "BERT",
        }
    }

    /// The kind of a checkpoint with tensors called `names`; none if it is of another model.
    pub fn of<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<Self> {
        let any = |test: &dyn Fn(&str) -> bool| names.clone().any(|name| test(bare(name)));
        if any(&|name| name.starts_with("vision_encoder.")) && any(&|name| name.starts_with("text_encoder.")) {
            return Some(if any(&|name| name.starts_with("text_decoder.")) {
                Self::SvittQa
            } else if any(&|name| name.starts_with("temporal_")) {
                Self::Singularity
            } else {
                Self::Svitt
            });
        }
        if any(&|name| name.ends_with("embeddings.patch_embeddings.projection.weight")) {
            return Some(Self::Beit);
        }
        any(&|name| name.ends_with("embeddings.word_embeddings.weight")).then_some(Self::Bert)
    }

    /// The official pretraining key of the tensor called `name` in a checkpoint of this kind.
    pub fn canonical(self, name: &str) -> String {
        let name = bare(name);
        let full = match self {
            Self::Svitt | Self::SvittQa | Self::Singularity => name.to_string(),
            Self::Beit if name.starts_with("vision_encoder.") => name.to_string(),
            Self::Beit => format!("vision_encoder.{}", name.strip_prefix("beit.").unwrap_or(name)),
            Self::Bert if name.starts_with("text_encoder.") => name.to_string(),
            Self::Bert if name.starts_with("bert.") || name.starts_with("cls.") => format!("text_encoder.{name}"),
            Self::Bert => format!("text_encoder.bert.{name}"),
        };
        let full = match full.strip_prefix("text_encoder.") {
            Some(rest) if rest.starts_with("embeddings.") || rest.starts_with("encoder.") => {
                format!("text_encoder.bert.{rest}")
            }
            _ => full,
        };
        match (full.strip_suffix("LayerNorm.gamma"), full.strip_suffix("LayerNorm.beta")) {
            (Some(stem), _) => format!("{stem}LayerNorm.weight"),
            (_, Some(stem)) => format!("{stem}LayerNorm.bias"),
            _ => full,
        }
    }

    /// Whether models of this kind never have the tensor `name`, so that it is initialised.
    pub fn never_has(self, name: &str) -> bool {
        match self {
            Self::Svitt | Self::Singularity | Self::Beit => false,
            Self::SvittQa => name.starts_with("vision_encoder.pooler."),
            Self::Bert => name.contains(".crossattention."),
        }
    }
}

/// The name without the prefix of PyTorch's data-parallel wrapper.
fn bare(name: &str) -> &str {
    name.strip_prefix("module.").unwrap_or(name)
}

/// Whether `name` is an index buffer: int64 numbers that follow from the sizes of the model, rebuilt and never loaded.
pub fn is_index_buffer(name: &str) -> bool {
    name.ends_with(".relative_position_index") || name.ends_with(".position_ids")
}

/// The tensor that `name` is a stored copy of, where PyTorch ties two names to one parameter.
pub fn tied_to(name: &str) -> Option<String> {
    let stem = name.strip_suffix(".cls.predictions.decoder.weight");
    stem.map(|stem| format!("{stem}.bert.embeddings.word_embeddings.weight")).or_else(|| {
        let stem = name.strip_suffix(".cls.predictions.decoder.bias")?;
        Some(format!("{stem}.cls.predictions.bias"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_maps_to_the_pretraining_keys() {
        let cases = [
            (SourceKind::Svitt, "module.temp", "temp"),
            (
                SourceKind::Svitt,
                "text_encoder.encoder.layer.3.output.dense.bias",
                "text_encoder.bert.encoder.layer.3.output.dense.bias",
            ),
            (SourceKind::Svitt, "text_encoder.cls.predictions.bias", "text_encoder.cls.predictions.bias"),
            (
                SourceKind::SvittQa,
                "text_decoder.bert.encoder.layer.0.output.dense.bias",
                "text_decoder.bert.encoder.layer.0.output.dense.bias",
            ),
            (SourceKind::Beit, "beit.encoder.layer.0.lambda_1", "vision_encoder.encoder.layer.0.lambda_1"),
            (SourceKind::Beit, "embeddings.cls_token", "vision_encoder.embeddings.cls_token"),
            (SourceKind::Bert, "bert.embeddings.LayerNorm.gamma", "text_encoder.bert.embeddings.LayerNorm.weight"),
            (SourceKind::Bert, "embeddings.LayerNorm.beta", "text_encoder.bert.embeddings.LayerNorm.bias"),
            (
                SourceKind::Bert,
                "cls.predictions.transform.LayerNorm.gamma",
                "text_encoder.cls.predictions.transform.LayerNorm.weight",
            ),
        ];
        for (kind, name, expected) in cases {
            assert_eq!(kind.canonical(name), expected);
        }
    }

    #[test]
    fn kinds_are_told_apart_by_their_keys() {
        let kind = |names: &[&str]| SourceKind::of(names.iter().copied());
        let both = ["module.vision_encoder.x", "module.text_encoder.y"];
        assert_eq!(kind(&both), Some(SourceKind::Svitt));
        assert_eq!(kind(&[both[0], both[1], "module.text_decoder.y"]), Some(SourceKind::SvittQa));
        assert_eq!(kind(&[both[0], both[1], "temporal_embeddings"]), Some(SourceKind::Singularity));
        assert_eq!(kind(&["vision_encoder.embeddings.patch_embeddings.projection.weight"]), Some(SourceKind::Beit));
        assert_eq!(kind(&["beit.embeddings.patch_embeddings.projection.weight"]), Some(SourceKind::Beit));
        assert_eq!(kind(&["embeddings.word_embeddings.weight"]), Some(SourceKind::Bert));
        assert_eq!(kind(&["transformer.wte.weight"]), None);
    }
}
