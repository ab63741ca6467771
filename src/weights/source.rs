//! The named tensors of a checkpoint of any supported format, read on demand, under the official pretraining keys.

use super::beside::{self, UMT, UMT_QA};
use super::source_kind::{SourceKind, bare, is_index_buffer, other_model, tied_to};
use super::tensor::{HostTensor, TensorView};
use super::{archive, pth, safetensors};
use crate::config::Family;
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
const REMEDY: &str = "give a SViTT, Singularity, UMT, BEiT or BERT checkpoint in PyTorch's or the safetensors format";
/// The table of a BEiT whose layers share one.
const SHARED_TABLE: &str = "vision_encoder.encoder.relative_position_bias.relative_position_bias_table";
/// Vocabularies of BERTs that tell upper from lower case: English, and of many languages.
const CASED: [usize; 2] = [28_996, 119_547];

/// The tensors of one checkpoint.
#[derive(Debug)]
pub struct WeightSource {
    path: PathBuf,
    kind: SourceKind,
    files: Vec<Mmap>,
    tensors: BTreeMap<String, TensorEntry>,
    index_buffers: Vec<String>,
    tied: Vec<String>,
    set_aside: Vec<String>,
    /// Beginnings of keys that a checkpoint like this never has.
    never: Vec<&'static str>,
    fine_tuned: bool,
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
        if let Some(model) = other_model(names()) {
            return Err(Error::file(&file, format!("holds the weights of {model}, not of a model used here"), REMEDY));
        }
        let kind = SourceKind::of(names()).ok_or_else(|| {
            let example = names().next().unwrap_or_default();
            Error::file(&file, format!("holds another model's weights (`{}`, …)", shown(example)), REMEDY)
        })?;
        let source = Self::named(file, kind, parts)?;
        source.check_bert()?;
        Ok(source)
    }

    fn named(path: PathBuf, kind: SourceKind, parts: FileTensors) -> Result<Self> {
        let (mut tensors, mut index_buffers, mut set_aside) = (BTreeMap::new(), Vec::new(), Vec::new());
        let fine_tuned = parts.tensors.iter().any(|(name, ..)| bare(name).starts_with("text_encoder.encoder."));
        for (name, file, view) in parts.tensors {
            let canonical = kind.canonical(&name);
            if is_index_buffer(&canonical) {
                index_buffers.push(name);
            } else if kind.sets_aside(&canonical) {
                set_aside.push(name);
            } else if let Some(other) = tensors.insert(canonical, TensorEntry { name: name.clone(), file, view }) {
                let problem = format!("has one tensor twice, as `{}` and as `{name}`", other.name);
                return Err(Error::file(&path, problem, "save the model once, without its wrapper"));
            }
        }
        let FileTensors { files, config, foreign, .. } = parts;
        let (tied, frames) = (Vec::new(), None);
        let never = Vec::new();
        let mut source = Self {
            path,
            kind,
            files,
            tensors,
            index_buffers,
            tied,
            set_aside,
            never,
            fine_tuned,
            config,
            frames,
            foreign,
        };
        source.untie()?;
        source.spread_table();
        source.never = source.never_had();
        source.read_config();
        Ok(source)
    }

    /// Leaves stored copies of tied parameters out.
    fn untie(&mut self) -> Result<()> {
        let copies: Vec<(String, String)> =
            self.tensors.keys().filter_map(|name| Some((name.clone(), tied_to(name)?))).collect();
        for (copy, original) in copies {
            if self.tensors.contains_key(&original) && self.read(&copy) != self.read(&original) {
                let problem =
                    format!("its tensor `{copy}` is no copy of `{original}`, which it shares its numbers with");
                return Err(Error::file(&self.path, problem, "give a checkpoint whose word head is tied"));
            }
            if let Some(located) = self.tensors.remove(&copy) {
                self.tied.push(located.name.clone());
                self.tensors.entry(original).or_insert(located);
            }
        }
        Ok(())
    }

    /// Gives every layer of a BEiT whose layers share one position table a copy of it.
    fn spread_table(&mut self) {
        const LAYERS: &str = "vision_encoder.encoder.layer.";
        let Some(table) = self.tensors.remove(SHARED_TABLE) else { return };
        let layer = |name: &String| Some(name.strip_prefix(LAYERS)?.split_once('.')?.0.to_string());
        let mut layers: Vec<String> = self.tensors.keys().filter_map(layer).collect();
        layers.dedup();
        for layer in layers {
            let attention = format!("{LAYERS}{layer}.attention.attention");
            let name = format!("{attention}.relative_position_bias.relative_position_bias_table");
            self.tensors.entry(name).or_insert_with(|| table.clone());
        }
    }

    /// What this checkpoint lacks by its nature: a fine-tuned model, or a BERT saved without it, the word head; a BEiT
    /// that predicts hidden patches, the norm behind its mean.
    fn never_had(&self) -> Vec<&'static str> {
        let lacks = |beginning: &str| !self.tensors.keys().any(|name| name.starts_with(beginning));
        let (head, pooler) = ("text_encoder.cls.", "vision_encoder.pooler.");
        let headless = (self.fine_tuned && !self.kind.answers()) || self.kind == SourceKind::Bert;
        let mut never = Vec::new();
        never.extend((headless && lacks(head)).then_some(head));
        never.extend((self.kind == SourceKind::Beit && lacks(pooler)).then_some(pooler));
        never
    }

    /// Takes the configuration beside an UMT checkpoint for its own, and the clip length from whichever there is.
    fn read_config(&mut self) {
        let of_umt = |json: &Json| json.pointer("/model/vision_encoder").is_some();
        let file = match self.kind {
            SourceKind::Umt => beside::beside(&self.path, &[UMT], of_umt),
            SourceKind::UmtQa => beside::beside(&self.path, &[UMT_QA, UMT], of_umt),
            _ => None,
        };
        self.config = file.map(|(_, json)| json).or(self.config.take());
        let config = self.config.as_ref();
        let frames = config.and_then(|config| beside::number(config, "/video_input/num_frames"));
        self.frames = frames.filter(|frames| (1..=64).contains(frames));
    }

    /// Refuses models that have BERT's keys and are none, or read another vocabulary.
    fn check_bert(&self) -> Result<()> {
        let rows =
            |name: &str| self.shape(&format!("text_encoder.bert.embeddings.{name}_embeddings.weight")).map(|s| s[0]);
        let [words, types] = ["word", "token_type"].map(rows);
        let refused = |model: &str| {
            let problem = format!("holds the weights of {model}, not of an uncased BERT");
            Err(Error::file(&self.path, problem, "give an uncased BERT, as bert-base-uncased is"))
        };
        match (words, types) {
            (Some(_), Some(1)) => refused("RoBERTa"),
            (Some(words), _) if CASED.contains(&words) => refused("a cased BERT"),
            _ => Ok(()),
        }
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

    /// Names of tensors that serve the training of its model alone, or another task.
    pub fn set_aside(&self) -> &[String] {
        &self.set_aside
    }

    /// Whether it was fine-tuned: its text encoder is called as in the official models for one task.
    pub fn is_fine_tuned(&self) -> bool {
        self.fine_tuned
    }

    /// Whether a checkpoint like this never has the tensor `name`, so that a fresh start is right for it.
    pub fn never_has(&self, name: &str) -> bool {
        self.kind.never_has(name) || self.never.iter().any(|beginning| name.starts_with(beginning))
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

    /// The same weights, known to be of a model of `family`: one-frame models of Singularity show it in no tensor.
    pub(super) fn of_family(self, family: Family) -> Self {
        let kind = match self.kind {
            SourceKind::Beit | SourceKind::Bert => self.kind,
            kind => SourceKind::of_family(family, kind.answers()),
        };
        Self { kind, ..self }
    }

    /// Gives a pretrained model an answer decoder, as the official code does (docs/model.md): decoder layer i is fusion
    /// layer `fusion_layer` + i, embeddings are copied and the language head moves. Nothing happens if it has a decoder.
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
    if let Some(found) = FOLDER_FILES.iter().map(|name| path.join(name)).find(|file| file.exists()) {
        return Ok(found);
    }
    let weights = |file: &PathBuf| {
        file.extension()
            .is_some_and(|extension| ["safetensors", "pth", "pt", "bin"].iter().any(|known| extension == *known))
    };
    let entries = std::fs::read_dir(path).map_err(|e| Error::io(path, &e))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(weights).collect();
    match (files.pop(), files.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(Error::file(path, format!("the folder holds none of {}", FOLDER_FILES.join(", ")), REMEDY)),
        (Some(_), others) => {
            let problem = format!("the folder holds {} files of weights", others + 1);
            Err(Error::file(path, problem, "name the one that is meant"))
        }
    }
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
        let of_folder = || WeightSource::open(folder.path()).unwrap_err().to_string();
        assert!(of_folder().contains("x.pth") && of_folder().contains("truncated"), "the only file is meant");
        std::fs::write(folder.path().join("z.bin"), b"PK").unwrap();
        assert!(of_folder().contains("2 files of weights"));
        std::fs::remove_file(&path).and_then(|()| std::fs::remove_file(folder.path().join("z.bin"))).unwrap();
        assert!(of_folder().contains("holds none of"));
        assert!(WeightSource::open(folder.path().join("y.pth")).unwrap_err().to_string().contains("check the path"));
    }
}
