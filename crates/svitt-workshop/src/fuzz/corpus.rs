//! The corpus: intact files that are mutated.

use super::{Dictionary, Target, archives};
use std::path::{Path, PathBuf};
use svitt::index::{ClipEmbedding, IndexWriter, ModelId, Stamp, VectorPrecision, Words};
use svitt::{Error, Result};
use svitt_ops::rng::Rng;

/// A whole file.
#[derive(Clone, Debug)]
pub(super) struct CorpusFile {
    /// Its name, whose extension tells readers its format.
    pub name: String,
    pub bytes: Vec<u8>,
    pub vocabulary: Dictionary,
}

/// The samples of `target`: files of `repository`, or an index made below `scratch`.
pub(super) fn of(target: Target, repository: &Path, scratch: &Path) -> Result<Vec<CorpusFile>> {
    let (folders, extensions, vocabulary): (&[&str], &[&str], _) = match target {
        Target::Manifests => (&["data/samples"], &["json", "jsonl", "csv", "tsv", "txt"], Dictionary::Text),
        Target::Videos => {
            (&["crates/svitt-video/tests/fixtures"], &["mp4", "mov", "mkv", "webm", "avi"], Dictionary::Binary)
        }
        Target::Checkpoints => (&["tests/fixtures/parity"], &["pth", "safetensors"], Dictionary::Binary),
        Target::Presets => (&["data/presets"], &["toml"], Dictionary::Text),
        Target::Vocabularies => (&["tests/fixtures/parity"], &["txt"], Dictionary::Text),
        Target::Index => return index(scratch),
        Target::Shards => return shards(repository),
        Target::Configs => return config(repository, scratch),
        Target::Subtitles => return Ok(made(target)),
    };
    let mut files = Vec::new();
    folders.iter().try_for_each(|folder| collect(&repository.join(folder), extensions, &mut files))?;
    files.sort();
    // The large checkpoint is slow to copy and has nothing that the small ones lack.
    files.retain(|file| target != Target::Checkpoints || file.to_string_lossy().contains("micro"));
    if files.is_empty() {
        let problem = format!("holds no samples of {}", target.name());
        return Err(Error::file(repository, problem, "run this in a clone of the repository"));
    }
    let read: Result<Vec<_>> = files.iter().map(|file| sample(file, vocabulary)).collect();
    Ok(read?.into_iter().chain(made(target)).collect())
}

/// Samples that no file of the repository is.
fn made(target: Target) -> Vec<CorpusFile> {
    let file = |name: &str, bytes, vocabulary| CorpusFile { name: name.into(), bytes, vocabulary };
    match target {
        Target::Videos => vec![file("picture.gif", archives::picture(), Dictionary::Binary)],
        Target::Checkpoints => vec![file("nested.pth", archives::nested_lists(), Dictionary::Binary)],
        Target::Vocabularies => vec![
            file("tokenizer.json", archives::tokenizer(&[]), Dictionary::Text),
            file("amplifier.json", archives::tokenizer(&vec![archives::amplifier(); 4]), Dictionary::Text),
        ],
        Target::Subtitles => {
            vec![file("a.srt", SUBRIP.into(), Dictionary::Text), file("b.vtt", WEBVTT.into(), Dictionary::Text)]
        }
        _ => Vec::new(),
    }
}

const SUBRIP: &str = "1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Good</i> {\\an8}morning\r\n\r\n2\r\n\
                      00:00:03,000 --> 00:00:04,000\r\nWho is there?\r\nNobody.\r\n";
const WEBVTT: &str = "WEBVTT - a title\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\nSTYLE\n::cue { color: red }\n\n\
                      NOTE a remark\n\nintro\n00:01.000 --> 00:02.000 align:start position:10%\n\
                      <v Bob>Fish &amp; chips</v> <00:01.500>now\n";

