//! A folder of videos indexed and searched, by the name of a backend.

use super::{AskedIndex, IndexModel};
use crate::backend::{BackendTask, dispatch};
use crate::index::{Index, VectorPrecision};
#[cfg(feature = "cli")]
use crate::limits::{self, count, number};
use crate::progress::{ProgressSink, StopFlag};
use crate::search::{
    self, CalibrateOptions, Calibration, ClipWindows, ComposedQuery, Embedder, FileFilter, IndexOptions, IndexReport,
    Moments, QueryOptions, QueryResult, Spans, damage_warnings, day_ns, index_folder, indexed_vectors,
};
use crate::shard::Shard;
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use svitt_ops::{SvittBackend, TrainBackend};
use svitt_video::ReaderKind;

/// How videos are cut.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct CutRequest {
    /// Length of a clip; a shorter video is one clip
    #[cfg_attr(feature = "cli", arg(long, default_value_t = 10.0, value_parser = number(0.0, 86_400.0)))]
    pub clip_seconds: f64,
    /// Share of a clip that the next one shows again, 0 to 0.95
    #[cfg_attr(feature = "cli", arg(long, default_value_t = 0.5, value_parser = number(0.0, 1.0)))]
    pub overlap: f64,
    /// Which frames stand for the moments of a clip: those at them, or the nearest key frames, which takes a fraction of
    /// the time
    #[cfg_attr(feature = "cli", arg(long, value_enum, default_value_t))]
    pub at: Moments,
    /// Cut by windows of equal length, or by shots, of which long ones are cut into windows; as the index has them by
    /// default, by windows where it is new
    #[cfg_attr(feature = "cli", arg(long, value_enum))]
    pub spans: Option<Spans>,
}

impl Default for CutRequest {
    fn default() -> Self {
        Self { clip_seconds: 10.0, overlap: 0.5, at: Moments::Exact, spans: None }
    }
}

impl CutRequest {
    pub(super) fn windows(self, frames: usize) -> Result<ClipWindows> {
        let windows = ClipWindows::new(self.clip_seconds, self.overlap, frames)?;
        Ok(windows.at(self.at).by(self.spans.unwrap_or_default()))
    }

    /// The same, cut as `index` has the videos below `folder` where nothing else is asked for.
    pub(super) fn as_in(self, index: &Index, folder: Option<&Path>) -> Self {
        Self { spans: self.spans.or_else(|| Spans::used_in(index, folder)), ..self }
    }
}

/// Embed the videos below a folder; again later, only what is new or changed
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct IndexRequest {
    /// Folder of videos, or one video
    pub dir: PathBuf,
    /// The index and its model.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub base: IndexModel,
    /// How videos are cut.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub cut: CutRequest,
    /// Embed this job's share of the folder, I of N: an index that `merge` puts together with the others
    #[cfg_attr(feature = "cli", arg(long, value_name = "I/N"))]
    pub shard: Option<Shard>,
    /// What vectors are stored in: f32, f16 or int8, half and a quarter the size and the time of a search; as the
    /// index has them by default, f32 where it is new
    #[cfg_attr(feature = "cli", arg(long, value_name = "PRECISION"))]
    pub vectors: Option<VectorPrecision>,
    /// Leave out the subtitles (.srt, .vtt) beside the videos, and drop those that are in the index
    #[cfg_attr(feature = "cli", arg(long))]
    pub no_subtitles: bool,
    /// Clips per forward
    #[cfg_attr(feature = "cli", arg(long, default_value_t = 8, value_parser = count(1, limits::BATCH)))]
    pub batch: usize,
    /// Decoding threads; one per core by default
    #[cfg_attr(feature = "cli", arg(long, value_parser = count(1, limits::THREADS)))]
    pub threads: Option<usize>,
    /// Who decodes: auto, native or ffmpeg; auto leaves long H.264 and what it does not know to the ffmpeg program. The
    /// vectors are the same
    #[cfg_attr(feature = "cli", arg(long, default_value = "auto"))]
    pub reader: ReaderKind,
    /// Who is told how far it is.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub progress: ProgressSink,
}

