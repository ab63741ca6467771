//! `checkpoint_*`: every tensor read from PyTorch's format and from safetensors, taken over, exported, bit for bit.

use super::cases::{BEIT, BERT, Case, read_json};
use super::context::{ParityContext, loaded};
use super::fixture::invalid;
use super::position_tables::relative_index;
use super::report::FileCheck;
use super::tokenization::numbers;
use super::tolerance::TensorKind;
use burn::tensor::backend::Backend;
use serde_json::{Map, Value as Json};
use std::path::{Path, PathBuf};
use svitt::Result;
use svitt::config::{Compat, ModelConfig};
use svitt::weights::infer::model_config;
use svitt::weights::source_kind::tied_to;
use svitt::weights::{ExportedTensors, HostTensor, SourceKind, WeightSource, pth, safetensors};
use svitt_ops::TrainBackend;

/// The entry of `cases.json` with the sizes of the small trained checkpoint, and what its files are called.
const MICRO: &str = "micro";

/// Compares every tensor of checkpoint `file` to what a model exports that was loaded from its PyTorch form (or from
/// itself, where there is no other), and checks that no key is missing or left over.
///
/// # Errors
/// A file that cannot be read or does not fit its sizes.
pub fn check<B: TrainBackend>(context: &ParityContext<B>, file: &str, check: &mut FileCheck) -> Result<()> {
    let path = context.folder.join(file);
    let source = WeightSource::open(pytorch_form(&path))?;
    let config = match file.contains(MICRO) {
        true => micro_sizes(context, &source, check)?,
        false => context.config()?.clone(),
    };
    let (model, report) = loaded::<B>(&source, &config, &context.device)?;
    check.violations("missing keys", report.missing.len());
    check.violations("unexpected keys", report.unused.len());
    let exported = ExportedTensors::of(&model);
    for (name, tensor) in tensors(&path)? {
        compare::<B>(&name, &tensor, SourceKind::Svitt, &exported, &config, check)?;
    }
    Ok(())
}

/// Compares `tensor`, called `name` in a checkpoint of `kind`, to what a model with its weights exports; index buffers to
/// what follows from the sizes.
///
/// # Errors
/// The exported tensor cannot be read back.
pub fn compare<B: Backend>(
    name: &str,
    tensor: &HostTensor,
    kind: SourceKind,
    exported: &ExportedTensors,
    config: &ModelConfig,
    check: &mut FileCheck,
) -> Result<()> {
    if name.ends_with(".relative_position_index") {
        let ours = relative_index::<B>(config.video.frames_per_sequence(), config.video.grid());
        check.compare(name, TensorKind::Exact, &ours, &tensor.values);
        return Ok(());
    }
    if name.ends_with(".position_ids") {
        let ours: Vec<f64> = (0..config.text.max_positions).map(|place| place as f64).collect();
        check.compare(name, TensorKind::Exact, &ours, &tensor.values);
        return Ok(());
    }
    let key = kind.canonical(name);
    let key = tied_to(&key).unwrap_or(key);
    if exported.names().any(|known| known == key) {
        check.bits(name, &exported.read(&key)?, &tensor.values);
    } else {
        check.uncovered(name);
    }
    Ok(())
}

/// The `.pth` beside `path`: of the same stem, or of the whole checkpoint that `path` has the model of; else `path`.
fn pytorch_form(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let names = [format!("{stem}.pth"), format!("{}.pth", stem.replace("_model", "_full"))];
    let found = names.iter().map(|name| path.with_file_name(name)).find(|other| other.exists());
    found.unwrap_or_else(|| path.to_path_buf())
}

/// Every tensor of `path`, index buffers and tied copies included.
///
/// # Errors
/// It cannot be read.
pub fn tensors(path: &Path) -> Result<Vec<(String, HostTensor)>> {
    let bytes = std::fs::read(path).map_err(|problem| svitt::Error::io(path, &problem))?;
    let read = if path.extension().is_some_and(|extension| extension == "pth") {
        pth::read(&bytes).map(|file| file.tensors)
    } else {
        safetensors::read(&bytes).map(|file| file.tensors)
    };
    let tensors = read.map_err(|problem| invalid(path, problem))?;
    Ok(tensors.into_iter().map(|(name, view)| (name, view.read(&bytes))).collect())
}

