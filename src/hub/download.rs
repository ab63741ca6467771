//! One file: from the cache, or from the hub into the cache.

use super::address::{HubAddress, is_plain};
use super::{Hub, checksum, error};
use crate::progress::ProgressSink;
use crate::{Error, Result};
use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiError, Metadata};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// A connection that brings nothing for so long is given up; what came stays for the next try.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells of a download's progress.
enum Event {
    Size(usize),
    Bytes(usize),
    Ended(Result<PathBuf, Box<ApiError>>),
}

impl Hub {
    /// The file `file` of the repository of `address`.
    pub(super) fn file(&self, address: &HubAddress, file: &str, progress: &ProgressSink) -> Result<PathBuf> {
        if let Some(path) = self.cached(address, file) {
            return Ok(path);
        }
        if self.offline {
            return Err(error::unreachable(address, &self.endpoint, "HF_HUB_OFFLINE is set"));
        }
        let api = self.api(address)?;
        let url = api.repo(Self::repo(address)).url(file);
        let (asking, named) = (api.clone(), url.clone());
        let found = within(PATIENCE, move || asking.metadata(&named));
        let found = found.ok_or_else(|| error::unreachable(address, &self.endpoint, "no answer for 60 s"))?;
        let found = found.map_err(|e| error::of_api(address, &self.endpoint, &e))?;
        self.download(api, address, file, &found, progress)
    }

    /// `file` in the cache, at the commit that is known for the revision or is the revision.
    fn cached(&self, address: &HubAddress, file: &str) -> Option<PathBuf> {
        let cache = self.cache().repo(Self::repo(address));
        let at_commit = cache.pointer_path(&address.revision).join(file);
        cache.get(file).or_else(|| at_commit.exists().then_some(at_commit))
    }

    fn download(
        &self,
        api: Api,
        address: &HubAddress,
        file: &str,
        found: &Metadata,
        progress: &ProgressSink,
    ) -> Result<PathBuf> {
        if ![found.etag(), found.commit_hash()].into_iter().all(is_plain) {
            let problem = format!("{} gives it a name that cannot be a file's", self.endpoint);
            return Err(Error::setting(&address.text, problem, "use another mirror"));
        }
        let blob = self.cache().repo(Self::repo(address)).blob_path(found.etag());
        forget_useless_part(&blob, found.size());
        let (events, told) = channel();
        let (repository, name) = (api.repo(Self::repo(address)), file.to_owned());
        std::thread::spawn(move || {
            let ended = repository.download_with_progress(&name, Teller(events.clone()));
            events.send(Event::Ended(ended.map_err(Box::new))).ok();
        });
        let path = self.watch(address, file, &told, progress)?;
        let complete = fs::metadata(&path).is_ok_and(|facts| facts.len() == found.size() as u64);
        if !(complete && checksum::agrees(&path, found.etag())?) {
            fs::remove_file(&path).and_then(|()| fs::remove_file(&blob)).ok();
            let problem = format!("{file} is not what the hub has: its size or checksum differs");
            return Err(Error::setting(&address.text, problem, "run this again; if it stays so, use another mirror"));
        }
        Ok(path)
    }

    /// Waits for the end of a download.
    fn watch(
        &self,
        address: &HubAddress,
        file: &str,
        told: &Receiver<Event>,
        progress: &ProgressSink,
    ) -> Result<PathBuf> {
        let what = format!("fetching {file} (kB)");
        let (mut size, mut done) = (0, 0);
        loop {
            match told.recv_timeout(PATIENCE) {
                Ok(Event::Size(bytes)) => (size, done) = (bytes, 0),
                Ok(Event::Bytes(bytes)) => {
                    done += bytes;
                    progress.report(&what, done / 1000, size.div_ceil(1000));
                }
                Ok(Event::Ended(ended)) => return ended.map_err(|e| error::of_api(address, &self.endpoint, &e)),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(error::unreachable(address, &self.endpoint, "nothing came for 60 s"));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(error::of_cache(address, "the download broke off")),
            }
        }
    }
}

/// Removes the part of an earlier download that a request for its rest cannot continue.
fn forget_useless_part(blob: &Path, size: usize) {
    let part = blob.with_extension("part");
    if fs::metadata(&part).is_ok_and(|facts| facts.len() >= size as u64) {
        fs::remove_file(&part).ok();
    }
}

/// What `work` returns, if it does so within `time`; else it is left to itself.
pub(super) fn within<T: Send + 'static>(time: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send(work()).ok());
    receiver.recv_timeout(time).ok()
}

/// Passes progress on to the thread that waits.
struct Teller(Sender<Event>);

impl Progress for Teller {
    fn init(&mut self, size: usize, _: &str) {
        self.0.send(Event::Size(size)).ok();
    }

    fn update(&mut self, size: usize) {
        self.0.send(Event::Bytes(size)).ok();
    }

    fn finish(&mut self) {}
}
