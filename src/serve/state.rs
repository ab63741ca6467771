//! What all requests share.

use super::ServeSettings;
use super::access::Access;
use super::library::Library;
use super::media::MediaCache;
use super::model_thread::Jobs;
use crate::Result;
use crate::search::{ClipWindows, IndexReport, printable};
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Requests that are answered at a time.
const MOST_REQUESTS: usize = 64;

/// The state of a server.
pub(super) struct Shared {
    pub access: Access,
    /// Places for requests.
    pub room: Arc<Semaphore>,
    pub jobs: Jobs,
    pub media: MediaCache,
    pub clip_windows: ClipWindows,
    library: RwLock<Arc<Library>>,
    indexing: Mutex<IndexingState>,
}

/// How far indexing is, as people and scripts read it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct IndexingState {
    /// The folder that is watched, where one is.
    pub folder: Option<String>,
    /// Whether files are being looked at or embedded now.
    pub running: bool,
    /// Files of this run that are done.
    pub done: usize,
    /// Files of this run.
    pub total: usize,
    /// Whether changes are told by the system, or the folder is walked every few minutes only.
    pub watching: bool,
    /// Why the last run could not do its work.
    pub problem: Option<String>,
    /// What became of the files in the last run.
    pub report: Option<IndexReport>,
}

impl Shared {
    /// The state of a server on `listener`.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn open(settings: &ServeSettings, jobs: Jobs, listener: &TcpListener) -> Result<Self> {
        let address = listener.local_addr().map_err(|problem| crate::Error::Fault(problem.to_string()))?;
        let folder = settings.folder.as_deref().map(printable);
        Ok(Self {
            access: Access::new(address)?,
            room: Arc::new(Semaphore::new(MOST_REQUESTS)),
            jobs,
            media: MediaCache::new()?,
            clip_windows: settings.clip_windows,
            library: RwLock::new(Arc::new(Library::open(&settings.index)?)),
            indexing: Mutex::new(IndexingState { folder, ..IndexingState::default() }),
        })
    }

    /// The index as it was read last.
    pub fn library(&self) -> Arc<Library> {
        self.library.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another reading of the index in its place.
    pub fn replace_library(&self, library: Library) {
        *self.library.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(library);
    }

    /// How far indexing is.
    pub fn indexing(&self) -> IndexingState {
        self.indexing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says how far indexing is.
    pub fn note_indexing(&self, change: impl FnOnce(&mut IndexingState)) {
        change(&mut self.indexing.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
