//! A whole model: the files of a repository that a checkpoint here, or one that `import` reads, is made of.

use super::address::{HubAddress, is_plain_name};
use super::download::within;
use super::{Hub, error};
use crate::progress::ProgressSink;
use crate::{Error, Result};
use std::path::PathBuf;
use std::time::Duration;

/// How long a hub may take to list a repository.
const PATIENCE: Duration = Duration::from_secs(60);

/// Configurations, vocabularies, indexes of shards, checksums.
const BESIDE: &[&str] = &["json", "txt"];

/// Weights, the first kind that is there: some repositories have the same weights in several formats.
const WEIGHTS: &[&[&str]] = &[&["safetensors"], &["bin", "pth", "pt"]];

impl Hub {
    /// The folder with the files of the model of `address`.
    pub(super) fn folder(&self, address: &HubAddress, progress: &ProgressSink) -> Result<PathBuf> {
        match self.listed(address) {
            Ok(listed) => {
                let at_commit = HubAddress { revision: listed.commit, ..address.clone() };
                let files = wanted(&listed.files);
                if !files.iter().any(|file| WEIGHTS.iter().any(|kind| has_extension(file, kind))) {
                    let problem = "the repository has no weights (.safetensors, .bin, .pth or .pt) at its top";
                    return Err(Error::setting(&address.text, problem, "name a file: hf://owner/name/file"));
                }
                for file in &files {
                    self.file(&at_commit, file, progress)?;
                }
                let cache = self.cache().repo(Self::repo(address));
                cache.create_ref(&at_commit.revision).map_err(|e| error::of_cache(address, &e.to_string()))?;
                Ok(cache.pointer_path(&at_commit.revision))
            }
            Err(reason) => self.known_folder(address).ok_or(reason),
        }
    }

    fn listed(&self, address: &HubAddress) -> Result<Listed> {
        if self.offline {
            return Err(error::unreachable(address, &self.endpoint, "HF_HUB_OFFLINE is set"));
        }
        let repository = self.api(address)?.repo(Self::repo(address));
        let info = within(PATIENCE, move || repository.info());
        let info = info.ok_or_else(|| error::unreachable(address, &self.endpoint, "no answer for 60 s"))?;
        let info = info.map_err(|e| error::of_api(address, &self.endpoint, &e))?;
        if !super::address::is_plain(&info.sha) {
            let problem = format!("{} names a commit that cannot be one", self.endpoint);
            return Err(Error::setting(&address.text, problem, "use another mirror"));
        }
        Ok(Listed { commit: info.sha, files: info.siblings.into_iter().map(|sibling| sibling.rfilename).collect() })
    }

    /// The folder that an earlier call made for this revision, if the hub cannot be asked.
    fn known_folder(&self, address: &HubAddress) -> Option<PathBuf> {
        let cache = self.cache().repo(Self::repo(address));
        let weights = |folder: &PathBuf| {
            let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.any(|name| WEIGHTS.iter().any(|kind| has_extension(&name, kind)))
        };
        // The commit itself, or the one that the branch had.
        let branch = self.cache.join(Self::repo(address).folder_name()).join("refs").join(&address.revision);
        let commit = std::fs::read_to_string(branch).unwrap_or_else(|_| address.revision.clone());
        let folder = Some(cache.pointer_path(commit.trim())).filter(weights)?;
        log::warn!("{}: the hub cannot be asked; {} is used as it is", address.text, folder.display());
        Some(folder)
    }
}

struct Listed {
    commit: String,
    files: Vec<String>,
}

/// The files of a model among those of a repository: at its top, weights in one format.
fn wanted(files: &[String]) -> Vec<&str> {
    let top = || files.iter().map(String::as_str).filter(|file| is_plain_name(file));
    let weights = WEIGHTS.iter().find(|kind| top().any(|file| has_extension(file, kind)));
    top().filter(|file| has_extension(file, BESIDE) || weights.is_some_and(|kind| has_extension(file, kind))).collect()
}

fn has_extension(file: &str, extensions: &[&str]) -> bool {
    file.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_format_of_the_weights_is_fetched() {
        let files =
            ["README.md", "config.json", "a/b.json", "m.bin", "m.safetensors", "tf.h5", "vocab.txt", "../x.json"];
        let files = files.map(str::to_owned);
        assert_eq!(wanted(&files), ["config.json", "m.safetensors", "vocab.txt"]);
        assert_eq!(wanted(&files[..4]), ["config.json", "m.bin"]);
    }
}
