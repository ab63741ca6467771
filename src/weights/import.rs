//! A checkpoint of another program becomes a checkpoint folder, tensor by tensor.

use super::SourceKind;
use super::checkpoint::{Checkpoint, CheckpointInfo, WEIGHTS, is_checkpoint, write_checkpoint};
use super::infer::{self, Inferred};
use super::key_matching::{MatchOptions, MatchedWeights};
use super::report::LoadReport;
use super::schema::{CheckpointPart, WeightKey, keys};
use super::source::WeightSource;
use crate::config::ModelConfig;
use crate::{Error, Result, files};
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// What an import should do beyond taking everything over.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Clip length of the result; the checkpoint's own by default. Position tables are converted to it.
    pub frames: Option<usize>,
    /// Keys that may be missing; see [`MatchOptions::allow_missing`].
    pub allow_missing: Vec<String>,
    /// Tensors that may be left over, by name or its beginning up to a dot.
    pub allow_unused: Vec<String>,
    /// Whether a model that encodes frames one by one becomes a joint one, its position tables extended over time.
    pub joint: bool,
    /// Whether a pretrained model becomes one for question answering, its decoder made of the fusion layers.
    pub question_answering: bool,
}

/// What was imported.
#[derive(Clone, Debug, Serialize)]
pub struct ImportSummary {
    /// The line of models: `svitt`, `singularity`, `umt`, `beit` or `bert`.
    pub family: &'static str,
    /// The model the checkpoint is of.
    pub kind: &'static str,
    /// What the folder holds.
    pub part: CheckpointPart,
    /// Its sizes and rules.
    pub model: ModelConfig,
    /// SHA-256 of the weights.
    pub weights_sha256: String,
    /// Non-PyTorch classes and functions named in a PyTorch file; none was executed.
    pub foreign: Vec<String>,
    /// Sizes that no tensor and no file says, and that were assumed, in words.
    pub assumed: Vec<String>,
    /// What became of every key.
    #[serde(flatten)]
    pub report: LoadReport,
}

/// What a checkpoint says about itself.
struct Described {
    source: WeightSource,
    info: CheckpointInfo,
    assumed: Vec<String>,
}

/// Imports `checkpoint` into the new or existing folder `out`. One tensor is in memory at a time.
///
/// # Errors
/// A file that cannot be read, tensors that are missing without permission or have another shape, or a failed write;
/// `out` is not touched then, as it is not where it is the source's own folder.
pub fn import(checkpoint: &Path, out: &Path, options: &ImportOptions) -> Result<ImportSummary> {
    files::refuse_no_folder(out)?;
    let Described { mut source, mut info, assumed } = described(checkpoint, options)?;
    refuse_source(source.path(), out)?;
    let kind = source.kind();
    info.part = part(&mut source, &info, options)?;
    let (model, all) = (info.model.clone(), keys(&info.model, info.part));
    let allow_missing = options.allow_missing.iter().chain(&info.absent).cloned().collect();
    let allowed = MatchOptions { allow_missing, convert_tables: options.frames.is_some() || options.joint };
    let mut matched = MatchedWeights::new(&source, &all, &model.video, &allowed)?.complete()?;
    if info.part == CheckpointPart::QuestionAnswering {
        matched.report.set_aside_for_answers();
    }
    let report = &matched.report;
    if let Some(problem) = report.left_over(&options.allow_unused) {
        let remedy =
            "give a checkpoint of one of the published models, or leave them out with option `allow_unused` NAME";
        return Err(Error::file(checkpoint, problem, remedy));
    }
    info.absent = report.allowed.iter().chain(&report.fresh).cloned().collect();
    let present: Vec<WeightKey> = all.into_iter().filter(|key| key.is_present(&info.absent)).collect();
    let weights_sha256 = write_checkpoint(out, &info, &present, |name| {
        let values = matched.values(name)?;
        values.ok_or_else(|| Error::file(checkpoint, format!("has no tensor `{name}`"), "import again"))
    })?;
    let (foreign, report) = (source.foreign().to_vec(), matched.report);
    let (family, kind) = (kind.family(), kind.name());
    Ok(ImportSummary { family, kind, part: info.part, model, weights_sha256, foreign, assumed, report })
}

