//! The parts that several jobs indexed become one index.

use super::manifest::IndexPart;
use super::{Index, IndexSummary, IndexWriter, ReadGuard, lock};
use crate::shard::Shard;
use crate::{Error, Result, files};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A part and the lock that keeps its job out while it is read.
struct OpenedPart {
    index: Index,
    part: IndexPart,
    _guard: ReadGuard,
}

/// Writes the parts of a folder in `inputs`, in any order, to the index `out`: file by file and vector by vector what one
/// process would have indexed. `out` appears whole or not at all.
///
/// # Errors
/// `out` is there already; an input that is no part, is damaged, is still being written or was not finished; parts of
/// two models, folders or ways to cut videos; a part that is missing or comes twice; the disk refuses.
pub fn merge_parts(out: &Path, inputs: &[PathBuf]) -> Result<IndexSummary> {
    if out.exists() {
        return Err(Error::file(out, "is there already", "choose another directory, or delete it"));
    }
    let parts = inputs.iter().map(|dir| OpenedPart::open(dir)).collect::<Result<Vec<_>>>()?;
    let Some((first, rest)) = parts.split_first() else {
        return Err(Error::setting("parts", "are missing", "give the index of every shard"));
    };
    rest.iter().try_for_each(|part| part.fits(first))?;
    require_all(&parts)?;
    let folder = files::temporary_folder(out)?;
    let summary = write(folder.path(), &parts)?;
    let made = folder.keep();
    std::fs::rename(&made, out).map_err(|e| {
        drop(std::fs::remove_dir_all(&made));
        Error::io(out, &e)
    })?;
    files::sync_folder(out.parent().unwrap_or(Path::new("")));
    Ok(summary)
}

impl OpenedPart {
    fn open(dir: &Path) -> Result<Self> {
        let guard = lock::shared(dir, "merge again when its job has finished")?;
        let index = Index::open(dir)?;
        let Some(part) = index.part().cloned() else {
            return Err(Error::file(dir, "is a whole index, not a shard", "index into it with option `shard`"));
        };
        let again = |what: &str| format!("{what} job {} again, which embeds only what is missing", part.shard);
        if !part.complete {
            let problem = format!("shard {} was not finished", part.shard);
            return Err(Error::file(dir, problem, again("run")));
        }
        if let Some(damage) = index.damage().first() {
            return Err(Error::file(dir, damage.to_string(), again("run")));
        }
        Ok(Self { index, part, _guard: guard })
    }

    fn dir(&self) -> &Path {
        self.index.dir()
    }

    /// Checks that this is a part of what `first` is a part of.
    fn fits(&self, first: &Self) -> Result<()> {
        const SAME: &str = "give the shards of one folder, indexed with the same settings";
        // The remedies of `require` are about a run of `index`.
        self.index.require(first.index.id()).map_err(|error| match error {
            Error::File { path, problem, .. } => Error::file(path, problem, SAME),
            other => other,
        })?;
        let differs = [
            ("shards of", self.part.shard.count().to_string(), first.part.shard.count().to_string()),
            ("folder", self.part.folder.clone(), first.part.folder.clone()),
            ("clips", self.part.clip_windows.clone(), first.part.clip_windows.clone()),
            ("subtitles", words(self.part.subtitles), words(first.part.subtitles)),
            ("vectors", self.index.precision().to_string(), first.index.precision().to_string()),
        ];
        let Some((what, ours, theirs)) = differs.into_iter().find(|(_, ours, theirs)| ours != theirs) else {
            return Ok(());
        };
        let other = first.dir().display();
        let problem = format!("is a part of another index than {other}: {what} {ours}, not {theirs}");
        Err(Error::file(self.dir(), problem, SAME))
    }
}

fn words(subtitles: bool) -> String {
    if subtitles { "indexed" } else { "left out" }.to_owned()
}

/// Checks that every shard is there, and once.
fn require_all(parts: &[OpenedPart]) -> Result<()> {
    let mut places: BTreeMap<Shard, &Path> = BTreeMap::new();
    for part in parts {
        if let Some(other) = places.insert(part.part.shard, part.dir()) {
            let problem = format!("holds shard {}, as {} does", part.part.shard, other.display());
            return Err(Error::file(part.dir(), problem, "give every shard once"));
        }
    }
    let count = parts.first().map_or(0, |part| part.part.shard.count());
    let missing: Vec<String> =
        Shard::all(count).filter(|shard| !places.contains_key(shard)).map(|shard| shard.to_string()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let remedy = "give the index of every shard, or index what is missing with option `shard`";
    Err(Error::setting("parts", format!("lack shard {}", missing.join(", ")), remedy))
}

/// The files of all `parts` in the order of their names, as an index in the empty `folder`.
fn write(folder: &Path, parts: &[OpenedPart]) -> Result<IndexSummary> {
    let mut owners: BTreeMap<&Path, &OpenedPart> = BTreeMap::new();
    for part in parts {
        for path in part.index.files() {
            if let Some(other) = owners.insert(path, part) {
                let problem = format!("holds {}, as {} does", path.display(), other.dir().display());
                return Err(Error::file(part.dir(), problem, "index both again, each with its option `shard`"));
            }
        }
    }
    let mut writer = IndexWriter::open(folder, parts[0].index.id())?;
    writer.adopt(parts.iter().map(|part| &part.index));
    writer.finish()
}

#[cfg(test)]
mod tests;
