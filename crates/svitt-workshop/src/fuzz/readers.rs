//! Applies every public reader to a file.

use super::Target;
use super::corpus::{DIM, model};
use std::path::Path;
use svitt::config::PretrainPreset;
use svitt::data::import::{AnnotationOptions, ImportPurpose, import};
use svitt::data::{Benchmark, InspectOptions, inspect, read_subtitles};
use svitt::index::{Index, IndexWriter};
use svitt::text::Tokenizer;
use svitt::train::FinetunePreset;
use svitt::weights::{Checkpoint, ImportOptions, WeightSource, import as import_weights, infer, open_svitt};
use svitt::{Error, Result};
use svitt_ops::rng::Rng;
use svitt_video::{ReaderKind, ReaderOptions, VideoReader};

/// Frames decoded of a video.
const FRAMES: usize = 3;
/// Bytes of the text that vocabularies encode.
const LONG_TEXT: usize = 1 << 20;

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
        Target::Vocabularies => vocabulary(file),
        Target::Shards => manifest(file),
        Target::Configs => config(file),
        Target::Subtitles => subtitles(file),
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
    // Programs that are started take a tenth of a second each.
    let kind = if rng.chance(0.1) { ReaderKind::Auto } else { ReaderKind::Native };
    let options = ReaderOptions { kind, ..ReaderOptions::default() };
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
    drop(source);
    let out = tempfile::tempdir_in(file.parent().unwrap_or(file)).map_err(|e| Error::io(file, &e))?;
    import_weights(file, &out.path().join("imported"), &ImportOptions::default())?;
    let imported = Checkpoint::open(out.path().join("imported"))?;
    match imported.weights.names().find(|name| !is_finite(&imported.weights, name)) {
        Some(name) => Err(Error::Fault(format!("`{name}` was imported with numbers that are not finite"))),
        None => Ok(()),
    }
}

fn is_finite(source: &WeightSource, name: &str) -> bool {
    source.read(name).is_some_and(|tensor| tensor.values.iter().all(|value| value.is_finite()))
}

/// A vocabulary encodes a text that is longer than any caption.
fn vocabulary(file: &Path) -> Result<()> {
    let tokenizer = Tokenizer::read(file)?;
    let text = "a red square aaaaaaaa, ".repeat(LONG_TEXT / 23);
    let encoding = tokenizer.encode(&text, 64);
    let ids = 0..tokenizer.vocab_size() as i64;
    if encoding.ids.len() != 64 || !encoding.ids.iter().all(|id| ids.contains(id)) || tokenizer.count(&text) == 0 {
        return Err(Error::Fault("ids outside of the vocabulary".into()));
    }
    Ok(())
}

/// A checkpoint folder with a description that was changed: the model is made and filled.
fn config(file: &Path) -> Result<()> {
    open_svitt::<svitt::backend::Cpu>(file.parent().unwrap_or(file), None, &Default::default()).map(drop)
}

/// Cues are in the order of their beginnings, and end after them.
fn subtitles(file: &Path) -> Result<()> {
    let cues = read_subtitles(file)?.cues;
    let sound = cues.iter().all(|cue| cue.start >= 0.0 && cue.end >= cue.start && cue.end.is_finite());
    let ordered = cues.windows(2).all(|pair| pair[0].start <= pair[1].start);
    if sound && ordered { Ok(()) } else { Err(Error::Fault("cues that go backwards".into())) }
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
    index.search_words(&query, 5, &|_| true)?;
    index.words_by(&query, &|_| true, &|text| Some(text.len() as f32), 5)?;
    index.require(&model())?;
    IndexWriter::open(folder, &model()).map(drop)
}
