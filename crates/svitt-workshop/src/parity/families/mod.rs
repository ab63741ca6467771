//! Sets of Singularity's and UMT's numbers: one file of inputs and outputs, checkpoints in the official trainers' form,
//! and configurations with the sizes that tensors do not show.
//!
//! | file | what it checks |
//! |---|---|
//! | `singularity` | frames encoded one by one, temporal models, ensembles over frames |
//! | `umt` | joint encoder without class token, and what is measured with it |
//! | `clips` | what becomes of clips and texts, in either |
//! | `answers` | question answering, in either |
//! | `checkpoint` | every tensor of every checkpoint, and the sizes in the configurations |

mod answers;
mod checkpoint;
mod clips;
mod singularity;
mod umt;
mod umt_measured;

use super::cases::{CASES, read_json};
use super::fixture::{Fixture, invalid};
use super::report::{FileCheck, FileReport};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use svitt::Result;
use svitt::config::ModelConfig;
use svitt::model::{Svitt, SvittQa};
use svitt::weights::infer::model_config;
use svitt::weights::{CheckpointPart, MatchOptions, WeightSource, load};
use svitt_ops::SvittBackend;

/// The file of inputs and outputs.
const OUTPUTS: &str = "outputs.safetensors";
/// What tells a set of Singularity.
const SINGULARITY: &str = "singularity.pth";
/// What tells a set of UMT.
const UMT: &str = "config_umt.json";

/// Which line of models a parity directory is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKind {
    /// SViTT.
    Svitt,
    /// Singularity.
    Singularity,
    /// UMT.
    Umt,
}

impl SetKind {
    /// The kind of a directory that holds `files`.
    pub fn of(files: &[String]) -> Self {
        let has = |name: &str| files.iter().any(|file| file == name);
        match (has(UMT), has(SINGULARITY)) {
            (true, _) => Self::Umt,
            (_, true) => Self::Singularity,
            _ => Self::Svitt,
        }
    }
}

/// A set, opened.
pub struct FamilySet<B: SvittBackend> {
    /// The directory.
    pub folder: PathBuf,
    /// Where models run.
    pub device: B::Device,
    /// Inputs and outputs.
    pub outputs: Fixture,
    /// Settings that shapes do not show.
    pub cases: Json,
}

impl<B: SvittBackend> FamilySet<B> {
    fn open(folder: &Path, device: B::Device) -> Result<Self> {
        let outputs = Fixture::open(&folder.join(OUTPUTS))?;
        let cases = if folder.join(CASES).exists() { read_json(&folder.join(CASES))? } else { Json::Null };
        Ok(Self { folder: folder.to_path_buf(), device, outputs, cases })
    }

    /// The weights of checkpoint `file`.
    pub fn source(&self, file: &str) -> Result<WeightSource> {
        WeightSource::open(self.folder.join(file))
    }

    /// The model of checkpoint `file`, its configuration changed by `adapt`.
    pub fn model(&self, file: &str, adapt: impl FnOnce(&mut ModelConfig)) -> Result<Svitt<B>> {
        let source = self.source(file)?;
        let mut config = model_config(&source, None)?;
        adapt(&mut config);
        let fresh = Svitt::new(&config, 0, &self.device)?;
        Ok(load(fresh, &source, &config, CheckpointPart::Pretraining, &MatchOptions::default())?.0)
    }

    /// The question-answering model of checkpoint `file`, or made of the pretrained model there.
    pub fn question_model(&self, file: &str) -> Result<SvittQa<B>> {
        let mut source = self.source(file)?;
        let config = model_config(&source, None)?;
        source.add_decoder(config.text.fusion_layer);
        let fresh = SvittQa::new(&config, 0, &self.device)?;
        Ok(load(fresh, &source, &config, CheckpointPart::QuestionAnswering, &MatchOptions::default())?.0)
    }

    /// The part of the settings at `pointer`, if there is one.
    pub fn setting(&self, pointer: &str) -> Option<&Json> {
        self.cases.pointer(pointer)
    }

    /// Beginnings of names in the outputs, up to their first dot, that have a tensor called `part`.
    pub fn tags(&self, part: &str) -> Vec<String> {
        let names = self.outputs.names();
        names.iter().filter_map(|name| Some(name.strip_suffix(part)?.strip_suffix('.')?.to_string())).collect()
    }
}

/// Compares every file of `files` in `folder`, a set of `kind`; tolerances times `factor`; after each, `progress` gets
/// its report.
///
/// # Errors
/// Files that are missing, damaged or do not fit together.
pub fn check<B: SvittBackend>(
    kind: SetKind,
    folder: &Path,
    files: &[String],
    device: B::Device,
    factor: f64,
    mut progress: impl FnMut(&FileReport),
) -> Result<Vec<FileReport>> {
    let set = FamilySet::<B>::open(folder, device)?;
    let mut reports = Vec::new();
    for file in files {
        let mut check = FileCheck::new(file, factor);
        match file.rsplit_once('.') {
            _ if file == OUTPUTS => {
                match kind {
                    SetKind::Umt => umt::check(&set, &mut check)?,
                    _ => singularity::check(&set, &mut check)?,
                }
                set.outputs.note_unused(&mut check);
            }
            Some((_, "pth")) => checkpoint::check(&set, file, &mut check)?,
            Some((stem, "json")) if stem.starts_with("config_") => {
                checkpoint::check_sizes(&set, file, files, &mut check)?
            }
            _ => check.uncovered("the file"),
        }
        let report = check.finish();
        progress(&report);
        reports.push(report);
    }
    Ok(reports)
}

/// A setting is missing or cannot be understood.
fn bad_case<B: SvittBackend>(set: &FamilySet<B>, problem: impl Into<String>) -> svitt::Error {
    invalid(&set.folder.join(CASES), problem)
}
