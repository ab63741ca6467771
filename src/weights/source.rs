//! The named tensors of a checkpoint of any supported format, read on demand, under the official pretraining keys.

use super::source_kind::{SourceKind, is_index_buffer, tied_to};
use super::tensor::{HostTensor, TensorView};
use super::{archive, pth, safetensors};
use crate::input::{self, shown};
use crate::{Error, Result};
use memmap2::Mmap;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files a folder may keep its weights in, the first found is read.
const FOLDER_FILES: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];
/// Bytes of an index of shards; those of published models have 0.1 MB.
const LARGEST_INDEX: u64 = 8 << 20;
/// Files that are mapped at once.
const MOST_SHARDS: usize = 1_000;
const REMEDY: &str = "give a SViTT, Singularity, BEiT or BERT checkpoint in PyTorch's or the safetensors format";

/// The tensors of one checkpoint.
#[derive(Debug)]
pub struct WeightSource {
    path: PathBuf,
    kind: SourceKind,
    files: Vec<Mmap>,
    tensors: BTreeMap<String, TensorEntry>,
    index_buffers: Vec<String>,
    tied: Vec<String>,
    config: Option<Json>,
    frames: Option<usize>,
    foreign: Vec<String>,
}

#[derive(Clone, Debug)]
struct TensorEntry {
    /// The name in the file.
    name: String,
    file: usize,
    view: TensorView,
}

/// A file's tensors, before their names are understood.
#[derive(Default)]
struct FileTensors {
    files: Vec<Mmap>,
    tensors: Vec<(String, usize, TensorView)>,
    config: Option<Json>,
    foreign: Vec<String>,
}

impl WeightSource {
    /// Opens a `.pth`, `.bin` or `.safetensors` file, an index of shards, or a folder with one of them.
    ///
    /// # Errors
    /// A missing, damaged or foreign file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = weight_file(path)?;
        let parts =
            if file.extension().is_some_and(|extension| extension == "json") { shards(&file)? } else { single(&file)? };
        let names = || parts.tensors.iter().map(|(name, ..)| name.as_str());
        let kind = SourceKind::of(names()).ok_or_else(|| {
            let example = names().next().unwrap_or_default();
            Error::file(&file, format!("holds another model's weights (`{}`, …)", shown(example)), REMEDY)
        })?;
        Ok(Self::named(file, kind, parts))
    }

    fn named(path: PathBuf, kind: SourceKind, parts: FileTensors) -> Self {
        let (mut tensors, mut index_buffers, mut tied) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (name, file, view) in parts.tensors {
            let canonical = kind.canonical(&name);
            if is_index_buffer(&canonical) {
                index_buffers.push(name);
            } else {
                tensors.insert(canonical, TensorEntry { name, file, view });
            }
        }
        let copies: Vec<(String, String)> =
            tensors.keys().filter_map(|name| Some((name.clone(), tied_to(name)?))).collect();
        for (copy, original) in copies {
            if let Some(located) = tensors.remove(&copy) {
                tied.push(located.name.clone());
                tensors.entry(original).or_insert(located);
            }
        }
        let FileTensors { files, config, foreign, .. } = parts;
        let frames = config.as_ref().and_then(|config| config.pointer("/video_input/num_frames")?.as_u64());
        let frames = frames.and_then(|frames| usize::try_from(frames).ok()).filter(|frames| (1..=64).contains(frames));
        Self { path, kind, files, tensors, index_buffers, tied, config, frames, foreign }
    }

    /// The file it reads, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model the weights are of.
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// The official keys of its tensors, sorted; index buffers and tied copies left out.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The name in the file of the tensor with official key `name`.
    pub fn original_name(&self, name: &str) -> Option<&str> {
        self.tensors.get(name).map(|located| located.name.as_str())
    }

    /// The shape of the tensor with official key `name`.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|located| located.view.shape())
    }

    /// Reads the tensor with official key `name` as `f32`.
    pub fn read(&self, name: &str) -> Option<HostTensor> {
        let located = self.tensors.get(name)?;
        Some(located.view.read(self.files.get(located.file)?))
    }

    /// Names of its int64 index buffers, which are rebuilt instead of being loaded.
    pub fn index_buffers(&self) -> &[String] {
        &self.index_buffers
    }

    /// Names of stored copies of tied parameters.
    pub fn tied(&self) -> &[String] {
        &self.tied
    }

    /// The training configuration beside the weights of an official checkpoint.
    pub fn config(&self) -> Option<&Json> {
        self.config.as_ref()
    }

    /// Classes and functions the file names that are neither PyTorch's nor a configuration's; none was run.
    pub fn foreign(&self) -> &[String] {
        &self.foreign
    }

    /// T of the clips the checkpoint was trained with, if it or its folder says.
    pub fn frames(&self) -> Option<usize> {
        self.frames
    }

    /// The same weights, known to be for clips of `frames` frames.
    pub(super) fn trained_with(self, frames: usize) -> Self {
        Self { frames: Some(frames), ..self }
    }

    /// Gives a pretrained model an answer decoder, as the official code does: decoder layer i is fusion layer
    /// `fusion_layer` + i, embeddings are copied and the language head moves (docs/model.md, "Official checkpoints").
    /// Nothing happens if it has a decoder.
    pub fn add_decoder(&mut self, fusion_layer: usize) {
        if self.tensors.keys().any(|name| name.starts_with("text_decoder.")) {
            return;
        }
        const LAYERS: &str = "bert.encoder.layer.";
        let copies = self.tensors.iter().filter_map(|(name, located)| {
            let rest = name.strip_prefix("text_encoder.")?;
            let Some((layer, part)) = rest.strip_prefix(LAYERS).and_then(|rest| rest.split_once('.')) else {
                return Some((format!("text_decoder.{rest}"), located.clone()));
            };
            let layer = layer.parse::<usize>().ok()?.checked_sub(fusion_layer)?;
            Some((format!("text_decoder.{LAYERS}{layer}.{part}"), located.clone()))
        });
        let copies: Vec<(String, TensorEntry)> = copies.collect();
        self.tensors.retain(|name, _| !name.starts_with("text_encoder.cls."));
        self.tensors.extend(copies);
    }
}

