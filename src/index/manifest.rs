//! `manifest.json` of an index: model and segments; replaced atomically, never edited.

use super::entry::ModelId;
use crate::{Error, Result, files};
use serde::{Deserialize, Serialize};
use std::path::Path;

const NAME: &str = "manifest.json";
const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct IndexManifest {
    format: u32,
    #[serde(flatten)]
    pub id: ModelId,
    /// File names in the order they are read.
    pub segments: Vec<String>,
}

impl IndexManifest {
    pub fn new(id: ModelId) -> Self {
        Self { format: FORMAT, id, segments: Vec::new() }
    }

    /// The manifest in `dir`, or none if there is no such file.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path, &e)),
        };
        let remedy = "delete the index directory and index again";
        let manifest: Self =
            serde_json::from_str(&text).map_err(|e| Error::file(&path, format!("not a manifest: {e}"), remedy))?;
        let named = |name: &String| name.ends_with(".seg") && !name.contains(['/', '\\']);
        match manifest {
            Self { format, .. } if format != FORMAT => {
                let problem = format!("the index has format {format}, this program reads {FORMAT}");
                Err(Error::file(path, problem, remedy))
            }
            // A million numbers a vector keeps size arithmetic far from overflow.
            Self { id: ModelId { dim: 0 | 1_000_001.., .. }, .. } => {
                Err(Error::file(path, format!("vectors of {} numbers make no sense", manifest.id.dim), remedy))
            }
            ref manifest if !manifest.segments.iter().all(named) => {
                Err(Error::file(path, "a segment's name is not a file name", remedy))
            }
            manifest => Ok(Some(manifest)),
        }
    }

    /// Replaces the old one: readers see the one or the other, whole.
    pub fn write(&self, dir: &Path) -> Result<()> {
        files::write_json(&dir.join(NAME), self)
    }
}
