//! `manifest.json` of an index: model and segments; replaced atomically, never edited.

use super::entry::ModelId;
use super::precision::VectorPrecision;
use super::table::TableShape;
use crate::shard::Shard;
use crate::{Error, Result, files, input};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

const NAME: &str = "manifest.json";
/// 2: the model's identity holds configuration and vocabulary, and segments are listed with their lengths. 3: vectors that
/// are means over frames keep their length, and the model's identity names the sparsity. 4: a checksum of the rest. 5: one
/// job's part of a folder; tables of vectors beside segments. 6: words, as records of their own kind; an index without any is
/// of format 5.
const FORMAT: u32 = 6;
const WORDLESS: u32 = 5;
/// The oldest format that is still read: what it lacks is left out here, too.
const OLDEST: u32 = 4;

/// A manifest of ten thousand segments takes a megabyte; an index has at most nine.
const MOST_BYTES: u64 = 16 << 20;

/// Vectors of a table, 70 billion. With the limit of a vector's numbers it keeps the arithmetic of sizes from overflow.
const MOST_ROWS: u64 = 1 << 36;

/// What a segment held when its writer was done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sealed {
    pub bytes: u64,
    pub records: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SegmentEntry {
    /// File name.
    pub name: String,
    /// None while it is written, and where its writer was killed.
    pub sealed: Option<Sealed>,
    /// The file of its clips' vectors, where these do not stand in the records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableEntry>,
}

/// A file of vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TableEntry {
    /// File name.
    pub name: String,
    pub precision: VectorPrecision,
    pub rows: u64,
}

impl TableEntry {
    /// What it holds, of `dim` numbers a row.
    pub fn shape(&self, dim: usize) -> TableShape {
        TableShape { precision: self.precision, dim, rows: self.rows as usize }
    }
}

/// The part of a folder that one of several jobs indexes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPart {
    /// Which job's part.
    pub shard: Shard,
    /// The folder that is shared out, as it is shown.
    pub folder: String,
    /// How its videos are cut.
    pub clip_windows: String,
    /// Whether the subtitles beside them are indexed.
    #[serde(default = "indexed")]
    pub subtitles: bool,
    /// Whether the job came to its end; not while it runs, nor after it was killed.
    pub complete: bool,
}

/// Parts that say nothing of subtitles left none out.
fn indexed() -> bool {
    true
}

impl IndexPart {
    /// Whether `other` is the same part, finished or not, with subtitles or without.
    fn is_same(&self, other: &Self) -> bool {
        Self { complete: other.complete, subtitles: other.subtitles, ..self.clone() } == *other
    }
}

impl fmt::Display for IndexPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} of {} cut into {}", self.shard, self.folder, self.clip_windows)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct IndexManifest {
    format: u32,
    #[serde(flatten)]
    pub id: ModelId,
    /// In the order they are read.
    pub segments: Vec<SegmentEntry>,
    /// Of one job among several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<IndexPart>,
    /// What vectors are stored in once they are many.
    #[serde(default, skip_serializing_if = "is_default")]
    pub vectors: VectorPrecision,
    /// Whether records of words may be among those of the segments.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub words: bool,
}

fn is_default(vectors: &VectorPrecision) -> bool {
    *vectors == VectorPrecision::default()
}

/// The manifest as it stands in the file.
#[derive(Serialize, Deserialize)]
struct Signed {
    #[serde(flatten)]
    manifest: IndexManifest,
    /// SHA-256 of the manifest as JSON.
    sha256: String,
}

impl IndexManifest {
    pub fn new(id: ModelId, part: Option<IndexPart>) -> Self {
        let (segments, vectors, words) = (Vec::new(), VectorPrecision::default(), false);
        Self { format: WORDLESS, id, segments, part, vectors, words }
    }

    /// Whether there is one in `dir`.
    pub fn exists(dir: &Path) -> bool {
        dir.join(NAME).is_file()
    }

