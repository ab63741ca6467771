//! A page in the browser over an index, by the name of a backend.

use super::IndexModel;
use super::search::{CutRequest, IndexRequest};
use crate::backend::{BackendTask, dispatch};
use crate::index::{Index, IndexWriter};
#[cfg(feature = "cli")]
use crate::limits::{self, count};
use crate::progress::{ProgressSink, StopFlag};
use crate::search::{Embedder, identify};
use crate::serve::{self, Address, FolderIndexer, Listening, ServeSettings};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use svitt_ops::{SvittBackend, TrainBackend};

/// Show a page in the browser that searches an index, and keeps it up to date with a folder
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct ServeRequest {
    /// Folder of videos that is indexed and watched; without it the index is shown as it is
    pub dir: Option<PathBuf>,
    /// The index and its model.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub base: IndexModel,
    /// Address to listen on; beyond this machine a token is asked for
    #[cfg_attr(feature = "cli", arg(long, value_name = "ADDRESS", default_value = "127.0.0.1"))]
    pub host: Address,
    /// Port to listen on; 0 for any free one
    #[cfg_attr(feature = "cli", arg(long, default_value_t = 7878, value_parser = clap::value_parser!(u16)))]
    pub port: u16,
    /// How videos are cut.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub cut: CutRequest,
    /// Leave out the subtitles (.srt, .vtt) beside the videos, and drop those that are in the index
    #[cfg_attr(feature = "cli", arg(long))]
    pub no_subtitles: bool,
    /// Clips per forward; few, so that queries get their turn
    #[cfg_attr(feature = "cli", arg(long, default_value_t = 4, value_parser = count(1, limits::BATCH)))]
    pub batch: usize,
    /// Decoding threads; one per two cores by default
    #[cfg_attr(feature = "cli", arg(long, value_parser = count(1, limits::THREADS)))]
    pub threads: Option<usize>,
}

/// Serves until `stop` is set; `listening` is told the address.
///
/// # Errors
/// A backend, checkpoint, folder or index that is not there, an index of another model, an address that cannot be
/// listened on.
pub fn serve(request: &ServeRequest, stop: &StopFlag, listening: &dyn Fn(&Listening) -> Result<()>) -> Result<()> {
    if let Some(dir) = &request.dir {
        std::fs::read_dir(dir).map_err(|e| Error::io(dir, &e))?;
    }
    let IndexModel { index, model, .. } = &request.base;
    let folder = model.folder()?;
    let id = identify(&folder, model.vocab.as_deref())?;
    match Index::open(index) {
        Ok(index) => index.require_weights(&id)?,
        // It is made with the first file.
        Err(_) if request.dir.is_some() => {}
        Err(error) => return Err(error),
    }
    dispatch(model.backend()?, ServeTask { request, folder: &folder, stop, listening })?
}

struct ServeTask<'a> {
    request: &'a ServeRequest,
    folder: &'a Path,
    stop: &'a StopFlag,
    listening: &'a dyn Fn(&Listening) -> Result<()>,
}

impl BackendTask for ServeTask<'_> {
    type Output = Result<()>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let Self { request, folder, stop, listening } = self;
        let embedder = request.open::<B::InnerBackend>(folder, &device)?;
        let settings = ServeSettings {
            index: request.base.index.clone(),
            folder: request.dir.clone(),
            host: request.host,
            port: request.port,
            clip_windows: request.cut.windows(embedder.frames())?,
        };
        let indexer = request.indexer(&embedder);
        serve::serve(&settings, Box::new(embedder), indexer, stop, listening)
    }
}

impl ServeRequest {
    /// The model in `folder`, as sparse as the index that is there unless another sparsity is asked for; an index is
    /// made where there is none.
    fn open<B: SvittBackend>(&self, folder: &Path, device: &B::Device) -> Result<Embedder<B>> {
        let known = Index::open(&self.base.index).ok();
        let embedder = self.base.embedder::<B>(folder, known.as_ref().map(Index::id), device)?;
        match known {
            Some(index) => index.require(embedder.id())?,
            None => drop(IndexWriter::open(&self.base.index, embedder.id())?.finish()?),
        }
        Ok(embedder)
    }

    /// What keeps the index up to date with the folder, with a copy of the model that shares its weights.
    fn indexer<B: SvittBackend>(&self, embedder: &Embedder<B>) -> Option<FolderIndexer> {
        let Self { dir, base, cut, no_subtitles, batch, threads, .. } = self.clone();
        let embedder = embedder.clone();
        let half = std::thread::available_parallelism().map_or(1, |cores| usize::from(cores).div_ceil(2));
        let threads = threads.or(Some(half));
        let request = IndexRequest {
            dir: dir?,
            base,
            cut,
            no_subtitles,
            batch,
            threads,
            shard: None,
            vectors: None,
            progress: ProgressSink::default(),
        };
        Some(Box::new(move |progress, stop| {
            IndexRequest { progress, ..request.clone() }.indexed_until(&embedder, &stop)
        }))
    }
}