/// Of which files clips are listed.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct FilterRequest {
    /// Only videos below this folder
    #[cfg_attr(feature = "cli", arg(long = "in", value_name = "FOLDER"))]
    pub within: Option<PathBuf>,
    /// Only videos last modified on this day (UTC) or later: 2026-11-28
    #[cfg_attr(feature = "cli", arg(long, value_name = "DATE"))]
    pub after: Option<String>,
    /// Only videos of at least so many seconds
    #[cfg_attr(feature = "cli", arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = number(0.0, 1e7)))]
    pub longer: Option<f64>,
}

impl FilterRequest {
    fn files(&self) -> Result<FileFilter> {
        let folder = self.within.as_deref().map(FileFilter::of_folder).unwrap_or_default();
        let after_ns = self.after.as_deref().map(day_ns).transpose()?;
        Ok(FileFilter { after_ns, longer: self.longer, ..folder })
    }
}

/// List the clips that match a text, a picture or a video: rank, score, file, seconds
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct QueryRequest {
    /// What the clip should show: a text, a picture or video file, or several with signs and weights (`+beach -people`)
    #[cfg_attr(feature = "cli", arg(allow_hyphen_values = true))]
    pub text: String,
    /// Of which files.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub files: FilterRequest,
    /// The index, its model, and how much is listed.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub asked: AskedIndex,
    /// Best clips that the fusion encoder looks at again; 0 for none
    #[cfg_attr(feature = "cli", arg(long, value_name = "K", default_value_t = 16, value_parser = count(0, limits::ITEMS)))]
    pub rerank: usize,
    /// Tell the part of each result that fits best: six parts of it are read and encoded
    #[cfg_attr(feature = "cli", arg(long))]
    pub narrow: bool,
}

/// List the clips most like a video
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct SimilarRequest {
    /// A video, in the index or not
    pub file: PathBuf,
    /// The index, its model (not needed for a video that is in the index), and how much is listed.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub asked: AskedIndex,
    /// Of which files.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub files: FilterRequest,
    /// How the video is cut, where it is not in the index.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub cut: CutRequest,
}

/// Let the fusion encoder rank clips that a database returned
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct ImportIdsRequest {
    /// Ids as `export` wrote them: a JSON list, or one a line
    pub file: PathBuf,
    /// What the clip should show
    #[cfg_attr(feature = "cli", arg(allow_hyphen_values = true))]
    pub text: String,
    /// The index, its model, and how much is listed.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub asked: AskedIndex,
}

/// Index what is new in a folder, and list its clips that match a text
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct FindRequest {
    /// The folder and how it is indexed.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub index: IndexRequest,
    /// What the clip should show
    #[cfg_attr(feature = "cli", arg(allow_hyphen_values = true))]
    pub text: String,
    /// Results
    #[cfg_attr(feature = "cli", arg(long, default_value_t = 10, value_parser = count(0, limits::ITEMS)))]
    pub top: usize,
    /// Best clips that the fusion encoder looks at again; 0 for none
    #[cfg_attr(feature = "cli", arg(long, value_name = "K", default_value_t = 16, value_parser = count(0, limits::ITEMS)))]
    pub rerank: usize,
}

/// Choose by a manifest's texts from which score on a result fits
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct CalibrateRequest {
    /// Annotations in any known format, whose videos are in the index
    pub manifest: PathBuf,
    /// The folder of its videos; the manifest's own by default
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR"))]
    pub media: Option<PathBuf>,
    /// The index and its model.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub base: IndexModel,
    /// Texts at most, taken evenly from the manifest
    #[cfg_attr(feature = "cli", arg(long, default_value_t = 1000, value_parser = count(20, limits::ITEMS)))]
    pub texts: usize,
    /// Best clips that the fusion encoder looks at
    #[cfg_attr(feature = "cli", arg(long, value_name = "K", default_value_t = 16, value_parser = count(1, 1_000_000)))]
    pub rerank: usize,
    /// Who is told how far it is.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub progress: ProgressSink,
}

/// Brings an index up to date with a folder.
///
/// # Errors
/// A backend or checkpoint that is not there, a folder that cannot be read, an index of another model or in use, a full
/// disk.
pub fn index(request: &IndexRequest) -> Result<IndexReport> {
    std::fs::metadata(&request.dir).map_err(|e| Error::io(&request.dir, &e))?;
    let folder = request.base.model.folder()?;
    dispatch(request.base.model.backend()?, IndexTask { request, folder: &folder })?
}

