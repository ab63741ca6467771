//! Files of a model hub: `hf://owner/name[/file][@revision]` becomes a path in the cache that the hub's own tools use.
//! The only place that opens connections, and only for such an address (feature `hub`).

mod address;
mod checksum;
mod download;
mod error;
mod repository;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;

pub use address::{HubAddress, SCHEME};

use crate::Result;
use crate::progress::ProgressSink;
use hf_hub::{Cache, Repo};
use std::env;
use std::path::{Path, PathBuf};

/// A hub and the cache of its files.
#[derive(Clone, Debug)]
pub struct Hub {
    endpoint: String,
    cache: PathBuf,
    token: Option<String>,
    offline: bool,
}

impl Hub {
    /// The hub of the environment, by the variables of the hub's own tools: `HF_ENDPOINT` (a mirror), `HF_HUB_CACHE`,
    /// else `HF_HOME/hub`, else `huggingface/hub` below the user's cache folder, `HF_TOKEN`, else the file that a login
    /// left, and `HF_HUB_OFFLINE=1` (the cache alone).
    pub fn from_env() -> Self {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let home = set("HF_HOME").map(PathBuf::from).or_else(|| Some(cache_folder()?.join("huggingface")));
        let home = home.unwrap_or_else(|| env::temp_dir().join("huggingface"));
        let cache = set("HF_HUB_CACHE").map(PathBuf::from).unwrap_or_else(|| home.join("hub"));
        let token = set("HF_TOKEN").or_else(|| Cache::new(home.join("hub")).token());
        let offline =
            set("HF_HUB_OFFLINE").is_some_and(|value| !matches!(value.as_str(), "0" | "false" | "no" | "off"));
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), cache, token, offline }
    }

    /// The hub at `endpoint` with the cache `cache`, without a token.
    pub fn new(endpoint: &str, cache: &Path) -> Self {
        Self { endpoint: endpoint.to_owned(), cache: cache.to_path_buf(), token: None, offline: false }
    }

    /// This hub's cache alone: nothing is asked.
    pub fn offline(self) -> Self {
        Self { offline: true, ..self }
    }

    /// The path of what `address` names: its file, or the folder of all files that a model here is made of. What is in
    /// the cache is not asked for again, a file that was cut is continued, and every file that comes is held against its
    /// checksum.
    ///
    /// # Errors
    /// A malformed address, no connection, something that is not there or needs a token, a file that is damaged on the
    /// way, a cache that cannot be written.
    pub fn fetch(&self, address: &str, progress: &ProgressSink) -> Result<PathBuf> {
        let address = HubAddress::parse(address)?;
        match &address.file {
            Some(file) => self.file(&address, file, progress),
            None => self.folder(&address, progress),
        }
    }

    fn cache(&self) -> Cache {
        Cache::new(self.cache.clone())
    }

    fn repo(address: &HubAddress) -> Repo {
        Repo::with_revision(address.repository.clone(), address.kind, address.revision.clone())
    }
}

fn cache_folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME").or_else(|| Some(env::home_dir()?.join(".cache")))
}
