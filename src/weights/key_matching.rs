//! Matches the tensors of a checkpoint to the keys of a model.

use super::SourceKind;
use super::infer::table_shape;
use super::position_tables::{TableResampler, TableShape};
use super::report::{LoadReport, ShapeMismatch};
use super::schema::{WeightKey, has_prefix};
use super::source::WeightSource;
use crate::config::{FrameAttention, VideoConfig};
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap};

/// BERT's table of positions.
const POSITIONS: &str = "text_encoder.bert.embeddings.position_embeddings.weight";

/// What may be missing or changed.
#[derive(Clone, Debug, Default)]
pub struct MatchOptions {
    /// Keys that may be missing: full names, or beginnings of names up to a dot (`text_encoder.cls`).
    pub allow_missing: Vec<String>,
    /// Whether position tables are taken from another clip length or grid; an image model's always are.
    pub convert_tables: bool,
}

/// Tensors of a checkpoint for the keys of a model.
#[derive(Debug)]
pub struct MatchedWeights<'a> {
    source: &'a WeightSource,
    /// How the tables are converted, by their rows in the checkpoint.
    resamplers: HashMap<usize, TableResampler>,
    /// Positions that the model's texts have, where BERT's table has more.
    text_positions: Option<usize>,
    /// What became of every key.
    pub report: LoadReport,
}

impl<'a> MatchedWeights<'a> {
    /// Looks every learned key of `keys` up in `source`; `video` are the sizes of the model.
    ///
    /// # Errors
    /// A position table for another clip length although conversion was not asked for. What is missing or has
    /// another shape is in the report; see [`MatchedWeights::complete`].
    pub fn new(
        source: &'a WeightSource,
        keys: &[WeightKey],
        video: &VideoConfig,
        options: &MatchOptions,
    ) -> Result<Self> {
        let mut matched =
            Self { source, resamplers: HashMap::new(), text_positions: None, report: LoadReport::default() };
        let target = TableShape { frames: video.frames_per_sequence(), grid: video.grid() };
        for key in keys.iter().filter(|key| key.is_learned()) {
            matched.look_up(key, target, options)?;
        }
        let wanted: BTreeSet<&str> = keys.iter().map(|key| key.outline.name.as_str()).collect();
        for name in source.names().filter(|name| !wanted.contains(name)) {
            let aside = sets_aside(name, video);
            let list = if aside { &mut matched.report.set_aside } else { &mut matched.report.unused };
            list.extend(source.original_name(name).map(str::to_string));
        }
        matched.report.set_aside.extend_from_slice(source.set_aside());
        matched.report.rebuilt = source.index_buffers().to_vec();
        matched.report.tied = source.tied().to_vec();
        Ok(matched)
    }

    /// Refuses a checkpoint that lacks what it must have.
    ///
    /// # Errors
    /// A missing key that was not allowed, or one of another shape.
    pub fn complete(self) -> Result<Self> {
        let Some(problem) = self.report.problem() else { return Ok(self) };
        let remedy = if self.report.mismatched.is_empty() {
            "give a complete checkpoint, or allow them with `--allow-missing NAME`"
        } else {
            "give a checkpoint of a model with these sizes"
        };
        Err(Error::file(self.source.path(), problem, remedy))
    }

    /// The values for the key `name`, converted where needed; none if the checkpoint lacks it.
    ///
    /// # Errors
    /// A table that cannot be converted, or a value that is not finite: every score of the model would be NaN.
    pub fn values(&self, name: &str) -> Result<Option<Vec<f32>>> {
        let Some(mut tensor) = self.source.read(name) else { return Ok(None) };
        if let Some(value) = tensor.values.iter().find(|value| !value.is_finite()) {
            let problem = format!("its tensor `{name}` holds {value}, which is no weight");
            let remedy = "obtain it again, or give a checkpoint from before training diverged";
            return Err(Error::file(self.source.path(), problem, remedy));
        }
        if let (POSITIONS, Some(positions), [_, width]) = (name, self.text_positions, tensor.shape.as_slice()) {
            tensor.values.truncate(positions * width);
        }
        match (is_table(name), tensor.shape.as_slice()) {
            (true, [rows, heads]) if self.resamplers.contains_key(rows) => {
                self.resamplers[rows].resample(&tensor.values, *heads).map(Some)
            }
            _ => Ok(Some(tensor.values)),
        }
    }

    fn look_up(&mut self, key: &WeightKey, target: TableShape, options: &MatchOptions) -> Result<()> {
        let name = key.outline.name.clone();
        let Some(found) = self.source.shape(&name) else {
            let list = if self.source.never_has(&name) {
                &mut self.report.fresh
            } else if options.allow_missing.iter().any(|allowed| has_prefix(&name, allowed)) {
                &mut self.report.allowed
            } else {
                &mut self.report.missing
            };
            list.push(name);
            return Ok(());
        };
        if found != key.outline.shape {
            let cut = self.cuts_positions(&name, found, &key.outline.shape);
            if !(cut || self.converts(&name, found, &key.outline.shape, target, options)?) {
                let (expected, found) = (key.outline.shape.clone(), found.to_vec());
                self.report.mismatched.push(ShapeMismatch { name, expected, found });
                return Ok(());
            }
            self.report.converted.push(name.clone());
        }
        self.report.applied.push(name);
        Ok(())
    }