/// The sizes of the small checkpoint as `cases.json` has them. What the checkpoint itself says is compared to them;
/// without the configuration that PyTorch's form carries, clip length and head counts cannot be read off.
fn micro_sizes<B: TrainBackend>(
    context: &ParityContext<B>,
    source: &WeightSource,
    check: &mut FileCheck,
) -> Result<ModelConfig> {
    let mut config = ModelConfig { compat: Compat::Official, ..model_config(source, None)? };
    let Some(sizes) = context.cases.cases.get(MICRO).and_then(Json::as_object) else { return Ok(config) };
    let known = source.config().is_some();
    let mut size = |name: &str, places: &mut [&mut usize]| {
        let Some(given) = sizes.get(name).and_then(Json::as_u64) else { return };
        if known {
            let ours: Vec<f64> = places.iter().map(|place| **place as f64).collect();
            check.compare(format!("sizes.{name}"), TensorKind::Exact, &ours, &vec![given as f64; ours.len()]);
        }
        places.iter_mut().for_each(|place| **place = given as usize);
    };
    let (video, text) = (&mut config.video, &mut config.text);
    size("hidden_size", &mut [&mut video.hidden, &mut text.hidden]);
    size("num_attention_heads", &mut [&mut video.heads, &mut text.heads]);
    size("intermediate_size", &mut [&mut video.ffn, &mut text.ffn]);
    size("image_size", &mut [&mut video.image_size]);
    size("patch_size", &mut [&mut video.patch_size]);
    size("embed_dim", &mut [&mut config.embed_dim]);
    size("vision_layers", &mut [&mut video.layers]);
    size("bert_layers", &mut [&mut text.layers]);
    size("fusion_layer", &mut [&mut text.fusion_layer]);
    size("frames", &mut [&mut video.frames]);
    // Not from `config`: at a keep rate of 1 the list of pruning layers says nothing, and is left out there.
    let listed = source.config().and_then(|config| config.pointer("/vision_encoder_args/token_drop_loc"));
    if let (Some(given), Some(listed)) = (sizes.get("vision_prune_layers"), listed) {
        check.compare("sizes.vision_prune_layers", TensorKind::Exact, &numbers(listed), &numbers(given));
    }
    Ok(config)
}

/// Compares the numbers of `config_beit.json` or `config_bert.json` to the sizes that the main checkpoint shows.
///
/// # Errors
/// The file or the checkpoint cannot be read.
pub fn check_sizes<B: TrainBackend>(context: &ParityContext<B>, file: &str, check: &mut FileCheck) -> Result<()> {
    let stated: Map<String, Json> = read_json(&context.folder.join(file))?;
    context.model(&Case::plain(None))?;
    let ModelConfig { video, text, .. } = model_config(&context.source()?, None)?;
    let shown: &[(&str, usize)] = match file {
        BEIT => &[
            ("hidden_size", video.hidden),
            ("num_hidden_layers", video.layers),
            ("num_attention_heads", video.heads),
            ("intermediate_size", video.ffn),
            ("image_size", context.cases.image_size),
            ("patch_size", video.patch_size),
        ],
        BERT => &[
            ("hidden_size", text.hidden),
            ("num_hidden_layers", text.layers),
            ("intermediate_size", text.ffn),
            ("max_position_embeddings", text.max_positions),
            ("type_vocab_size", text.type_vocab_size),
            ("vocab_size", text.vocab_size),
            ("fusion_layer", text.fusion_layer),
            ("encoder_width", video.hidden),
        ],
        _ => &[],
    };
    for (name, shown) in shown {
        if let Some(stated) = stated.get(*name).and_then(Json::as_f64) {
            check.compare(*name, TensorKind::Exact, &[*shown as f64], &[stated]);
        }
    }
    Ok(())
}
