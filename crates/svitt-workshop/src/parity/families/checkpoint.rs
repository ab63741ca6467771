//! Every tensor of every checkpoint, taken over and exported, bit for bit; and the sizes in the configurations.

use super::FamilySet;
use crate::parity::cases::read_json;
use crate::parity::checkpoint::{compare, tensors};
use crate::parity::report::FileCheck;
use crate::parity::tolerance::TensorKind;
use serde_json::Value as Json;
use svitt::Result;
use svitt::config::{ModelConfig, Positions};
use svitt::model::{Svitt, SvittQa};
use svitt::weights::beside::{BEIT, BERT, UMT, UMT_QA, number};
use svitt::weights::infer::{model_config, part};
use svitt::weights::{CheckpointPart, ExportedTensors, LoadReport, MatchOptions, WeightSource, load};
use svitt_ops::SvittBackend;

/// Compares every tensor of checkpoint `file` to what a model exports that was loaded from it; nothing may be missing,
/// and nothing left over but what is set aside by name.
///
/// # Errors
/// A file that cannot be read or does not fit its sizes.
pub fn check<B: SvittBackend>(set: &FamilySet<B>, file: &str, check: &mut FileCheck) -> Result<()> {
    let source = set.source(file)?;
    let config = model_config(&source, None)?;
    let (exported, report) = exported(set, &source, &config)?;
    check.violations("missing keys", report.missing.len());
    check.violations("unexpected keys", report.unused.len());
    for (name, tensor) in tensors(&set.folder.join(file))? {
        if report.set_aside.contains(&name) {
            check.set_aside(name);
        } else {
            compare::<B>(&name, &tensor, source.kind(), &exported, &config, check)?;
        }
    }
    Ok(())
}

fn exported<B: SvittBackend>(
    set: &FamilySet<B>,
    source: &WeightSource,
    config: &ModelConfig,
) -> Result<(ExportedTensors, LoadReport)> {
    let (part, options) = (part(source.kind()), MatchOptions::default());
    if part == CheckpointPart::QuestionAnswering {
        let (model, report) = load(SvittQa::<B>::new(config, 0, &set.device)?, source, config, part, &options)?;
        return Ok((ExportedTensors::of(&model), report));
    }
    let (model, report) = load(Svitt::<B>::new(config, 0, &set.device)?, source, config, part, &options)?;
    Ok((ExportedTensors::of(&model), report))
}

/// Compares the numbers of configuration `file` to the sizes that the checkpoints it is about show.
///
/// # Errors
/// The file or a checkpoint cannot be read.
pub fn check_sizes<B: SvittBackend>(
    set: &FamilySet<B>,
    file: &str,
    files: &[String],
    check: &mut FileCheck,
) -> Result<()> {
    let stated: Json = read_json(&set.folder.join(file))?;
    for checkpoint in files.iter().filter(|name| name.ends_with(".pth")) {
        let source = set.source(checkpoint)?;
        let config = model_config(&source, None)?;
        let about = match file {
            UMT_QA => source.kind().answers(),
            UMT => !source.kind().answers(),
            _ => true,
        };
        for (pointer, shown) in shown(file, &config).into_iter().filter(|_| about) {
            if let Some(stated) = number(&stated, pointer) {
                check.compare(format!("{checkpoint}{pointer}"), TensorKind::Exact, &[shown as f64], &[stated as f64]);
            }
        }
    }
    if check.is_empty() {
        check.uncovered("the file");
    }
    Ok(())
}

/// Where configuration `file` states the sizes of `config`.
fn shown(file: &str, ModelConfig { video, text, embed_dim, .. }: &ModelConfig) -> Vec<(&'static str, usize)> {
    let stretched = match video.positions {
        Positions::Sinusoid { stretched_from } => stretched_from,
        Positions::Relative => None,
    };
    match file {
        BEIT => vec![
            ("/hidden_size", video.hidden),
            ("/num_hidden_layers", video.layers),
            ("/num_attention_heads", video.heads),
            ("/intermediate_size", video.ffn),
            ("/image_size", video.image_size),
            ("/patch_size", video.patch_size),
        ],
        BERT => vec![
            ("/hidden_size", text.hidden),
            ("/num_hidden_layers", text.layers),
            ("/num_attention_heads", text.heads),
            ("/intermediate_size", text.ffn),
            ("/max_position_embeddings", text.max_positions),
            ("/type_vocab_size", text.type_vocab_size),
            ("/vocab_size", text.vocab_size),
            ("/fusion_layer", text.fusion_layer),
        ],
        UMT | UMT_QA => vec![
            ("/model/vision_encoder/img_size", video.image_size),
            ("/model/vision_encoder/patch_size", video.patch_size),
            ("/model/vision_encoder/encoder_embed_dim", video.hidden),
            ("/model/vision_encoder/encoder_depth", video.layers),
            ("/model/vision_encoder/encoder_num_heads", video.heads),
            ("/model/vision_encoder/num_frames", video.frames),
            ("/model/vision_encoder/ckpt_num_frame", stretched.unwrap_or(0)),
            ("/model/text_encoder/d_model", text.hidden),
            ("/model/text_encoder/fusion_layer", text.fusion_layer),
            ("/model/embed_dim", *embed_dim),
        ],
        _ => Vec::new(),
    }
}