/// Refuses to write over the weights that are read, or over what lies beside them.
fn refuse_source(source: &Path, out: &Path) -> Result<()> {
    let folder = source.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (folder.canonicalize(), out.canonicalize()) {
        (Ok(folder), Ok(out_folder)) if folder == out_folder => {
            let problem = "is the folder that the weights are read from, and would be written over";
            Err(Error::file(out, problem, "choose another option `out`"))
        }
        _ => Ok(()),
    }
}

/// The weights of `checkpoint` and what they are: as its own folder says, or inferred.
fn described(checkpoint: &Path, options: &ImportOptions) -> Result<Described> {
    let frames = options.frames;
    // A checkpoint folder may be named by its weights: they belong to the description beside them.
    let folder = match checkpoint.file_name() {
        Some(name) if name == WEIGHTS => checkpoint.parent().filter(|folder| is_checkpoint(folder)),
        _ => None,
    };
    let folder = folder.unwrap_or(checkpoint);
    let Described { source, mut info, assumed } = if is_checkpoint(folder) {
        let Checkpoint { mut info, weights, .. } = Checkpoint::open(folder)?;
        info.model.video.frames = frames.unwrap_or(info.model.video.frames);
        Described { source: weights, info, assumed: Vec::new() }
    } else {
        let source = WeightSource::open(checkpoint)?;
        let Inferred { model, assumed } = infer::inferred(&source, frames)?;
        let name = checkpoint.file_name().unwrap_or_default();
        let origin = format!("imported from {} ({})", name.display(), source.kind().name());
        let part = infer::part(source.kind());
        let info = CheckpointInfo { model, part, absent: vec![], vocabulary: None, curriculum: None, origin };
        Described { source, info, assumed }
    };
    if options.joint {
        info.model.video = info.model.video.joint();
    }
    info.model.validate()?;
    Ok(Described { source, info, assumed })
}

/// What the folder will hold; a decoder is added to the source where question answering is asked for.
fn part(source: &mut WeightSource, info: &CheckpointInfo, options: &ImportOptions) -> Result<CheckpointPart> {
    if !options.question_answering {
        return Ok(info.part);
    }
    if matches!(source.kind(), SourceKind::Beit | SourceKind::Bert) {
        let problem = format!("{} weights have no fusion layers to make a decoder of", source.kind().name());
        return Err(Error::file(source.path(), problem, "give a SViTT, Singularity or UMT checkpoint"));
    }
    source.add_decoder(info.model.text.fusion_layer);
    Ok(CheckpointPart::QuestionAnswering)
}

