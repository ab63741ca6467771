//! What an index knows of a file.

use super::words::Words;
use crate::config::{Precision, Sparsity};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// The model whose embeddings an index holds; vectors of two models cannot be compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelId {
    /// Its name or preset, for people.
    pub model: String,
    /// Hash of its weights.
    pub weights: String,
    /// Hash of its configuration without the sparsity.
    pub configuration: String,
    /// Edges and keep rate it ran with: the same weights under another sparsity give other vectors.
    pub sparsity: Sparsity,
    /// Hash of its vocabulary: with another one a text has other tokens.
    pub vocabulary: String,
    /// Width of an embedding.
    pub dim: usize,
    /// What it computed in, as it was asked for; f32 where an index says nothing.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
}

impl ModelId {
    /// The id of vectors of `dim` numbers that no model made, for measurements and tests.
    pub fn of_no_model(name: &str, dim: usize) -> Self {
        let none = || "none".to_owned();
        Self {
            model: name.to_owned(),
            weights: none(),
            configuration: none(),
            sparsity: Sparsity::default(),
            vocabulary: none(),
            dim,
            precision: Precision::F32,
        }
    }

    /// Checks that `wanted` is the model of the index in `dir`; its name does not matter.
    ///
    /// # Errors
    /// It is another one; the message says what differs.
    pub(super) fn require(&self, dir: &Path, wanted: &Self) -> Result<()> {
        let differs = [
            ("weights", &self.weights, &wanted.weights),
            ("configuration", &self.configuration, &wanted.configuration),
            ("vocabulary", &self.vocabulary, &wanted.vocabulary),
        ];
        let remedy = "use that checkpoint, or index into another directory";
        if let Some((what, ours, theirs)) = differs.into_iter().find(|(_, ours, theirs)| ours != theirs) {
            let problem = format!(
                "this index was made by {} with {what} {ours:.12}, not by {} with {what} {theirs:.12}",
                self.model, wanted.model
            );
            return Err(Error::file(dir, problem, remedy));
        }
        if self.sparsity != wanted.sparsity {
            let problem = format!("this index was made with [{}], not with [{}]", self.sparsity, wanted.sparsity);
            let remedy = "leave out option `keep`, option `budget_ms`, option `edges` and option `rank`, or index into another directory";
            return Err(Error::file(dir, problem, remedy));
        }
        if self.precision != wanted.precision {
            let problem =
                format!("this index was made in {}, not in {}", self.precision.name(), wanted.precision.name());
            return Err(Error::file(dir, problem, "leave out option `precision`, or index into another directory"));
        }
        if self.dim != wanted.dim {
            let problem = format!("this index holds vectors of {} numbers, not of {}", self.dim, wanted.dim);
            return Err(Error::file(dir, problem, remedy));
        }
        Ok(())
    }
}

/// Fingerprint that tells whether a file must be embedded again. Times are compared for equality only, so a clock that
/// goes backwards is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes of the file.
    pub size: u64,
    /// Time of last modification, nanoseconds since 1970.
    pub modified_ns: i64,
    /// How it was cut into clips: length, overlap, frames.
    pub clip_windows: String,
}

impl Stamp {
    /// The stamp of the file at `path`, to be cut as `clip_windows` says.
    ///
    /// # Errors
    /// The file cannot be seen.
    pub fn of(path: impl AsRef<Path>, clip_windows: impl Into<String>) -> Result<Self> {
        let metadata = std::fs::metadata(&path).map_err(|e| Error::io(&path, &e))?;
        let modified_ns = match metadata.modified().map(|time| time.duration_since(UNIX_EPOCH)) {
            Ok(Ok(after)) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Ok(Err(before)) => -i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX),
            Err(_) => 0,
        };
        Ok(Self { size: metadata.len(), modified_ns, clip_windows: clip_windows.into() })
    }
}

/// One clip of a file and its embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipEmbedding {
    /// Start in seconds.
    pub start: f64,
    /// End in seconds.
    pub end: f64,
    /// The embedding `[dim]`, of length 1 at most once it is in an index.
    pub vector: Vec<f32>,
}

impl ClipEmbedding {
    /// When it is shown.
    pub fn span(&self) -> ClipSpan {
        ClipSpan { start: self.start, end: self.end }
    }
}

/// When a clip is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipSpan {
    /// Start in seconds.
    pub start: f64,
    /// End in seconds.
    pub end: f64,
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FileEntry {
    pub stamp: Stamp,
    pub content: Content,
    /// What is said in the clips, where it is a file of subtitles and not a video.
    pub words: Option<Arc<Words>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// One row per clip, from row `first` of a table on.
    Clips {
        table: usize,
        first: usize,
        spans: Vec<ClipSpan>,
    },
    Broken(String),
}

impl FileEntry {
    pub fn spans(&self) -> &[ClipSpan] {
        if let Content::Clips { spans, .. } = &self.content { spans } else { &[] }
    }
}

/// `vector`, scaled to length 1 where it is longer, or none if it is not finite or has no direction. A mean over the unit
/// vectors of frames is shorter and stays so: its product with a text's vector is the mean of the frames' cosines.
pub(super) fn at_most_unit(vector: &[f32]) -> Option<Vec<f32>> {
    let unit = normalised(vector)?;
    Some(if length(vector) > 1.0 { unit } else { vector.to_vec() })
}

/// The length of `vector`.
pub(super) fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt()
}

/// `vector` scaled to length 1, or none if it is not finite or has no direction.
pub(super) fn normalised(vector: &[f32]) -> Option<Vec<f32>> {
    let norm = length(vector);
    (norm.is_finite() && norm > 0.0).then(|| vector.iter().map(|x| (f64::from(*x) / norm) as f32).collect())
}

/// A model of tests.
#[cfg(test)]
pub(crate) fn test_model(dim: usize) -> ModelId {
    let (weights, configuration, vocabulary) = ("abc".into(), "one".into(), "words".into());
    ModelId { weights, configuration, vocabulary, ..ModelId::of_no_model("tiny", dim) }
}
