//! What all requests share.

use super::ServedIndex;
use super::access::Access;
use super::library::{Library, number_of};
use super::media::MediaCache;
use super::model_thread::Jobs;
use super::refusal::Refusal;
use crate::Result;
use crate::search::{ClipWindows, IndexReport, printable};
use axum::http::StatusCode;
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
    pub media: MediaCache,
    /// The indexes, by their numbers.
    pub collections: Vec<Arc<Collection>>,
}

/// An index that is served: its files, its model and how far indexing is.
pub(super) struct Collection {
    /// What it is called in addresses.
    number: usize,
    pub jobs: Jobs,
    pub clip_windows: ClipWindows,
    library: RwLock<Arc<Library>>,
    indexing: Mutex<IndexingState>,
}

/// How far indexing is, as people and scripts read it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct IndexingState {
    /// The folders that are watched, where any are.
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
    /// The address is unknown, or there is no place for previews.
    pub fn new(collections: Vec<Arc<Collection>>, listener: &TcpListener) -> Result<Self> {
        let address = listener.local_addr().map_err(|problem| crate::Error::Fault(problem.to_string()))?;
        let (access, media) = (Access::new(address)?, MediaCache::new()?);
        Ok(Self { access, room: Arc::new(Semaphore::new(MOST_REQUESTS)), media, collections })
    }

    /// The index of this number; the first where none is given.
    pub fn collection(&self, number: Option<usize>) -> Result<&Arc<Collection>, Refusal> {
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, "there is no index of this number");
        self.collections.get(number.unwrap_or(0)).ok_or_else(unknown)
    }

    /// The index that `id`, of a file or a clip, is of.
    pub fn collection_of(&self, id: &str) -> Result<&Arc<Collection>, Refusal> {
        let number = number_of(id).ok_or_else(|| Refusal::unknown("clip"))?;
        self.collections.get(number).ok_or_else(|| Refusal::unknown("clip"))
    }
}

impl Collection {
    /// The state of the index `number`.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn open(number: usize, served: &ServedIndex, jobs: Jobs) -> Result<Self> {
        let folders: Vec<String> = served.folders.iter().map(|folder| printable(folder)).collect();
        let folder = (!folders.is_empty()).then(|| folders.join(", "));
        Ok(Self {
            number,
            jobs,
            clip_windows: served.clip_windows,
            library: RwLock::new(Arc::new(Library::open(&served.index, number)?)),
            indexing: Mutex::new(IndexingState { folder, ..IndexingState::default() }),
        })
    }

    /// Its number.
    pub fn number(&self) -> usize {
        self.number
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
