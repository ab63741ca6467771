//! Compares this implementation with the official one's numbers.
//!
//! A parity directory holds inputs, weights, random draws and outputs of the official code for a small model. Sizes
//! come from its `config_*.json`, settings of every case from its `cases.json`; nothing here is about one directory.
//!
//! | file | what it checks |
//! |---|---|
//! | [`video`], [`graphs`] | `video_*`: every stage of the video encoder |
//! | [`text`] | `text`, `fusion_*`, `fusion_inputs`: every stage of the text and fusion encoder |
//! | [`losses`], [`gradients`] | `losses_*`: pretraining losses and all gradients |
//! | [`retrieval`], [`metrics`] | `retrieval`, `retrieval_metrics`: score matrices and their figures |
//! | [`vqa`] | `vqa`, `vqa_meta`: losses, gradients and ranking of answers |
//! | [`position_tables`] | `interp`: position tables |
//! | [`transforms`], [`tokenization`], [`misc`], [`adamw`] | pixels, tokens, schedules, optimizer |
//! | [`checkpoint`] | `checkpoint_*`, `config_*`: weights in both formats, bit for bit |
//! | [`families`] | whole sets of Singularity and UMT |
//! | [`context`], [`cases`], [`fixture`], [`tolerance`], [`report`] | settings, tensors, what is allowed, what is said |

pub mod adamw;
pub mod cases;
pub mod checkpoint;
pub mod context;
pub mod families;
pub mod fixture;
#[cfg(all(test, any(feature = "wgpu", feature = "cuda")))]
mod gpu_tests;
pub mod gradients;
pub mod graphs;
pub mod losses;
pub mod metrics;
pub mod misc;
pub mod position_tables;
pub mod report;
pub mod retrieval;
pub mod text;
pub mod tokenization;
pub mod tolerance;
pub mod transforms;
pub mod video;
pub mod vqa;

pub use report::{FileReport, ParityReport, TensorReport};

use context::ParityContext;
use families::SetKind;
use report::FileCheck;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use svitt::backend::{BackendKind, BackendTask, dispatch};
use svitt::{Error, Result};
use svitt_ops::TrainBackend;

/// Compares every file of `folder` on `backend`; after each, `progress` gets its report.
///
/// # Errors
/// A directory without settings, or files that are damaged or do not fit together. Numbers that differ, and files that
/// nothing here covers, are in the report.
pub fn check(folder: &Path, backend: BackendKind, progress: impl FnMut(&FileReport)) -> Result<ParityReport> {
    let files = listed(folder)?;
    dispatch(backend, ParityTask { folder: folder.to_path_buf(), backend, files, progress })?
}