    /// Whether a tensor of shape `found` is BERT's table of positions, and the model's shorter texts use its beginning.
    fn cuts_positions(&mut self, name: &str, found: &[usize], expected: &[usize]) -> bool {
        let cut = self.source.kind() == SourceKind::Bert
            && name == POSITIONS
            && matches!((found, expected), ([has, width], [wants, same]) if has > wants && width == same);
        if cut {
            self.text_positions = Some(expected[0]);
        }
        cut
    }

    /// Whether a tensor of shape `found` is a position table that can be taken to shape `expected`.
    fn converts(
        &mut self,
        name: &str,
        found: &[usize],
        expected: &[usize],
        target: TableShape,
        options: &MatchOptions,
    ) -> Result<bool> {
        let ([rows, heads], true) = (found, is_table(name) && expected.first() == Some(&target.rows())) else {
            return Ok(false);
        };
        let trained = match self.source.kind() {
            SourceKind::Singularity | SourceKind::SingularityQa => Some(1),
            _ => self.source.frames(),
        };
        let Some(from) = table_shape(*rows, trained, Some(target.grid)) else { return Ok(false) };
        if expected.get(1) != Some(heads) {
            return Ok(false);
        }
        let image_model = from.frames == 1 || self.source.kind() == SourceKind::Beit;
        if !image_model && !options.convert_tables {
            return Err(other_clips(self.source, from, target));
        }
        self.resamplers.insert(*rows, TableResampler::new(from, target)?);
        Ok(true)
    }
}

/// Whether a model of `video` has no use for the tensor `name` of a Singularity checkpoint: its one-frame models store
/// a vector per frame and do not add it, and a joint encoder needs nothing that joins frames.
fn sets_aside(name: &str, video: &VideoConfig) -> bool {
    let joint = video.attention == FrameAttention::Joint;
    let added = video.temporal.as_ref().is_some_and(|temporal| temporal.frames > 0);
    name == "temporal_embeddings" && !added || joint && name.starts_with("temporal_vision_encoder.layer.")
}

fn other_clips(source: &WeightSource, from: TableShape, target: TableShape) -> Error {
    let shape = |shape: TableShape| format!("{} frames of {2}×{2} patches{1}", shape.frames, "", shape.grid);
    let problem = format!("its position tables are for {}, the model's for {}", shape(from), shape(target));
    let remedy = "use the clip length it was trained with, or convert it with `cargo xtask import … --frames N`";
    Error::file(source.path(), problem, remedy)
}

fn is_table(name: &str) -> bool {
    name.ends_with(".relative_position_bias_table")
}

#[cfg(test)]
mod tests {
    use super::super::infer::model_config;
    use super::super::schema::{CheckpointPart, keys};
    use super::*;

    fn micro() -> WeightSource {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity/checkpoint_micro_full.pth");
        WeightSource::open(path).unwrap()
    }

    #[test]
    fn every_key_of_the_micro_checkpoint_is_accounted_for() {
        let source = micro();
        let config = model_config(&source, None).unwrap();
        let keys = keys(&config, CheckpointPart::Pretraining);
        let matched = MatchedWeights::new(&source, &keys, &config.video, &MatchOptions::default()).unwrap();
        let report = &matched.report;
        assert!(report.is_complete() && report.unused.is_empty() && report.converted.is_empty());
        assert_eq!(report.applied.len(), keys.iter().filter(|key| key.is_learned()).count());
        assert_eq!((report.rebuilt.len(), report.tied.len()), (3, 2));
    }

    #[test]
    fn another_clip_length_is_an_error_or_converted() {
        let source = micro();
        let config = model_config(&source, Some(8)).unwrap();
        let keys = keys(&config, CheckpointPart::Pretraining);
        let refused =
            MatchedWeights::new(&source, &keys, &config.video, &MatchOptions::default()).unwrap_err().to_string();
        assert!(refused.contains("4 frames of 2×2 patches") && refused.contains("8 frames"), "{refused}");
        let options = MatchOptions { convert_tables: true, ..MatchOptions::default() };
        let matched = MatchedWeights::new(&source, &keys, &config.video, &options).unwrap().complete().unwrap();
        assert_eq!(matched.report.converted.len(), 2);
        let values = matched.values(&matched.report.converted[0]).unwrap().unwrap();
        assert_eq!(values.len(), (15 * 9 + 3) * 2);
    }

    #[test]
    fn missing_and_misshapen_keys_are_named() {
        let mut source = micro();
        let config = model_config(&source, None).unwrap();
        let mut wanted = keys(&config, CheckpointPart::Pretraining);
        wanted[0].outline.shape = vec![3];
        let problem = |source: &WeightSource, wanted: &[WeightKey], allow: &[&str]| {
            let allow_missing = allow.iter().map(|name| name.to_string()).collect();
            let options = MatchOptions { allow_missing, convert_tables: false };
            MatchedWeights::new(source, wanted, &config.video, &options).unwrap().complete().map(|m| m.report)
        };
        assert!(problem(&source, &wanted, &[]).unwrap_err().to_string().contains("temp [] instead of [3]"));
        wanted[0].outline.shape.clear();
        source.add_decoder(2);
        let refused = problem(&source, &wanted, &["text_encoder.cl"]).unwrap_err().to_string();
        assert!(refused.contains("lacks 5 tensors (text_encoder.cls.predictions.bias"), "{refused}");
        let report = problem(&source, &wanted, &["text_encoder.cls"]).unwrap();
        assert_eq!(report.allowed.len(), 5);
        assert!(
            report.unused.iter().any(|name| name.starts_with("text_encoder.bert")),
            "copies keep their file's name"
        );
    }
}
