//! Checkpoint folders: `model.safetensors` under the official keys and `config.json` beside it.

use super::safetensors;
use super::schema::{CheckpointPart, WeightKey, file_name};
use super::source::WeightSource;
use super::verify::verify;
use crate::checksums::sha256_of_file;
use crate::config::{Compat, ModelConfig};
use crate::digest::sha256_hex;
use crate::{Error, Result, files, input};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The weights of a checkpoint folder.
pub const WEIGHTS: &str = "model.safetensors";
/// The description of a checkpoint folder.
pub const CONFIG: &str = "config.json";
/// A description takes a few kilobytes.
const MOST_BYTES: u64 = 1 << 20;
/// What `config.json` says it is.
const FORMAT: &str = "svitt-checkpoint-1";

/// What is written beside the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointInfo {
    /// Sizes, sparsity and rules of the model.
    pub model: ModelConfig,
    /// What the weights are of.
    pub part: CheckpointPart,
    /// Beginnings of official keys that the weights leave out, so that they start fresh.
    pub absent: Vec<String>,
    /// The vocabulary the text encoder was trained with, if it is known.
    pub vocabulary: Option<VocabularyRef>,
    /// How far a curriculum had come.
    pub curriculum: Option<CurriculumPosition>,
    /// Where the weights came from, in words.
    pub origin: String,
}

/// Which vocabulary belongs to the weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VocabularyRef {
    /// File name, beside the weights where it was saved there.
    pub file: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

/// How far a run had come when it was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurriculumPosition {
    /// Stage, counted from 1.
    pub stage: usize,
    /// Stages of the whole curriculum.
    pub stages: usize,
    /// Optimizer steps done in all stages together.
    pub step: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigJson {
    format: String,
    part: CheckpointPart,
    compat: Compat,
    origin: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    absent: Vec<String>,
    vocabulary: Option<VocabularyRef>,
    curriculum: Option<CurriculumPosition>,
    weights_sha256: String,
    /// SHA-256 of the file of weights; none in descriptions of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_sha256: Option<String>,
    model: Json,
    /// SHA-256 of everything above, so that a damaged description is told from one that was written like that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description_sha256: Option<String>,
}

/// A checkpoint folder, opened.
#[derive(Debug)]
pub struct Checkpoint {
    /// The folder.
    pub path: PathBuf,
    /// Its description.
    pub info: CheckpointInfo,
    /// SHA-256 over names, shapes and values of its weights; see [`weights_hash`](super::hash::weights_hash).
    pub weights_sha256: String,
    /// Its weights.
    pub weights: WeightSource,
}

impl Checkpoint {
    /// Opens folder `path`.
    ///
    /// # Errors
    /// A folder without weights or description, or one that cannot be read; weights other than the description names.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let Description { info, weights_sha256, file_sha256 } = read_description(&path.join(CONFIG))?;
        let weights = WeightSource::open(path.join(WEIGHTS))?.trained_with(info.model.video.frames);
        verify(&weights, &weights_sha256, file_sha256.as_deref())?;
        let weights = weights.of_family(info.model.video.family());
        Ok(Self { path, info, weights_sha256, weights })
    }
}

/// Reads the description `file` of a checkpoint folder, and the hash of the weights beside it.
///
/// # Errors
/// A missing file, or one that is no description of a checkpoint.
pub fn read_info(file: &Path) -> Result<(CheckpointInfo, String)> {
    read_description(file).map(|description| (description.info, description.weights_sha256))
}

/// What a description says.
struct Description {
    info: CheckpointInfo,
    weights_sha256: String,
    file_sha256: Option<String>,
}

fn read_description(file: &Path) -> Result<Description> {
    let text = input::read_text(file, MOST_BYTES).map_err(|problem| match problem.is_not_found() {
        true => {
            let folder = file.parent().unwrap_or(file);
            let problem = format!("is not a checkpoint folder: it has no {CONFIG}");
            Error::file(folder, problem, "make one with `cargo xtask import` or by training")
        }
        false => problem,
    })?;
    let description = parse(&text).map_err(|problem| {
        Error::file(file, format!("is not a checkpoint's description ({problem})"), "restore it or import again")
    })?;
    description.info.model.validate()?;
    Ok(description)
}