/// Brings an index up to date with a folder, and lists the folder's clips that match a text best; how many clips the
/// whole index has comes last. The model is loaded once.
///
/// # Errors
/// As [`index`] and [`query`]; a text without words is refused before anything is embedded.
pub fn find(request: &FindRequest) -> Result<(IndexReport, QueryResult, usize)> {
    let IndexRequest { dir, base: IndexModel { model, .. }, .. } = &request.index;
    std::fs::metadata(dir).map_err(|e| Error::io(dir, &e))?;
    let folder = model.folder()?;
    dispatch(model.backend()?, FindTask { request, folder: &folder })?
}

/// The clips of an index that match a text best, and how many clips it has.
///
/// # Errors
/// No such index, one of another model, a backend or checkpoint that is not there, or a text without words.
pub fn query(request: &QueryRequest) -> Result<(QueryResult, usize)> {
    let (index, folder) = request.asked.base.open()?;
    let results =
        dispatch(request.asked.base.model.backend()?, QueryTask { request, folder: &folder, index: &index })??;
    Ok((results, index.clips()))
}

/// The clips of an index that a database returned, ranked by the fusion encoder, and how many clips the index has.
///
/// # Errors
/// As [`query`], a file without ids, or an id that no clip of the index has.
pub fn import_ids(request: &ImportIdsRequest) -> Result<(QueryResult, usize)> {
    let ids = search::read_ids(&request.file)?;
    let base = &request.asked.base;
    let index = Index::open(&base.index)?;
    search::clips_with_ids(&index, &ids)?;
    let folder = base.checkpoint_of(&index)?;
    let task = ImportIdsTask { request, folder: &folder, index: &index, ids: &ids };
    let results = dispatch(base.model.backend()?, task)??;
    Ok((results, index.clips()))
}

/// The clips of an index most like a video, and how many clips it has.
///
/// # Errors
/// As [`query`], or a video that cannot be read.
pub fn similar(request: &SimilarRequest) -> Result<(QueryResult, usize)> {
    let AskedIndex { base, top } = &request.asked;
    let index = Index::open(&base.index)?;
    let vectors = match indexed_vectors(&index, &request.file) {
        Some(vectors) => vectors,
        None => {
            let folder = base.checkpoint_of(&index)?;
            dispatch(base.model.backend()?, SimilarTask { request, folder: &folder, index: &index })??
        }
    };
    let results = search::similar(&index, &request.file, &vectors, &request.files.files()?, *top)?;
    Ok((QueryResult { results, warnings: damage_warnings(&index), ..QueryResult::default() }, index.clips()))
}

/// Chooses the thresholds of an index by a manifest, and keeps them in its directory.
///
/// # Errors
/// As [`query`], or a manifest with too few texts.
pub fn calibrate(request: &CalibrateRequest) -> Result<Calibration> {
    let (index, folder) = request.base.open()?;
    dispatch(request.base.model.backend()?, CalibrateTask { request, folder: &folder, index: &index })?
}

struct IndexTask<'a> {
    request: &'a IndexRequest,
    folder: &'a Path,
}

impl BackendTask for IndexTask<'_> {
    type Output = Result<IndexReport>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let embedder = self.request.open::<B::InnerBackend>(self.folder, &device)?;
        self.request.indexed(&embedder)
    }
}

impl IndexRequest {
    /// The model in `folder`, as sparse as the index that is there already unless another sparsity is asked for.
    pub(super) fn open<B: SvittBackend>(&self, folder: &Path, device: &B::Device) -> Result<Embedder<B>> {
        // An index that cannot be read is refused when it is written to.
        let known = Index::model_of(&self.base.index).ok().flatten();
        let embedder = self.base.embedder(folder, known.as_ref(), device)?;
        if known.is_some() { Ok(embedder) } else { self.base.for_new_index(embedder, device) }
    }

    fn indexed<B: SvittBackend>(&self, embedder: &Embedder<B>) -> Result<IndexReport> {
        self.indexed_until(embedder, &StopFlag::default())
    }

    /// Indexes until everything is, or `stop` is set.
    pub(super) fn indexed_until<B: SvittBackend>(
        &self,
        embedder: &Embedder<B>,
        stop: &StopFlag,
    ) -> Result<IndexReport> {
        // An index is read for what it is cut by only where nothing else is asked for.
        let known = if self.cut.spans.is_none() { Index::open(&self.base.index).ok() } else { None };
        let cut = known.map_or(self.cut, |index| self.cut.as_in(&index, Some(&self.dir)));
        let options = IndexOptions { stop: stop.clone(), ..self.options(cut.windows(embedder.frames())?) };
        let report = index_folder(embedder, &options)?;
        embedder.keep_calibration(&self.base.index)?;
        Ok(report)
    }