fn shards(repository: &Path) -> Result<Vec<CorpusFile>> {
    let video = sample(&repository.join("crates/svitt-video/tests/fixtures/vp8.webm"), Dictionary::Binary)?;
    let bytes = archives::shard(&video.bytes);
    Ok(vec![CorpusFile { name: "shard.tar".into(), bytes, vocabulary: Dictionary::Tar }])
}

/// The description of a checkpoint folder that is `scratch` itself, without the hash that tells whether it was changed.
fn config(repository: &Path, scratch: &Path) -> Result<Vec<CorpusFile>> {
    let source = repository.join("tests/fixtures/parity/checkpoint_micro_full.pth");
    svitt::weights::import(&source, scratch, &svitt::weights::ImportOptions::default())?;
    let mut file = sample(&scratch.join("config.json"), Dictionary::Text)?;
    let mut json: serde_json::Value =
        serde_json::from_slice(&file.bytes).map_err(|problem| Error::Fault(problem.to_string()))?;
    json.as_object_mut().map(|fields| fields.remove("description_sha256"));
    file.bytes = format!("{json:#}").into_bytes();
    Ok(vec![file])
}

fn collect(folder: &Path, extensions: &[&str], files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, &e))? {
        let path = entry.map_err(|e| Error::io(folder, &e))?.path();
        if path.is_dir() {
            collect(&path, extensions, files)?;
        } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| extensions.contains(&e)) {
            files.push(path);
        }
    }
    Ok(())
}

fn sample(file: &Path, vocabulary: Dictionary) -> Result<CorpusFile> {
    let bytes = std::fs::read(file).map_err(|e| Error::io(file, &e))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(CorpusFile { name, bytes, vocabulary })
}

/// Width of the sample index's embeddings.
pub(super) const DIM: usize = 7;

/// The model of the sample index.
pub(super) fn model() -> ModelId {
    ModelId { weights: "0123456789abcdef".into(), ..ModelId::of_no_model("fuzzed", DIM) }
}

/// An index of a few files in `scratch` itself: its manifest, its segments and its table of vectors are the samples.
fn index(scratch: &Path) -> Result<Vec<CorpusFile>> {
    let mut rng = Rng::new(0, &[]);
    for session in 0..3 {
        let mut indexer = IndexWriter::open(scratch, &model())?;
        // The second moves all vectors to a table; what the third adds stays in its record.
        indexer.set_precision(if session == 0 { VectorPrecision::F32 } else { VectorPrecision::Int8 });
        for file in 0..4u64 {
            let name = PathBuf::from(format!("clips/{session}-{file}.mp4"));
            let stamp = Stamp { size: file, modified_ns: 5, clip_windows: "4 frames".into() };
            let clip = |start: usize, rng: &mut Rng| ClipEmbedding {
                start: start as f64,
                end: start as f64 + 2.0,
                vector: (0..DIM).map(|_| rng.normal() as f32).collect(),
            };
            match file {
                1.. if session == 2 => {}
                3 => indexer.add_broken(&name, stamp, "its video stream holds zero frames")?,
                2 => {
                    let words = Words { video: name.clone(), texts: vec!["good morning".into(), "nobody".into()] };
                    let spoken = (0..2).map(|start| clip(start, &mut rng)).collect();
                    indexer.add_words(&name.with_extension("srt"), stamp, words, spoken)?;
                }
                _ => indexer.add(&name, stamp, (0..3 - session.min(2)).map(|start| clip(start, &mut rng)).collect())?,
            }
        }
        indexer.finish()?;
    }
    let mut files = Vec::new();
    collect(scratch, &["json", "seg", "vec"], &mut files)?;
    files.sort();
    let vocabulary = |file: &Path| match file.extension() {
        Some(extension) if extension == "seg" => Dictionary::Segment,
        Some(extension) if extension == "vec" => Dictionary::Binary,
        _ => Dictionary::Text,
    };
    files.iter().map(|file| sample(file, vocabulary(file))).collect()
}
