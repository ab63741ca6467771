//! A page in the browser over an index, and the same as a JSON API: `search serve`.
//!
//! [`serve`] opens indexes, answers requests on one address, and, where folders are given, keeps an index up to date
//! with them. Each index is searched by its own model. The model stands on a thread of its own behind a channel of jobs ([`SearchModel`]); the index is read anew
//! when its files change (`library`). Everything that a request may and may not do is in `access`; files are named
//! by ids of what is indexed, never by a path.

mod access;
mod answer_format;
mod answers;
mod connections;
mod library;
mod media;
mod model_thread;
mod pages;
mod refusal;
mod routes;
mod shown_results;
mod state;
#[cfg(test)]
mod tests;
mod watching;

pub use connections::Address;
pub use model_thread::SearchModel;

use crate::progress::{ProgressSink, StopFlag};
use crate::search::{ClipWindows, IndexReport};
use crate::{Error, Result};
use state::{Collection, Shared};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

/// Threads that talk to browsers; the work is done elsewhere.
const THREADS: usize = 2;

/// Where it is served.
#[derive(Clone, Copy, Debug)]
pub struct ServeSettings {
    /// The address that is listened on: this machine alone, unless a person wants otherwise.
    pub host: Address,
    /// The port; 0 for any free one.
    pub port: u16,
}

/// An index that is served, and its model.
pub struct ServedIndex {
    /// The index directory; it exists.
    pub index: PathBuf,
    /// The folders that are indexed and watched, where any are.
    pub folders: Vec<PathBuf>,
    /// How a picture's or video's clip is cut in a query.
    pub clip_windows: ClipWindows,
    /// What answers.
    pub model: Box<dyn SearchModel + Send>,
    /// What keeps the index up to date with the folders.
    pub indexer: Option<FolderIndexer>,
}

/// Brings the index up to date with its folders once, telling how far it is, until it is done or asked to stop.
pub type FolderIndexer = Box<dyn Fn(ProgressSink, StopFlag) -> Result<IndexReport> + Send>;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// `http://127.0.0.1:8080`.
    pub address: String,
    /// What a browser beyond this machine must bring, as `?token=…` of its first request.
    pub token: Option<String>,
}

/// Serves `indexes`, each by its own model, until `stop` is set; `listening` is told the address once connections are
/// taken.
///
/// # Errors
/// An index cannot be read, or the address cannot be listened on.
pub fn serve(
    settings: &ServeSettings,
    indexes: Vec<ServedIndex>,
    stop: &StopFlag,
    listening: &dyn Fn(&Listening) -> Result<()>,
) -> Result<()> {
    let fault = |problem: std::io::Error| Error::Fault(format!("the server's runtime: {problem}"));
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(THREADS).enable_io().enable_time().build().map_err(fault)?;
    let listener = runtime.block_on(connections::bind(settings.host, settings.port))?;
    let mut opened = Vec::with_capacity(indexes.len());
    for (number, served) in indexes.iter().enumerate() {
        let (jobs, queue) = model_thread::channel();
        opened.push((Arc::new(Collection::open(number, served, jobs)?), queue));
    }
    let collections = opened.iter().map(|(collection, _)| collection.clone()).collect();
    let shared = Arc::new(Shared::new(collections, &listener)?);
    let told = Listening { address: shared.access.address(), token: shared.access.token().map(str::to_owned) };
    thread::scope(|scope| {
        for ((collection, queue), served) in opened.into_iter().zip(indexes) {
            let ServedIndex { index, folders, model, indexer, .. } = served;
            scope.spawn(move || model_thread::work(&*model, queue, stop));
            let fresh = collection.clone();
            scope.spawn(move || library::keep_fresh(&fresh, stop));
            if let Some(indexer) = indexer {
                scope.spawn(move || watching::keep_indexed(&collection, &index, &folders, &indexer, stop));
            }
        }
        let served = listening(&told).map(|()| {
            runtime.block_on(connections::accept(listener, routes::router(shared.clone()), stop.clone()));
        });
        stop.set();
        served
    })
}