/// The weight file that `path` is or that folder `path` holds.
fn weight_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let found = FOLDER_FILES.iter().map(|name| path.join(name)).find(|file| file.exists());
    found.ok_or_else(|| Error::file(path, format!("the folder holds none of {}", FOLDER_FILES.join(", ")), REMEDY))
}

/// The tensors of one file, whose format is told by its first bytes.
fn single(path: &Path) -> Result<FileTensors> {
    let file = map(path)?;
    let bytes: &[u8] = &file;
    let safetensors_like = bytes.get(8) == Some(&b'{') && !archive::is_zip(bytes);
    let bad = |problem: String| Error::file(path, problem, REMEDY);
    let mut parts = FileTensors::default();
    let tensors = if safetensors_like || path.extension().is_some_and(|extension| extension == "safetensors") {
        safetensors::read(bytes).map_err(bad)?.tensors
    } else {
        let read = pth::read(bytes).map_err(bad)?;
        (parts.config, parts.foreign) = (read.config, read.foreign);
        read.tensors
    };
    parts.tensors = tensors.into_iter().map(|(name, view)| (name, 0, view)).collect();
    parts.files.push(file);
    Ok(parts)
}

/// The tensors of all shards that index file `path` names.
fn shards(path: &Path) -> Result<FileTensors> {
    let bad = |problem: String| Error::file(path, problem, "download the checkpoint again");
    let text = input::read(path, LARGEST_INDEX)?;
    let index: Json =
        serde_json::from_slice(&text).map_err(|problem| bad(format!("is not a shard index ({problem})")))?;
    let map = index["weight_map"].as_object().ok_or_else(|| bad("has no `weight_map`".to_string()))?;
    let mut names: Vec<&str> = map.values().filter_map(Json::as_str).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() > MOST_SHARDS {
        return Err(bad(format!("names {} shards, of {MOST_SHARDS} that are possible", names.len())));
    }
    let mut all = FileTensors::default();
    for name in names {
        if name.contains(['/', '\\']) {
            return Err(bad(format!("names the shard `{}` outside its folder", shown(name))));
        }
        let part = single(&path.with_file_name(name))?;
        let first = all.files.len();
        all.tensors.extend(part.tensors.into_iter().map(|(name, file, view)| (name, first + file, view)));
        all.files.extend(part.files);
    }
    Ok(all)
}

fn map(path: &Path) -> Result<Mmap> {
    let file = input::open(path)?;
    if file.metadata().is_ok_and(|data| data.len() == 0) {
        return Err(Error::file(path, "is empty", "copy it again"));
    }
    // SAFETY: the map is read-only; if another program truncates the file meanwhile the process is stopped by the
    // operating system, which every reader of mapped weights accepts.
    unsafe { Mmap::map(&file) }.map_err(|problem| Error::io(path, &problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity").join(name)
    }

    #[test]
    fn both_formats_of_one_model_agree_bit_for_bit() {
        let pth = WeightSource::open(fixture("checkpoint_micro_full.pth")).unwrap();
        let plain = WeightSource::open(fixture("checkpoint_micro_model.safetensors")).unwrap();
        assert_eq!((pth.kind(), plain.kind(), pth.frames()), (SourceKind::Svitt, SourceKind::Svitt, Some(4)));
        assert!(pth.names().eq(plain.names()));
        assert_eq!((pth.index_buffers().len(), pth.tied().len()), (3, 2));
        for name in pth.names() {
            let (a, b) = (pth.read(name).unwrap(), plain.read(name).unwrap());
            assert_eq!(a.shape, b.shape);
            assert!(a.values.iter().zip(&b.values).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}");
        }
    }

    #[test]
    fn the_decoder_comes_from_the_fusion_layers() {
        let mut source = WeightSource::open(fixture("checkpoint_micro_model.safetensors")).unwrap();
        source.add_decoder(2);
        let decoder = source.read("text_decoder.bert.encoder.layer.0.crossattention.self.key.weight");
        assert_eq!(decoder, source.read("text_encoder.bert.encoder.layer.2.crossattention.self.key.weight"));
        assert!(decoder.is_some() && source.shape("text_decoder.cls.predictions.bias").is_some());
        assert!(!source.names().any(|name| name.starts_with("text_decoder.bert.encoder.layer.1.")));
    }

    #[test]
    fn unusable_files_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pth");
        for (content, says) in
            [(&b""[..], "empty"), (b"hello", "not a PyTorch checkpoint"), (b"PK\x03\x04", "truncated")]
        {
            std::fs::write(&path, content).unwrap();
            let message = WeightSource::open(&path).unwrap_err().to_string();
            assert!(message.contains("x.pth") && message.contains(says), "{message}");
        }
        assert!(WeightSource::open(folder.path()).unwrap_err().to_string().contains("holds none of"));
        assert!(WeightSource::open(folder.path().join("y.pth")).unwrap_err().to_string().contains("check the path"));
    }
}
