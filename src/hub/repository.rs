//! A whole model: the files of a repository that a checkpoint here, or one that `import` reads, is made of.

use super::Hub;
use super::address::{HubAddress, is_plain, is_plain_name};
use super::download::agent;
use super::error::{self, Failure};
use crate::progress::ProgressSink;
use crate::{Error, Result};
use serde::Deserialize;
use std::path::PathBuf;

/// Bytes of the description of a repository.
const MOST_BYTES: u64 = 16 << 20;

/// Configurations, vocabularies, indexes of shards, checksums.
const BESIDE: &[&str] = &["json", "txt"];

/// Weights, the first kind that is there: some repositories have the same weights in several formats.
const WEIGHTS: &[&[&str]] = &[&["safetensors"], &["bin", "pth", "pt"]];

impl Hub {
    /// The folder with the files of the model of `address`.
    pub(super) fn folder(&self, address: &HubAddress, progress: &ProgressSink) -> Result<PathBuf> {
        match self.listed(address) {
            Ok(listed) => {
                let at_commit = HubAddress { revision: listed.sha, ..address.clone() };
                let names: Vec<String> = listed.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
                let files = wanted(&names);
                if !files.iter().any(|file| WEIGHTS.iter().any(|kind| has_extension(file, kind))) {
                    let problem = "the repository has no weights (.safetensors, .bin, .pth or .pt) at its top";
                    return Err(Error::setting(&address.text, problem, "name a file: hf://owner/name/file"));
                }
                for file in &files {
                    self.file(&at_commit, file, progress)?;
                }
                let cache = self.cache().repo(Self::repo(address));
                cache.create_ref(&at_commit.revision).map_err(error::of_cache(address))?;
                Ok(cache.pointer_path(&at_commit.revision))
            }
            Err(reason) => self.known_folder(address).ok_or(reason),
        }
    }

    fn listed(&self, address: &HubAddress) -> Result<Listed> {
        if self.offline {
            return Err(error::offline(address));
        }
        let url = format!("{}/api/{}", self.endpoint, Self::repo(address).api_url());
        let asked = || -> std::result::Result<Listed, Failure> {
            let body =
                self.get(&agent(10), &url, None)?.into_body().into_with_config().limit(MOST_BYTES).read_to_string();
            let body = body.map_err(|e| Failure::Broken(e.to_string()))?;
            serde_json::from_str(&body).map_err(|e| Failure::NoHub(format!("its list of files cannot be read ({e})")))
        };
        let listed = asked().map_err(|failure| failure.of(address, &self.endpoint))?;
        if !is_plain(&listed.sha) {
            let problem = format!("{} names a commit that cannot be one", self.endpoint);
            return Err(Error::setting(&address.text, problem, "use another mirror"));
        }
        Ok(listed)
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

/// A repository, as the hub describes it.
#[derive(Deserialize)]
struct Listed {
    /// The commit.
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
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