    fn options(&self, clip_windows: ClipWindows) -> IndexOptions {
        let Self { dir, base, shard, vectors, no_subtitles, batch, threads, reader, progress, .. } = self;
        IndexOptions {
            folder: dir.clone(),
            index: base.index.clone(),
            clip_windows,
            subtitles: !no_subtitles,
            shard: *shard,
            vectors: *vectors,
            batch: *batch,
            threads: threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from)),
            reader: *reader,
            progress: progress.clone(),
            stop: StopFlag::default(),
        }
    }
}

struct FindTask<'a> {
    request: &'a FindRequest,
    folder: &'a Path,
}

impl BackendTask for FindTask<'_> {
    type Output = Result<(IndexReport, QueryResult, usize)>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let FindRequest { index: request, text, top, rerank } = self.request;
        let embedder = request.open::<B::InnerBackend>(self.folder, &device)?;
        embedder.embed_text(text)?;
        let report = request.indexed(&embedder)?;
        let index = Index::open(&request.base.index)?;
        let files = FileFilter::of_folder(&request.dir);
        let clip_windows = request.cut.as_in(&index, Some(&request.dir)).windows(embedder.frames())?;
        let options = QueryOptions { top: *top, rerank: *rerank, narrow: false, files, clip_windows };
        let calibration = embedder.calibration(&index)?;
        let results = embedder.query(&index, &ComposedQuery::text(text), calibration.as_ref(), &options)?;
        Ok((report, results, index.clips()))
    }
}

struct QueryTask<'a> {
    request: &'a QueryRequest,
    folder: &'a Path,
    index: &'a Index,
}

impl BackendTask for QueryTask<'_> {
    type Output = Result<QueryResult>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let QueryRequest { text, asked: AskedIndex { base, top }, rerank, narrow, files } = self.request;
        let query = ComposedQuery::of_words_or_files(text)?;
        let embedder = base.embedder::<B::InnerBackend>(self.folder, Some(self.index.id()), &device)?;
        let clip_windows = CutRequest::default().as_in(self.index, None).windows(embedder.frames())?;
        let (top, rerank, narrow, files) = (*top, *rerank, *narrow, files.files()?);
        let options = QueryOptions { top, rerank, narrow, files, clip_windows };
        embedder.query(self.index, &query, embedder.calibration(self.index)?.as_ref(), &options)
    }
}

struct CalibrateTask<'a> {
    request: &'a CalibrateRequest,
    folder: &'a Path,
    index: &'a Index,
}

impl BackendTask for CalibrateTask<'_> {
    type Output = Result<Calibration>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let CalibrateRequest { manifest, media, base, texts, rerank, progress } = self.request.clone();
        let embedder = base.embedder::<B::InnerBackend>(self.folder, Some(self.index.id()), &device)?;
        search::calibrate(&embedder, self.index, &CalibrateOptions { manifest, media, texts, rerank, progress })
    }
}

struct ImportIdsTask<'a> {
    request: &'a ImportIdsRequest,
    folder: &'a Path,
    index: &'a Index,
    ids: &'a [String],
}

impl BackendTask for ImportIdsTask<'_> {
    type Output = Result<QueryResult>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let ImportIdsRequest { text, asked: AskedIndex { base, top }, .. } = self.request;
        let embedder = base.embedder::<B::InnerBackend>(self.folder, Some(self.index.id()), &device)?;
        embedder.rank_listed(self.index, text, self.ids, *top)
    }
}

struct SimilarTask<'a> {
    request: &'a SimilarRequest,
    folder: &'a Path,
    index: &'a Index,
}

impl BackendTask for SimilarTask<'_> {
    type Output = Result<Vec<Vec<f32>>>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let SimilarRequest { file, asked, cut, .. } = self.request;
        let embedder = asked.base.embedder::<B::InnerBackend>(self.folder, Some(self.index.id()), &device)?;
        self.index.require(embedder.id())?;
        embedder.embed_video(file, &cut.as_in(self.index, None).windows(embedder.frames())?)
    }
}