    /// The manifest in `dir`, or none if there is no such file.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(NAME);
        let text = match input::read_text(&path, MOST_BYTES) {
            Ok(text) => text,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e),
        };
        let remedy = "delete the index directory and index again";
        let bad = |problem: String| Error::file(&path, problem, remedy);
        let json: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| bad(format!("not an index manifest: {e}")))?;
        match json["format"].as_u64() {
            Some(format) if !(u64::from(OLDEST)..=u64::from(FORMAT)).contains(&format) => {
                return Err(bad(format!("the index has format {format}, this program reads {OLDEST} to {FORMAT}")));
            }
            _ => {}
        }
        let Signed { manifest, sha256 } =
            serde_json::from_value(json).map_err(|e| bad(format!("not an index manifest: {e}")))?;
        if manifest.digest()? != sha256 {
            return Err(bad("is damaged: its checksum is not the one it was written with".to_owned()));
        }
        match manifest.nonsense() {
            Some(problem) => Err(bad(problem)),
            None => Ok(Some(manifest)),
        }
    }

    /// What of it no program can have written.
    fn nonsense(&self) -> Option<String> {
        let is_file = |name: &str, ending: &str| name.ends_with(ending) && !name.contains(['/', '\\']);
        let is_named = |segment: &SegmentEntry| {
            let table = segment.table.as_ref();
            is_file(&segment.name, ".seg") && table.is_none_or(|table| is_file(&table.name, ".vec"))
        };
        let fits = |segment: &SegmentEntry| segment.table.as_ref().is_none_or(|table| table.rows <= MOST_ROWS);
        match self {
            // A million numbers a vector keeps size arithmetic far from overflow.
            Self { id: ModelId { dim: 0 | 1_000_001.., .. }, .. } => {
                Some(format!("vectors of {} numbers make no sense", self.id.dim))
            }
            manifest if !manifest.segments.iter().all(is_named) => {
                Some("a segment's name is not a file name".to_owned())
            }
            manifest if !manifest.segments.iter().all(fits) => {
                Some(format!("holds a table of more than {MOST_ROWS} vectors"))
            }
            _ => None,
        }
    }

    /// Checks that the index in `dir` is the `part` that is wanted, all of it where none is, and says on disk that a
    /// part is being written.
    ///
    /// # Errors
    /// It holds another part, or the disk refuses.
    pub fn start_part(&mut self, dir: &Path, part: Option<&IndexPart>) -> Result<()> {
        let remedy = "choose another directory with option `index`";
        match (&mut self.part, part) {
            (None, None) => Ok(()),
            (None, Some(wanted)) => {
                let problem = format!("this index is no part of one, and cannot take shard {}", wanted.shard);
                Err(Error::file(dir, problem, remedy))
            }
            (Some(held), Some(wanted)) if held.is_same(wanted) => {
                let begun = IndexPart { complete: false, ..wanted.clone() };
                if *held == begun {
                    return Ok(());
                }
                *held = begun;
                self.write(dir)
            }
            (Some(held), wanted) => {
                let wanted = wanted.map_or("all of a folder".to_owned(), ToString::to_string);
                Err(Error::file(dir, format!("this index holds {held}, not {wanted}"), remedy))
            }
        }
    }

    /// Replaces the old one: readers see the one or the other, whole.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let format = if self.words { FORMAT } else { WORDLESS };
        let manifest = Self { format, ..self.clone() };
        let sha256 = manifest.checksum()?;
        let signed = Signed { manifest, sha256 };
        files::write_json(&dir.join(NAME), &signed)
    }

    fn digest(&self) -> Result<String> {
        let text = serde_json::to_string(self).map_err(|e| Error::Fault(e.to_string()))?;
        Ok(crate::digest::sha256_hex(text))
    }

    /// The digest of what a reader makes of the file: fractions need not be read back to the last bit.
    fn checksum(&self) -> Result<String> {
        let text = serde_json::to_string(self).map_err(|e| Error::Fault(e.to_string()))?;
        serde_json::from_str::<Self>(&text).map_err(|e| Error::Fault(e.to_string()))?.digest()
    }
}