/// Whether `path` is a folder that this crate wrote, by its description.
pub fn is_checkpoint(path: &Path) -> bool {
    input::read_text(&path.join(CONFIG), MOST_BYTES).is_ok_and(|text| text.contains(FORMAT))
}

fn parse(text: &str) -> std::result::Result<Description, String> {
    let mut json: Json = serde_json::from_str(text).map_err(|problem| problem.to_string())?;
    let stored: ConfigJson = serde_json::from_str(text).map_err(|problem| problem.to_string())?;
    let written = json.as_object_mut().and_then(|fields| fields.shift_remove("description_sha256"));
    if written.is_some_and(|written| written != sha256_hex(json.to_string())) {
        let meant = "where the change is meant, delete its line `description_sha256`";
        return Err(format!("it was damaged or changed after it was written; {meant}"));
    }
    if stored.format != FORMAT {
        return Err(format!("its format is `{}`, not `{FORMAT}`", stored.format));
    }
    let mut model: ModelConfig = serde_json::from_value(stored.model).map_err(|problem| problem.to_string())?;
    model.compat = stored.compat;
    let ConfigJson { part, absent, vocabulary, curriculum, origin, weights_sha256, file_sha256, .. } = stored;
    let info = CheckpointInfo { model, part, absent, vocabulary, curriculum, origin };
    Ok(Description { info, weights_sha256, file_sha256 })
}

/// The text of `config.json`. `compat` is written once, beside the model.
fn describe(
    info: &CheckpointInfo,
    weights_sha256: String,
    file_sha256: String,
) -> std::result::Result<String, serde_json::Error> {
    let mut model = serde_json::to_value(&info.model)?;
    if let Json::Object(fields) = &mut model {
        fields.shift_remove("compat");
    }
    let CheckpointInfo { part, absent, vocabulary, curriculum, origin, .. } = info.clone();
    let compat = info.model.compat;
    let format = FORMAT.to_string();
    let mut stored = ConfigJson {
        format,
        part,
        compat,
        origin,
        absent,
        vocabulary,
        curriculum,
        weights_sha256,
        file_sha256: Some(file_sha256),
        model,
        description_sha256: None,
    };
    // Hashed as it will be read: numbers are what their text says.
    let read: Json = serde_json::from_str(&serde_json::to_string_pretty(&stored)?)?;
    stored.description_sha256 = Some(sha256_hex(read.to_string()));
    serde_json::to_string_pretty(&stored).map(|text| text + "\n")
}

/// Writes a checkpoint folder: `keys` in their order, values asked for one tensor at a time under their pretraining
/// names, copies of tied parameters included. A new folder appears complete or not at all; in an existing one both
/// files are replaced and others stay. Returns the hash of the weights.
///
/// # Errors
/// What `values` returns, or a failed write; nothing is left behind then.
pub fn write_checkpoint(
    folder: &Path,
    info: &CheckpointInfo,
    keys: &[WeightKey],
    values: impl FnMut(&str) -> Result<Vec<f32>>,
) -> Result<String> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|problem| Error::io(parent, &problem))?;
    // Deleted in the end, with what was not moved.
    let temporary = files::temporary_folder(folder)?;
    let hash = fill(temporary.path(), info, keys, values)?;
    move_into_place(temporary.path(), folder).map(|()| hash)
}

fn fill(
    folder: &Path,
    info: &CheckpointInfo,
    keys: &[WeightKey],
    mut values: impl FnMut(&str) -> Result<Vec<f32>>,
) -> Result<String> {
    let file = folder.join(WEIGHTS);
    let sources: BTreeMap<String, &str> = keys
        .iter()
        .map(|key| (file_name(info.part, &key.outline.name), key.tied.as_deref().unwrap_or(&key.outline.name)))
        .collect();
    let outlines: Vec<_> =
        keys.iter().map(|key| key.outline.renamed(file_name(info.part, &key.outline.name))).collect();
    let metadata = BTreeMap::from([
        ("format".to_string(), "pt".to_string()),
        ("rebuilt".to_string(), "*.relative_position_index".to_string()),
    ]);
    safetensors::write(&file, &outlines, &metadata, |name| values(sources.get(name).copied().unwrap_or(name)))?;
    let hash = super::hash::weights_hash(&WeightSource::open(&file)?);
    let text = describe(info, hash.clone(), sha256_of_file(&file)?).map_err(|problem| {
        Error::file(folder, format!("its description cannot be written ({problem})"), "check the numbers of the model")
    })?;
    files::write(&folder.join(CONFIG), text)?;
    Ok(hash)
}