/// The files of `folder` that are to be covered: all safetensors, PyTorch and JSON files but the settings.
fn listed(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(|problem| Error::io(folder, &problem))?;
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.map_err(|problem| Error::io(folder, &problem))?.file_name().to_string_lossy().into_owned();
        let known = [".safetensors", ".pth", ".json"].iter().any(|extension| name.ends_with(extension));
        if known && name != cases::CASES {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}

struct ParityTask<P> {
    folder: PathBuf,
    backend: BackendKind,
    files: Vec<String>,
    progress: P,
}

impl<P: FnMut(&FileReport)> BackendTask for ParityTask<P> {
    type Output = Result<ParityReport>;

    fn run<B: TrainBackend>(mut self, device: B::Device) -> Result<ParityReport> {
        let factor = tolerance::factor(self.backend);
        let kind = SetKind::of(&self.files);
        if kind != SetKind::Svitt {
            let reports =
                families::check::<B::InnerBackend>(kind, &self.folder, &self.files, device, factor, self.progress)?;
            return Ok(ParityReport::new(self.backend.name(), reports));
        }
        let context = ParityContext::<B>::open(&self.folder, &self.files, device)?;
        let mut checks: BTreeMap<String, FileCheck> =
            self.files.iter().map(|file| (file.clone(), FileCheck::new(file, factor))).collect();
        let mut order = self.files.clone();
        order.sort_by_key(|file| rank(file));
        let mut reports = Vec::new();
        for file in order {
            run_file(&context, &file, &mut checks)?;
            let Some(mut check) = checks.remove(&file) else { continue };
            note_unused(&context, &file, &mut check);
            let report = check.finish();
            (self.progress)(&report);
            reports.push(report);
        }
        reports.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(ParityReport::new(self.backend.name(), reports))
    }
}

/// Order of files: those that add to another file's comparisons come first, those that only serve others last.
fn rank(file: &str) -> u8 {
    match file {
        vqa::FILE => 0,
        "inputs.safetensors" | "fusion_inputs.safetensors" => 2,
        misc::FILE | metrics::FILE => 3,
        _ => 1,
    }
}

/// Compares `file`, and adds to the checks of files that belong to it.
fn run_file<B: TrainBackend>(
    context: &ParityContext<B>,
    file: &str,
    checks: &mut BTreeMap<String, FileCheck>,
) -> Result<()> {
    let Some(mut check) = checks.remove(file) else { return Ok(()) };
    let result = compare(context, file, &mut check, checks);
    checks.insert(file.to_string(), check);
    result
}

fn compare<B: TrainBackend>(
    context: &ParityContext<B>,
    file: &str,
    check: &mut FileCheck,
    others: &mut BTreeMap<String, FileCheck>,
) -> Result<()> {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    match file {
        cases::BEIT | cases::BERT => checkpoint::check_sizes(context, file, check),
        tokenization::FILE => tokenization::check(context, check),
        misc::FILE => misc::check(context, check),
        metrics::FILE if context.has("retrieval") => Ok(()),
        vqa::FILE if context.has("vqa") => match others.get_mut("vqa.safetensors") {
            Some(tensors) => vqa::check_meta(context, tensors, check),
            None => Ok(()),
        },
        _ if stem.starts_with("checkpoint_") && !file.ends_with(".json") => checkpoint::check(context, file, check),
        _ if !file.ends_with(".safetensors") => {
            check.uncovered("the file");
            Ok(())
        }
        "inputs.safetensors" => Ok(()),
        "fusion_inputs.safetensors" => text::check_fusion_inputs(context, check),
        "text.safetensors" => text::check_text(context, check),
        "retrieval.safetensors" => retrieval::check(context, check, others.get_mut(metrics::FILE)),
        "vqa.safetensors" => vqa::check(context, check),
        "interp.safetensors" => position_tables::check(context, check),
        "transforms.safetensors" => transforms::check(context, check),
        "adamw.safetensors" => adamw::check(context, check),
        _ => forward(context, stem, check),
    }
}

/// A file with an entry of its own in `cases.json`.
fn forward<B: TrainBackend>(context: &ParityContext<B>, stem: &str, check: &mut FileCheck) -> Result<()> {
    let Some(case) = context.cases.case(stem, None)? else {
        check.uncovered("its entry in cases.json");
        return Ok(());
    };
    match stem.split('_').next() {
        Some("video") => video::check(context, stem, &case, check),
        Some("fusion") => text::check_fusion(context, stem, &case, check),
        Some("losses") => losses::check(context, stem, &case, check),
        _ => {
            check.uncovered("the file");
            Ok(())
        }
    }
}

/// Tensors that no comparison has touched; of the inputs, any use will do.
fn note_unused<B: TrainBackend>(context: &ParityContext<B>, file: &str, check: &mut FileCheck) {
    let Some(stem) = file.strip_suffix(".safetensors").filter(|stem| context.has(stem)) else { return };
    let Ok(fixture) = context.fixture(stem) else { return };
    match stem {
        "inputs" if fixture.is_used() => {}
        _ => fixture.note_unused(check),
    }
}
