//! An index as a file that databases and other programs read.

use super::clip_ids::{exported, list_beside};
use super::embedding_file::npy_header;
use super::results::damage_warnings;
use crate::index::{Index, ModelId};
use crate::{Error, Result, files};
use serde::Serialize;
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// What was exported.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExportReport {
    /// Clips, a row each.
    pub clips: usize,
    /// Numbers of a vector.
    pub dim: usize,
    /// The model that made them.
    pub model: ModelId,
    /// What of the index is not there: what is damaged, and words.
    pub warnings: Vec<String>,
}

/// The format of an exported index, by the ending of the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExportFormat {
    Parquet,
    Npy,
}

impl ExportFormat {
    fn of(out: &Path) -> Result<Self> {
        match out.extension().and_then(|extension| extension.to_str()) {
            Some("parquet") if cfg!(feature = "parquet") => Ok(Self::Parquet),
            Some("parquet") => {
                let remedy = "install the program with feature `parquet`, or name a file that ends in .npy";
                Err(Error::setting("out", "is Parquet, which this program was built without", remedy))
            }
            Some("npy") => Ok(Self::Npy),
            _ => {
                let problem = format!("`{}` ends in neither", out.display());
                Err(Error::setting("out", problem, "name a file that ends in .parquet or .npy"))
            }
        }
    }
}

/// Writes all clips of the index in `dir` to `out`: a `.parquet` file with a row per clip, or a `.npy` matrix `[clips,
/// dim]` with a `.json` list beside it. The index stays as it is meanwhile.
///
/// # Errors
/// Another ending; an index that is being written, or that a job has not finished; the disk refuses, and nothing is left.
pub fn export(dir: &Path, out: &Path) -> Result<ExportReport> {
    let format = ExportFormat::of(out)?;
    let (index, _guard) = Index::open_settled(dir)?;
    if let Some(part) = index.part().filter(|part| !part.complete) {
        let problem = format!("shard {} was not finished", part.shard);
        return Err(Error::file(dir, problem, format!("run job {} again", part.shard)));
    }
    match format {
        ExportFormat::Npy => write_npy(&index, out)?,
        #[cfg(feature = "parquet")]
        ExportFormat::Parquet => super::export_parquet::write(&index, out)?,
        #[cfg(not(feature = "parquet"))]
        ExportFormat::Parquet => {}
    }
    let mut warnings = damage_warnings(&index);
    if index.words() > 0 {
        warnings.push(format!("the {} texts of subtitles are left out: rows are clips", index.words()));
    }
    Ok(ExportReport { clips: index.clips(), dim: index.id().dim, model: index.id().clone(), warnings })
}

fn write_npy(index: &Index, out: &Path) -> Result<()> {
    let io = |e: std::io::Error| Error::io(out, &e);
    files::write_with(out, |file| {
        file.write_all(&npy_header([index.clips(), index.id().dim])).map_err(io)?;
        for clip in exported(index) {
            let bytes: Vec<u8> = clip.vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            file.write_all(&bytes).map_err(io)?;
        }
        Ok(())
    })?;
    let list = list_beside(out);
    files::write_with(&list, |file| write_list(index, file).map_err(|e| Error::io(&list, &e)))
}

/// The model and a line per clip, in the order of the rows.
fn write_list(index: &Index, file: &mut dyn Write) -> std::io::Result<()> {
    let shape = [index.clips(), index.id().dim];
    // Written clip by clip: a million of them are a quarter of a gigabyte.
    write!(file, "{{\"shape\": {},\n\"model\": {},\n\"clips\": [", json!(shape), json!(index.id()))?;
    for (number, clip) in exported(index).enumerate() {
        let line = serde_json::to_string(&clip).map_err(std::io::Error::other)?;
        write!(file, "{}\n{line}", if number == 0 { "" } else { "," })?;
    }
    file.write_all(b"\n]}\n")
}

#[cfg(test)]
mod tests;