fn move_into_place(from: &Path, to: &Path) -> Result<()> {
    let io = |problem| Error::io(to, &problem);
    if !to.exists() {
        std::fs::rename(from, to).map_err(io)?;
    } else {
        for name in [WEIGHTS, CONFIG] {
            std::fs::rename(from.join(name), to.join(name)).map_err(io)?;
        }
    }
    files::sync_folder(to.parent().unwrap_or(Path::new("")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::schema::keys;
    use super::*;

    fn info() -> CheckpointInfo {
        let mut model = ModelConfig::tiny(2);
        model.compat = Compat::Official;
        let vocabulary = Some(VocabularyRef { file: "vocab.txt".into(), sha256: "ab".into() });
        let curriculum = Some(CurriculumPosition { stage: 1, stages: 3, step: 40 });
        CheckpointInfo {
            model,
            part: CheckpointPart::Text,
            absent: vec![],
            vocabulary,
            curriculum,
            origin: "a test".into(),
        }
    }

    #[test]
    fn a_folder_is_read_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs/stage-1");
        let keys = keys(&info().model, CheckpointPart::Text);
        let values = |name: &str| {
            let key = keys.iter().find(|key| key.outline.name == name).unwrap();
            // One number everywhere, because tied tensors must be copies of each other.
            Ok(vec![0.5; key.outline.shape.iter().product()])
        };
        let hash = write_checkpoint(&path, &info(), &keys, values).unwrap();
        std::fs::write(path.join("vocab.txt"), "x").unwrap();
        assert_eq!(write_checkpoint(&path, &info(), &keys, values).unwrap(), hash, "written again, in place");
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!((checkpoint.info, checkpoint.weights_sha256), (info(), hash));
        assert_eq!(checkpoint.weights.tied().len(), 2);
        let text = std::fs::read_to_string(path.join(CONFIG)).unwrap();
        assert_eq!(text.matches("official").count(), 1, "{text}");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary folder stays");
    }

    #[test]
    fn a_flipped_bit_of_weights_or_description_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let keys = keys(&info().model, CheckpointPart::Text);
        let values = |name: &str| {
            let key = keys.iter().find(|key| key.outline.name == name).unwrap();
            // One number everywhere, because tied tensors must be copies of each other.
            Ok(vec![0.5; key.outline.shape.iter().product()])
        };
        write_checkpoint(&path, &info(), &keys, values).unwrap();
        let damaged = |name: &str, at: usize| {
            let file = path.join(name);
            let whole = std::fs::read(&file).unwrap();
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&file, &bytes).unwrap();
            let message = Checkpoint::open(&path).unwrap_err().to_string();
            std::fs::write(&file, whole).unwrap();
            Checkpoint::open(&path).unwrap();
            message
        };
        let weights = std::fs::read(path.join(WEIGHTS)).unwrap();
        for at in [weights.len() - 1, weights.len() / 2] {
            let message = damaged(WEIGHTS, at);
            assert!(message.contains("model.safetensors"), "{message}");
        }
        let text = std::fs::read_to_string(path.join(CONFIG)).unwrap();
        // The lowest bit of the last digit of a size.
        let at = text.find("\"layers\": ").unwrap() + "\"layers\": ".len();
        let message = damaged(CONFIG, at);
        assert!(message.contains("damaged or changed") && message.contains("description_sha256"), "{message}");
        // A change that is meant.
        let start = text.find("\n  \"description_sha256\"").unwrap();
        let meant = text[..start].trim_end_matches(',').replace("a test", "another test") + "\n}\n";
        std::fs::write(path.join(CONFIG), meant).unwrap();
        assert_eq!(Checkpoint::open(&path).unwrap().info.origin, "another test");
    }

    #[test]
    fn a_failed_write_leaves_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let keys = keys(&info().model, CheckpointPart::Text);
        let refused = write_checkpoint(&path, &info(), &keys, |_| Err(Error::setting("x", "y", "z")));
        assert!(refused.is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Checkpoint::open(&path).unwrap_err().to_string().contains("not a checkpoint folder"));
    }
}
