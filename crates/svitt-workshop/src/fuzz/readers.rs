//! Applies every public reader to a file.

use super::Target;
use super::corpus::{DIM, model};
use std::path::Path;
use svitt::Result;
use svitt::config::PretrainPreset;
use svitt::data::import::{AnnotationOptions, ImportPurpose, import};
use svitt::data::{Benchmark, InspectOptions, inspect};
use svitt::index::{Index, IndexWriter};
use svitt::train::FinetunePreset;
use svitt::weights::{WeightSource, infer};
use svitt_ops::rng::Rng;
use svitt_video::{ReaderKind, ReaderOptions, VideoReader};

/// Frames decoded of a video.
const FRAMES: usize = 3;

/// Reads `file` as far as the program ever would.
///
/// # Errors
/// The readers' own.
pub(super) fn read(target: Target, file: &Path, rng: &mut Rng) -> Result<()> {
    match target {
        Target::Manifests => manifest(file),
        Target::Videos => video(file, rng),
        Target::Checkpoints => checkpoint(file),
        Target::Presets => preset(file),
        Target::Index => index(file, rng),
    }
}

fn manifest(file: &Path) -> Result<()> {
    let purposes = [ImportPurpose::Inspect, ImportPurpose::Train, ImportPurpose::Evaluate];
    let read =
        purposes.map(|purpose| import(file, &AnnotationOptions { purpose, ..AnnotationOptions::default() }).map(drop));
    let tokens = |text: &str| text.len() / 4;
    let options = InspectOptions { tokens: Some(&tokens), media: file.parent(), ..InspectOptions::default() };
    inspect(file, &options).map(drop).and(read.into_iter().collect())
}

fn video(file: &Path, rng: &mut Rng) -> Result<()> {
    let options = ReaderOptions { kind: ReaderKind::Native, ..ReaderOptions::default() };
    let mut reader = VideoReader::open(file, &options)?;
    let mut wanted: Vec<usize> = (0..FRAMES).map(|_| rng.below(reader.len())).collect();
    wanted.sort_unstable();
    wanted.dedup();
    reader.get_frames(&wanted).map(drop)?;
    Ok(())
}

fn checkpoint(file: &Path) -> Result<()> {
    let source = WeightSource::open(file)?;
    let names: Vec<String> = source.names().map(str::to_owned).collect();
    names.iter().for_each(|name| drop(source.read(name)));
    infer::model_config(&source, None)?;
    Ok(())
}

fn preset(file: &Path) -> Result<()> {
    let tuned = FinetunePreset::load(Benchmark::Msrvtt, Some(file));
    let preset = PretrainPreset::load(&file.to_string_lossy());
    match (preset, tuned) {
        (Ok(preset), _) => preset.validate(&preset.model.model(1, 1000)),
        (_, Ok(tuned)) => tuned.model(&svitt::config::ModelConfig::base(4)).0.validate(),
        (Err(error), Err(_)) => Err(error),
    }
}

fn index(file: &Path, rng: &mut Rng) -> Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    let index = Index::open(folder)?;
    let query: Vec<f32> = (0..index.id().dim.min(DIM)).map(|_| rng.normal() as f32).collect();
    index.search(&query, 5)?;
    index.require(&model())?;
    IndexWriter::open(folder, &model()).map(drop)
}
