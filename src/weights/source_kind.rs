//! Which model a checkpoint is of, and its tensors' names under the official pretraining keys.

use crate::config::Family;

/// The models whose weights are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// SViTT after pretraining or retrieval fine-tuning; also what this crate writes.
    Svitt,
    /// SViTT for question answering: an encoder and an answer decoder.
    SvittQa,
    /// Singularity: an image encoder with 2-D tables, perhaps a temporal encoder behind it.
    Singularity,
    /// Singularity for question answering.
    SingularityQa,
    /// UMT after pretraining or retrieval fine-tuning.
    Umt,
    /// UMT for question answering.
    UmtQa,
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
            Self::SingularityQa => "Singularity for question answering",
            Self::Umt => "UMT",
            Self::UmtQa => "UMT for question answering",
            Self::Beit => "BEiT",
            Self::Bert => "BERT",
        }
    }

    /// The name of the model's line in reports.
    pub fn family(self) -> &'static str {
        match self {
            Self::Svitt | Self::SvittQa => "svitt",
            Self::Singularity | Self::SingularityQa => "singularity",
            Self::Umt | Self::UmtQa => "umt",
            Self::Beit => "beit",
            Self::Bert => "bert",
        }
    }

    /// Whether it has an answer decoder.
    pub fn answers(self) -> bool {
        matches!(self, Self::SvittQa | Self::SingularityQa | Self::UmtQa)
    }

    /// Of a model of `family`, with an answer decoder or without.
    pub fn of_family(family: Family, answers: bool) -> Self {
        match (family, answers) {
            (Family::Svitt, false) => Self::Svitt,
            (Family::Svitt, true) => Self::SvittQa,
            (Family::Singularity, false) => Self::Singularity,
            (Family::Singularity, true) => Self::SingularityQa,
            (Family::Umt, false) => Self::Umt,
            (Family::Umt, true) => Self::UmtQa,
        }
    }

    /// The kind of a checkpoint with tensors called `names`; none if it is of another model.
    pub fn of<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<Self> {
        let any = |test: &dyn Fn(&str) -> bool| names.clone().any(|name| test(bare(name)));
        let answers = any(&|name| name.starts_with("text_decoder."));
        if any(&|name| name.starts_with("vision_encoder.encoder.patch_embed.")) {
            return Some(Self::of_family(Family::Umt, answers));
        }
        if any(&|name| name.starts_with("vision_encoder.")) && any(&|name| name.starts_with("text_encoder.")) {
            let frame_by_frame = any(&|name| name.starts_with("temporal_"));
            return Some(Self::of_family(if frame_by_frame { Family::Singularity } else { Family::Svitt }, answers));
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
            Self::Beit if name.starts_with("vision_encoder.") => name.to_string(),
            Self::Beit => format!("vision_encoder.{}", name.strip_prefix("beit.").unwrap_or(name)),
            Self::Bert if name.starts_with("text_encoder.") => name.to_string(),
            Self::Bert if name.starts_with("bert.") || name.starts_with("cls.") => format!("text_encoder.{name}"),
            Self::Bert => format!("text_encoder.bert.{name}"),
            _ => name.to_string(),
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
            Self::Svitt | Self::Singularity | Self::Umt | Self::Beit => false,
            Self::SvittQa | Self::SingularityQa | Self::UmtQa => {
                name.starts_with("vision_encoder.pooler.") || name.starts_with("vision_encoder.pool_norm.")
            }
            Self::Bert => name.contains(".crossattention."),
        }
    }

    /// Whether the tensor `name` of a checkpoint of this kind serves its training or another task, and nothing here.
    pub fn sets_aside(self, name: &str) -> bool {
        let beginnings: &[&str] = match self {
            Self::Umt | Self::UmtQa => &["clip_teacher.", "vision_encoder.clip_decoder."],
            // The norm, the word head and the mask of the model that predicts hidden patches; the classifier.
            Self::Beit => &[
                "vision_encoder.layernorm.",
                "vision_encoder.lm_head.",
                "vision_encoder.embeddings.mask_token",
                "vision_encoder.classifier.",
            ],
            Self::Bert => &["text_encoder.bert.pooler.", "text_encoder.cls.seq_relationship."],
            _ => &[],
        };
        beginnings.iter().any(|beginning| name.starts_with(beginning))
    }
}

/// What comparable checkpoints are called that this program cannot use, by the beginnings of their tensors' names.
const OTHERS: [(&str, &str); 12] = [
    ("roberta.", "RoBERTa"),
    ("distilbert.", "DistilBERT"),
    ("transformer.layer.0.attention.q_lin.", "DistilBERT"),
    ("albert.", "ALBERT"),
    ("electra.", "ELECTRA"),
    ("deberta.", "DeBERTa"),
    ("vit.", "ViT"),
    ("deit.", "DeiT"),
    ("visual.", "CLIP"),
    ("vision_model.", "CLIP"),
    ("text_model.", "CLIP"),
    ("encoder.blocks.", "UMT's video encoder alone"),
];

/// The model that tensors called `names` are of, if it is a known one that cannot be used here.
pub fn other_model<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<&'static str> {
    let found = |beginning: &str| names.clone().any(|name| bare(name).starts_with(beginning));
    OTHERS.iter().find(|(beginning, _)| found(beginning)).map(|(_, model)| *model)
}

/// The name without the prefixes of PyTorch's wrappers: data parallelism, compilation, a module inside another.
pub fn bare(name: &str) -> &str {
    let inner = ["module.", "_orig_mod.", "model."].iter().find_map(|prefix| name.strip_prefix(prefix));
    inner.map_or(name, bare)
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
            (SourceKind::Umt, "_orig_mod.module.model.temp", "temp"),
            (SourceKind::Umt, "text_encoder.embeddings.LayerNorm.bias", "text_encoder.bert.embeddings.LayerNorm.bias"),
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
        let umt = ["model.vision_encoder.encoder.patch_embed.proj.bias", "text_encoder.y", "text_decoder.z"];
        assert_eq!((kind(&umt[..2]), kind(&umt)), (Some(SourceKind::Umt), Some(SourceKind::UmtQa)));
        assert_eq!(kind(&[both[0], both[1], "temporal_embeddings", umt[2]]), Some(SourceKind::SingularityQa));
        let other = |name: &str| other_model([name].into_iter());
        assert_eq!(other("module.roberta.embeddings.word_embeddings.weight"), Some("RoBERTa"));
        assert_eq!(other("transformer.layer.0.attention.q_lin.weight"), Some("DistilBERT"));
        assert_eq!(other("bert.embeddings.word_embeddings.weight"), None);
    }
}
