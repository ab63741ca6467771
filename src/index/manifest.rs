//! `manifest.json` of an index: model and segments; replaced atomically, never edited.

use super::entry::ModelId;
use crate::{Error, Result, files, input};
use serde::{Deserialize, Serialize};
use std::path::Path;

const NAME: &str = "manifest.json";
/// 2: the model's identity holds configuration and vocabulary, and segments are listed with their lengths. 3: vectors that
/// are means over frames keep their length, and the model's identity names the sparsity. 4: a checksum of the rest.
const FORMAT: u32 = 4;

/// A manifest of ten thousand segments takes a megabyte; an index has at most nine.
const MOST_BYTES: u64 = 16 << 20;

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
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct IndexManifest {
    format: u32,
    #[serde(flatten)]
    pub id: ModelId,
    /// In the order they are read.
    pub segments: Vec<SegmentEntry>,
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
    pub fn new(id: ModelId) -> Self {
        Self { format: FORMAT, id, segments: Vec::new() }
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
            Some(format) if format != u64::from(FORMAT) => {
                return Err(bad(format!("the index has format {format}, this program reads {FORMAT}")));
            }
            _ => {}
        }
        let Signed { manifest, sha256 } =
            serde_json::from_value(json).map_err(|e| bad(format!("not an index manifest: {e}")))?;
        if manifest.digest()? != sha256 {
            return Err(bad("is damaged: its checksum is not the one it was written with".to_owned()));
        }
        let named = |segment: &SegmentEntry| segment.name.ends_with(".seg") && !segment.name.contains(['/', '\\']);
        match manifest {
            // A million numbers a vector keeps size arithmetic far from overflow.
            Self { id: ModelId { dim: 0 | 1_000_001.., .. }, .. } => {
                Err(bad(format!("vectors of {} numbers make no sense", manifest.id.dim)))
            }
            ref manifest if !manifest.segments.iter().all(named) => {
                Err(bad("a segment's name is not a file name".to_owned()))
            }
            manifest => Ok(Some(manifest)),
        }
    }

    /// Replaces the old one: readers see the one or the other, whole.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let signed = Signed { manifest: self.clone(), sha256: self.checksum()? };
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