impl fmt::Display for ImportSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (video, text) = (&self.model.video, &self.model.text);
        writeln!(f, "{} weights, sha256 {}", self.kind, self.weights_sha256)?;
        writeln!(
            f,
            "video            {} frames of {} px, {} layers of {} with {} heads, {}",
            video.frames,
            video.image_size,
            video.layers,
            video.hidden,
            video.heads,
            video.sparsity.mode()
        )?;
        writeln!(
            f,
            "text             {} layers of {} with {} heads, fusion from layer {}, {} words",
            text.layers, text.hidden, text.heads, text.fusion_layer, text.vocab_size
        )?;
        writeln!(f, "compat           {:?}", self.model.compat)?;
        for assumed in &self.assumed {
            writeln!(f, "assumed          {assumed}")?;
        }
        if !self.foreign.is_empty() {
            writeln!(f, "never run        {}", self.foreign.join(", "))?;
        }
        self.report.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::foreign_checkpoints;
    use super::*;
    use crate::config::{Compat, Family};
    use std::path::PathBuf;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity").join(name)
    }

    #[test]
    fn an_official_checkpoint_is_taken_over_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("x");
        let imported = import(&fixture("checkpoint_micro_full.pth"), &out, &ImportOptions::default()).unwrap();
        assert!(imported.report.is_complete() && imported.report.unused.is_empty(), "{imported}");
        let checkpoint = Checkpoint::open(&out).unwrap();
        assert_eq!(checkpoint.info.model.compat, Compat::Official);
        let read = |path: PathBuf| {
            let bytes = std::fs::read(path).unwrap();
            let tensors = super::super::safetensors::read(&bytes).unwrap().tensors;
            let mut all: Vec<_> = tensors.into_iter().map(|(name, view)| (name, view.read(&bytes))).collect();
            all.retain(|(name, _)| !name.ends_with("relative_position_index"));
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        };
        let (ours, theirs) = (read(out.join("model.safetensors")), read(fixture("checkpoint_micro_model.safetensors")));
        assert_eq!(ours.len(), theirs.len());
        for ((name, a), (other, b)) in ours.iter().zip(&theirs) {
            assert_eq!((name, &a.shape), (other, &b.shape));
            assert!(a.values.iter().zip(&b.values).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}");
        }
        let again = import(&out, &folder.path().join("y"), &ImportOptions::default()).unwrap();
        assert_eq!((again.weights_sha256, again.model), (imported.weights_sha256, imported.model));
    }

    /// Skipped where Python has no PyTorch.
    #[test]
    fn pytorch_loads_an_import_strictly() {
        let python = std::env::var("PYTHON").unwrap_or("python3".to_string());
        let has_torch = std::process::Command::new(&python).args(["-c", "import torch"]).output();
        if !has_torch.is_ok_and(|output| output.status.success()) {
            return crate::skipped::skipped("PyTorch");
        }
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("x");
        import(&fixture("checkpoint_micro_full.pth"), &out, &ImportOptions::default()).unwrap();
        let files = [
            fixture("../strict_load.py"),
            fixture("checkpoint_micro_model.safetensors"),
            out.join("model.safetensors"),
        ];
        let output = std::process::Command::new(&python).args(files).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn weights_that_are_not_finite_are_refused_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad, out) = (folder.path().join("good"), folder.path().join("bad"), folder.path().join("out"));
        import(&fixture("checkpoint_micro_full.pth"), &good, &ImportOptions::default()).unwrap();
        let Checkpoint { info, weights, .. } = Checkpoint::open(&good).unwrap();
        let all = keys(&info.model, info.part);
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            write_checkpoint(&bad, &info, &all, |name| {
                let mut values = weights.read(name).unwrap().values;
                if name == "itm_head.bias" {
                    values[1] = value;
                }
                Ok(values)
            })
            .unwrap();
            let message = import(&bad, &out, &ImportOptions::default()).unwrap_err().to_string();
            assert!(message.contains(&format!("`itm_head.bias` holds {value}")) && !out.exists(), "{message}");
        }
    }

    #[test]
    fn clip_lengths_and_tasks_change_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("qa8");
        let options = ImportOptions { frames: Some(8), question_answering: true, ..ImportOptions::default() };
        let imported = import(&fixture("checkpoint_micro_full.pth"), &out, &options).unwrap();
        assert_eq!((imported.model.video.frames, imported.report.converted.len()), (8, 2));
        assert!(
            imported.report.set_aside.contains(&"itm_head.weight".to_string()) && imported.report.unused.is_empty()
        );
        let weights = Checkpoint::open(&out).unwrap().weights;
        assert_eq!(weights.kind(), SourceKind::SvittQa);
        assert!(weights.shape("text_decoder.bert.encoder.layer.0.crossattention.self.query.weight").is_some());
    }

    #[test]
    fn encoders_of_the_transformers_library_are_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("video");
        let options = ImportOptions { frames: Some(3), ..ImportOptions::default() };
        let video = import(&foreign_checkpoints::beit(folder.path()), &out, &options).unwrap();
        assert_eq!(
            (video.part, video.model.compat, video.report.converted.len()),
            (CheckpointPart::Video, Compat::Corrected, 2)
        );
        assert_eq!((&video.report.set_aside[..], video.report.unused.len()), (&["classifier.bias".to_string()][..], 0));
        let out = folder.path().join("text");
        let text = import(&foreign_checkpoints::bert(folder.path()), &out, &ImportOptions::default()).unwrap();
        assert_eq!((text.part, text.model.text.layers, text.report.fresh.len()), (CheckpointPart::Text, 3, 10));
        assert_eq!(text.report.set_aside, ["bert.pooler.dense.bias", "cls.seq_relationship.bias"]);
        assert_eq!(Checkpoint::open(&out).unwrap().info.absent.len(), 10);
    }

    #[test]
    fn singularity_is_itself_or_made_joint() {
        let folder = tempfile::tempdir().unwrap();
        let (file, out) = (foreign_checkpoints::singularity(folder.path()), folder.path().join("out"));
        let imported = import(&file, &out, &ImportOptions { frames: Some(5), ..ImportOptions::default() }).unwrap();
        let report = &imported.report;
        assert_eq!((imported.family, report.converted.len(), report.fresh.len()), ("singularity", 0, 5));
        assert_eq!((&report.set_aside[..], report.unused.len()), (&["temporal_embeddings".to_string()][..], 0));
        assert_eq!((imported.model.video.family(), imported.model.video.frames), (Family::Singularity, 5));
        let weights = Checkpoint::open(&out).unwrap().weights;
        assert_eq!((weights.kind(), weights.tied().len()), (SourceKind::Singularity, 0));
        let again = import(&out, &folder.path().join("again"), &ImportOptions::default()).unwrap();
        assert_eq!((again.weights_sha256, again.model), (imported.weights_sha256, imported.model));
        let options = ImportOptions { frames: Some(5), joint: true, ..ImportOptions::default() };
        let joint = import(&out, &folder.path().join("joint"), &options).unwrap();
        assert_eq!((joint.report.converted.len(), joint.model.video.family()), (2, Family::Svitt));
        assert_eq!(joint.model.video.table_rows(), 9 * 9 + 3);
    }

    #[test]
    fn an_import_never_writes_over_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("x");
        import(&fixture("checkpoint_micro_full.pth"), &out, &ImportOptions::default()).unwrap();
        // A sparse model: the weights alone would be taken for a dense one.
        let Checkpoint { mut info, weights, .. } = Checkpoint::open(&out).unwrap();
        info.model.video.sparsity.node = Some(crate::config::NodeSparsity::by_class(0.5, &[0]));
        let all = keys(&info.model, info.part);
        write_checkpoint(&out, &info, &all, |name| Ok(weights.read(name).unwrap().values)).unwrap();
        let before = ["config.json", "model.safetensors"].map(|name| std::fs::read(out.join(name)).unwrap());
        for source in [out.clone(), out.join("model.safetensors"), out.join("../x/model.safetensors")] {
            let message = import(&source, &out, &ImportOptions::default()).unwrap_err().to_string();
            assert!(message.contains("read from") && message.contains("option `out`"), "{message}");
        }
        let after = ["config.json", "model.safetensors"].map(|name| std::fs::read(out.join(name)).unwrap());
        assert_eq!(before, after);
        let named = import(&out.join("model.safetensors"), &folder.path().join("y"), &ImportOptions::default());
        let (named, own) = (named.unwrap().model, Checkpoint::open(&out).unwrap().info.model);
        assert_eq!(named, own, "weights named as a file keep their sparsity");
        assert!(own.video.sparsity.node.is_some());
    }

    #[test]
    fn nothing_is_left_of_a_bad_import() {
        let folder = tempfile::tempdir().unwrap();
        let (bad, out) = (folder.path().join("bad.pth"), folder.path().join("out"));
        std::fs::write(&bad, &std::fs::read(fixture("checkpoint_micro_full.pth")).unwrap()[..300_000]).unwrap();
        let message = import(&bad, &out, &ImportOptions::default()).unwrap_err().to_string();
        assert!(message.contains("bad.pth") && message.contains("truncated"), "{message}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
