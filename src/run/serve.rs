//! A page in the browser over indexes, by the name of a backend.

use super::IndexModel;
use super::search::{CutRequest, IndexRequest};
use crate::backend::{BackendTask, dispatch};
use crate::index::{Index, IndexWriter};
#[cfg(feature = "cli")]
use crate::limits::{self, count};
use crate::progress::{ProgressSink, StopFlag};
use crate::search::{Embedder, IndexReport, identify};
use crate::serve::{self, Address, FolderIndexer, Listening, ServeSettings, ServedIndex};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use svitt_ops::{SvittBackend, TrainBackend};
use svitt_video::ReaderKind;

/// Show a page in the browser that searches indexes, and keeps one up to date with folders
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct ServeRequest {
    /// Folders of videos that are indexed (into --index) and watched, and index directories that are shown as they are,
    /// each searched by its own model; without any, --index is shown as it is
    #[cfg_attr(feature = "cli", arg(value_name = "DIR"))]
    pub dirs: Vec<PathBuf>,
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
    let sources = request.sources()?;
    dispatch(request.base.model.backend()?, ServeTask { request, sources, stop, listening })?
}

/// An index to be served.
struct Source {
    index: PathBuf,
    /// What is in it; none: it is made with the first file.
    known: Option<Index>,
    /// Of its model.
    checkpoint: PathBuf,
    /// Folders that are indexed into it.
    folders: Vec<PathBuf>,
}

/// Whether `dir` is an index; a folder of videos may hold a `manifest.json` of another kind.
///
/// # Errors
/// It holds segments of an index and no manifest that can be read.
fn is_index(dir: &Path) -> Result<bool> {
    let is_segment = |path: PathBuf| path.extension().is_some_and(|extension| extension == "seg");
    match Index::model_of(dir) {
        Ok(model) => Ok(model.is_some()),
        Err(error) => {
            let mut listed = std::fs::read_dir(dir).map_err(|e| Error::io(dir, &e))?.flatten();
            if listed.any(|entry| is_segment(entry.path())) { Err(error) } else { Ok(false) }
        }
    }
}

struct ServeTask<'a> {
    request: &'a ServeRequest,
    sources: Vec<Source>,
    stop: &'a StopFlag,
    listening: &'a dyn Fn(&Listening) -> Result<()>,
}

impl BackendTask for ServeTask<'_> {
    type Output = Result<()>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let Self { request, sources, stop, listening } = self;
        let settings = ServeSettings { host: request.host, port: request.port };
        let mut models: Vec<(PathBuf, Embedder<B::InnerBackend>)> = Vec::new();
        let mut indexes = Vec::new();
        for source in sources {
            let embedder = request.open(&source, &models, &device)?;
            models.push((source.checkpoint.clone(), embedder.clone()));
            indexes.push(ServedIndex {
                clip_windows: request.known_cut(&source).windows(embedder.frames())?,
                indexer: request.indexer(&source, &embedder),
                model: Box::new(embedder),
                index: source.index,
                folders: source.folders,
            });
        }
        serve::serve(&settings, indexes, stop, listening)
    }
}

impl ServeRequest {
    /// The indexes that are served: the one that folders of videos are indexed into, where any are given or nothing is,
    /// then those that are given.
    fn sources(&self) -> Result<Vec<Source>> {
        let (mut folders, mut given) = (Vec::new(), Vec::new());
        for dir in &self.dirs {
            std::fs::read_dir(dir).map_err(|e| Error::io(dir, &e))?;
            let place = if is_index(dir)? { &mut given } else { &mut folders };
            place.push(dir.clone());
        }
        let mut sources = Vec::new();
        if !folders.is_empty() || given.is_empty() {
            sources.push(self.own_source(folders)?);
        }
        for dir in given {
            let index = Index::open(&dir)?;
            let known =
                sources.iter().any(|source: &Source| source.index.canonicalize().ok() == dir.canonicalize().ok());
            if known {
                return Err(Error::setting(
                    "DIR",
                    format!("{} is given twice", dir.display()),
                    "leave one of them out",
                ));
            }
            sources.push(Source {
                checkpoint: self.base.checkpoint_anywhere(&index)?,
                known: Some(index),
                index: dir,
                folders: Vec::new(),
            });
        }
        Ok(sources)
    }

    /// The index that `folders` are indexed into, which need not be there yet, or that is shown as it is.
    fn own_source(&self, folders: Vec<PathBuf>) -> Result<Source> {
        let IndexModel { index, model, .. } = &self.base;
        let checkpoint = model.folder()?;
        let id = identify(&checkpoint, model.vocab.as_deref())?;
        let known = match Index::open(index) {
            Ok(index) => Some(index),
            Err(_) if !folders.is_empty() => None,
            Err(error) => return Err(error),
        };
        known.iter().try_for_each(|index| index.require_weights(&id))?;
        Ok(Source { index: index.clone(), known, checkpoint, folders })
    }

    /// The model of `source`, as sparse as the index that is there unless another sparsity is asked for: one of `models`
    /// where it is the same; an index is made where there is none.
    fn open<B: SvittBackend>(
        &self,
        source: &Source,
        models: &[(PathBuf, Embedder<B>)],
        device: &B::Device,
    ) -> Result<Embedder<B>> {
        let known = source.known.as_ref();
        let is_same = |(checkpoint, embedder): &&(PathBuf, Embedder<B>)| {
            *checkpoint == source.checkpoint && known.is_some_and(|index| index.require(embedder.id()).is_ok())
        };
        let embedder = match models.iter().find(is_same) {
            Some((_, embedder)) => embedder.clone(),
            None => self.base.embedder(&source.checkpoint, known.map(Index::id), device)?,
        };
        match known {
            Some(index) => index.require(embedder.id()).map(|()| embedder),
            None => {
                let embedder = self.base.for_new_index(embedder, device)?;
                IndexWriter::open(&source.index, embedder.id())?.finish()?;
                Ok(embedder)
            }
        }
    }

    /// How videos are cut: by what those in the index of `source` are, where nothing else is asked for.
    fn known_cut(&self, source: &Source) -> CutRequest {
        let folder = source.folders.first().map(PathBuf::as_path);
        source.known.as_ref().map_or(self.cut, |index| self.cut.as_in(index, folder))
    }

    /// What keeps the index of `source` up to date with its folders, with a copy of the model that shares its weights.
    fn indexer<B: SvittBackend>(&self, source: &Source, embedder: &Embedder<B>) -> Option<FolderIndexer> {
        let Self { base, cut, no_subtitles, batch, threads, .. } = self.clone();
        let embedder = embedder.clone();
        let half = std::thread::available_parallelism().map_or(1, |cores| usize::from(cores).div_ceil(2));
        let request = |dir: &PathBuf| IndexRequest {
            dir: dir.clone(),
            base: base.clone(),
            cut,
            no_subtitles,
            batch,
            threads: threads.or(Some(half)),
            shard: None,
            vectors: None,
            reader: ReaderKind::Auto,
            progress: ProgressSink::default(),
        };
        let requests: Vec<IndexRequest> = source.folders.iter().map(request).collect();
        if requests.is_empty() {
            return None;
        }
        Some(Box::new(move |progress, stop| {
            let mut all = IndexReport::default();
            for request in requests.iter().take_while(|_| !stop.is_set()) {
                let request = IndexRequest { progress: progress.clone(), ..request.clone() };
                let report = request.indexed_until(&embedder, &stop)?;
                let skipped = all.skipped.into_iter().chain(report.skipped.clone()).collect();
                all = IndexReport { skipped, ..report };
            }
            Ok(all)
        }))
    }
}
