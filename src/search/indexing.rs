//! Indexes a folder: embeds only new and changed files; safe to interrupt at any time.

use super::clip_reader::DecodeSeconds;
use super::clips::ClipWindows;
use super::decode_pool::{DecodeEvent, DecodeSettings, with_decoded};
use super::results::damage_warnings;
use super::words::{IndexedWords, WordIndexing};
use super::{Embedder, Spans};
use crate::data::{Unreadable, subtitles_beside};
use crate::index::{ClipEmbedding, Index, IndexPart, IndexSummary, IndexWriter, Stamp, VectorPrecision};
use crate::progress::{ProgressSink, StopFlag};
use crate::shard::Shard;
use crate::{Error, Result};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use svitt_ops::SvittBackend;
use svitt_video::{Frames, ReaderKind, ReaderOptions, VideoError, videos_below};

/// Interval at which embedded files are flushed to disk.
pub(super) const COMMIT: Duration = Duration::from_secs(5);

/// What is said of a file that is not there any more.
const VANISHED: &str = "was deleted while the folder was indexed";

/// What to index, and how.
#[derive(Clone, Debug)]
pub struct IndexOptions {
    /// The folder of videos, or one video.
    pub folder: PathBuf,
    /// The index directory.
    pub index: PathBuf,
    /// How videos are cut.
    pub clip_windows: ClipWindows,
    /// Whether the subtitles beside the videos are embedded, too; without, those that were are dropped.
    pub subtitles: bool,
    /// Which of the folder's videos are this job's, where several share them out; the index is then a part of one.
    pub shard: Option<Shard>,
    /// What vectors are stored in; none: as the index has them, single precision where it is new.
    pub vectors: Option<VectorPrecision>,
    /// Clips per forward.
    pub batch: usize,
    /// Decoding threads.
    pub threads: usize,
    /// Who decodes; the vectors are the same.
    pub reader: ReaderKind,
    /// Who is told how far it is.
    pub progress: ProgressSink,
    /// Once it is set, what is embedded already is written, and the rest is left for the next time.
    pub stop: StopFlag,
}

/// What became of the files.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct IndexReport {
    /// What videos are cut by.
    pub spans: Spans,
    /// Which job's part of the folder it is, where several share it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// Videos below the folder that are in the index now, broken ones included.
    pub files: usize,
    /// Clips of the whole index.
    pub clips: usize,
    /// Files of subtitles beside these videos whose words are in the index.
    #[serde(skip_serializing_if = "is_zero")]
    pub subtitles: usize,
    /// Texts of the whole index.
    #[serde(skip_serializing_if = "is_zero")]
    pub words: usize,
    /// Files embedded for the first time.
    pub new: usize,
    /// Files embedded again because they, or the way they are cut, changed.
    pub changed: usize,
    /// Files that were up to date.
    pub unchanged: usize,
    /// Files that are gone and were dropped.
    pub removed: usize,
    /// Files that do not decode, with the reason; tried again when they change.
    pub broken: Vec<Unreadable>,
    /// Files and folders that could not be read now for a reason outside them; tried again next time.
    pub skipped: Vec<Unreadable>,
    /// What to know of videos that were read all the same: cut short, damaged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What of the index could not be read. Files below the folder were embedded again; those of other folders are
    /// when these are indexed.
    pub damaged: Vec<String>,
    /// Seconds it took.
    pub seconds: f64,
    /// What they were spent on.
    pub spent: SpentSeconds,
    /// Who decoded them.
    pub decoded_by: DecodedBy,
    /// What products were computed in.
    pub arithmetic: String,
    /// The checkpoint.
    pub model: String,
    /// Hash of its weights.
    pub weights: String,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Where the time of indexing went. Decoding and resizing are summed over threads and go on beside the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SpentSeconds {
    /// Opening videos and decoding frames.
    pub decode: f64,
    /// Cropping, resizing and normalising them.
    pub resize: f64,
    /// The model.
    pub encode: f64,
    /// Records to disk.
    pub write: f64,
}

/// Videos that were decoded for an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DecodedBy {
    /// By the built-in decoder.
    pub native: usize,
    /// By the `ffmpeg` program.
    pub ffmpeg: usize,
}

/// Brings the index up to date with the videos below the folder. Files elsewhere that it knows are left alone.
///
/// # Errors
/// The folder cannot be read, another process is indexing, another model made the index, or the disk refuses. What was
/// embedded until then stays.
pub fn index_folder<B: SvittBackend>(embedder: &Embedder<B>, options: &IndexOptions) -> Result<IndexReport> {
    let started = Instant::now();
    // Symlinks in the name of the folder are resolved, so that it has one name from wherever it is indexed.
    let root = options.folder.canonicalize().map_err(|e| Error::io(&options.folder, &e))?;
    let mut found = videos_below(&root)?;
    // Among all of the folder's videos: which of them a file of subtitles belongs to does not depend on the shard.
    let mut beside = if options.subtitles { subtitles_beside(&found.videos) } else { BTreeMap::new() };
    if let Some(shard) = options.shard {
        beside.retain(|_, video| shard.holds_path(below(video, &root)));
        found.videos.retain(|path| shard.holds_path(below(path, &root)));
        found.unreadable.retain(|(path, _)| shard.holds_path(below(path, &root)));
    }
    let part = options.shard.map(|shard| IndexPart {
        shard,
        folder: crate::printable::path(&root),
        clip_windows: options.clip_windows.name(),
        subtitles: options.subtitles,
        complete: false,
    });
    let mut indexer = IndexWriter::open_part(&options.index, embedder.id(), part.as_ref())?;
    options.vectors.into_iter().for_each(|precision| indexer.set_precision(precision));
    let plan = PendingFiles::new(&found.videos, indexer.index(), &options.clip_windows);
    let damaged = damage_warnings(indexer.index());
    damaged.iter().for_each(|warning| log::warn!("{warning}"));
    let unreadable = found.unreadable.iter().map(|(path, reason)| skipped(path, reason.clone()));
    let skipped = unreadable.chain(plan.vanished.iter().map(|path| skipped(path, VANISHED.to_owned()))).collect();
    let (shard, unchanged) = (options.shard, plan.unchanged);
    let spans = options.clip_windows.choice().spans;
    let mut report = IndexReport { spans, shard, unchanged, damaged, skipped, ..IndexReport::default() };
    let mut indexing = IndexingLoop {
        embedder,
        plan: &plan,
        batch: options.batch.max(1),
        indexer: &mut indexer,
        open: BTreeMap::new(),
        progress: &options.progress,
        stop: &options.stop,
    };
    let transform = embedder.transform().clone();
    let prepare = move |frames: &Frames| transform.apply(frames, &transform.whole(frames));
    let spent = DecodeSeconds::default();
    let reader = ReaderOptions { kind: options.reader, ..ReaderOptions::default() };
    let settings = DecodeSettings { windows: &options.clip_windows, threads: options.threads, reader };
    with_decoded(&plan.wanted, &settings, &prepare, &spent, |events| indexing.run(events, &mut report))?;
    let ([decode, resize], [native, ffmpeg]) = (spent.seconds(), spent.videos());
    report.decoded_by = DecodedBy { native, ffmpeg };
    report.warnings = spent.warnings();
    report.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    report.spent = SpentSeconds { decode, resize, ..report.spent };
    let words = WordIndexing::of(&beside, options).run(embedder, &mut indexer)?;
    report.subtitles = words.files.len();
    report.removed = drop_gone(&mut indexer, &root, &found.videos, &words)?;
    report.skipped.extend(words.unreadable);
    report.broken = broken(indexer.index(), &root);
    report.words = indexer.index().words();
    report.files = indexer.index().files().filter(|path| path.starts_with(&root)).count();
    let IndexSummary { clips, .. } = indexer.finish()?;
    let id = embedder.id();
    let seconds = started.elapsed().as_secs_f64();
    let [model, weights, arithmetic] = [&id.model[..], &id.weights, embedder.arithmetic()].map(str::to_owned);
    Ok(IndexReport { clips, seconds, model, weights, arithmetic, ..report })
}

/// Drops the videos below `root` that are not among `videos`, and the words below it that are not among `words`. Returns how
/// many videos.
fn drop_gone(indexer: &mut IndexWriter, root: &Path, videos: &[PathBuf], words: &IndexedWords) -> Result<usize> {
    let present: HashSet<&Path> = videos.iter().map(PathBuf::as_path).collect();
    let of_folder = indexer.index().word_files().filter(|(_, video)| video.starts_with(root));
    let subtitles: HashSet<PathBuf> = of_folder.map(|(path, _)| path.to_path_buf()).collect();
    let mut removed = 0;
    indexer.retain(|path| {
        if subtitles.contains(path) {
            return words.files.contains(path) || words.stopped || hidden(path);
        }
        let kept = !path.starts_with(root) || present.contains(path) || hidden(path);
        removed += usize::from(!kept);
        kept
    })?;
    Ok(removed)
}

fn skipped(path: &Path, reason: String) -> Unreadable {
    Unreadable { media: super::printable(path), reason }
}

/// The name of `path` in the folder `root`; its own where it is what is indexed.
fn below<'a>(path: &'a Path, root: &Path) -> &'a Path {
    let inside = path.strip_prefix(root).ok().filter(|inside| !inside.as_os_str().is_empty());
    inside.or_else(|| path.file_name().map(Path::new)).unwrap_or(path)
}

/// Whether a file that was not found may still exist: its disk or folder is not accessible now.
fn hidden(path: &Path) -> bool {
    let gone = std::io::ErrorKind::NotFound;
    std::fs::metadata(path).is_err_and(|e| e.kind() != gone && e.kind() != std::io::ErrorKind::NotADirectory)
}

fn broken(index: &Index, root: &Path) -> Vec<Unreadable> {
    let below = index.broken().filter(|(path, _)| path.starts_with(root));
    below.map(|(path, reason)| Unreadable { media: super::printable(path), reason: reason.to_owned() }).collect()
}

/// The files to be embedded.
#[derive(Default)]
struct PendingFiles {
    wanted: Vec<PathBuf>,
    stamps: Vec<Stamp>,
    known: Vec<bool>,
    unchanged: usize,
    /// Files that are gone since the folder was listed.
    vanished: Vec<PathBuf>,
}

impl PendingFiles {
    fn new(found: &[PathBuf], index: &Index, clip_windows: &ClipWindows) -> Self {
        let mut plan = Self::default();
        for path in found {
            let Ok(stamp) = Stamp::of(path, clip_windows.name()) else {
                plan.vanished.push(path.clone());
                continue;
            };
            if index.is_current(path, &stamp) {
                plan.unchanged += 1;
                continue;
            }
            plan.known.push(index.stamp(path).is_some());
            plan.wanted.push(path.clone());
            plan.stamps.push(stamp);
        }
        plan
    }
}

/// A file some of whose clips have come.
#[derive(Default)]
struct PendingFile {
    clips: Vec<ClipEmbedding>,
    /// How it ended, once it has.
    outcome: Option<std::result::Result<(), VideoError>>,
    /// Clips that wait for the model.
    waiting: usize,
}

/// Collects clips into batches, and vectors into files.
struct IndexingLoop<'a, B: SvittBackend> {
    embedder: &'a Embedder<B>,
    plan: &'a PendingFiles,
    batch: usize,
    indexer: &'a mut IndexWriter,
    open: BTreeMap<usize, PendingFile>,
    progress: &'a ProgressSink,
    stop: &'a StopFlag,
}

impl<B: SvittBackend> IndexingLoop<'_, B> {
    fn run(&mut self, events: Receiver<DecodeEvent>, report: &mut IndexReport) -> Result<()> {
        let mut ticker = self.progress.counter("indexing videos", self.plan.wanted.len());
        let (mut batch, mut committed) = (Vec::new(), Instant::now());
        for event in events {
            if self.stop.is_set() {
                return Ok(());
            }
            match event {
                DecodeEvent::Clip { file, span, pixels } => {
                    self.open.entry(file).or_default().waiting += 1;
                    batch.push((file, span, pixels));
                }
                DecodeEvent::Again { file } => {
                    batch.retain(|(other, ..)| *other != file);
                    self.open.remove(&file);
                }
                DecodeEvent::End { file, outcome } => self.open.entry(file).or_default().outcome = Some(outcome),
            }
            if batch.len() >= self.batch {
                self.embed(std::mem::take(&mut batch), report)?;
            }
            let since = Instant::now();
            ticker.tick(self.close(report)?);
            if committed.elapsed() > COMMIT {
                self.indexer.commit()?;
                committed = Instant::now();
            }
            report.spent.write += since.elapsed().as_secs_f64();
        }
        self.embed(batch, report)?;
        ticker.tick(self.close(report)?);
        Ok(())
    }

    fn embed(&mut self, batch: Vec<(usize, [f64; 2], Vec<f32>)>, report: &mut IndexReport) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let since = Instant::now();
        let (places, pixels): (Vec<_>, Vec<_>) = batch.into_iter().map(|(file, span, p)| ((file, span), p)).unzip();
        for ((file, [start, end]), vector) in places.into_iter().zip(self.embedder.embed_clips(pixels.concat())?) {
            let open = self.open.entry(file).or_default();
            open.waiting -= 1;
            open.clips.push(ClipEmbedding { start, end, vector });
        }
        report.spent.encode += since.elapsed().as_secs_f64();
        Ok(())
    }

    /// Writes every file that is complete; returns how many.
    fn close(&mut self, report: &mut IndexReport) -> Result<usize> {
        let complete = |open: &PendingFile| open.outcome.is_some() && open.waiting == 0;
        let done: Vec<usize> = self.open.iter().filter(|(_, open)| complete(open)).map(|(&file, _)| file).collect();
        for &file in &done {
            let mut open = self.open.remove(&file).unwrap_or_default();
            // Parts of a long video are decoded at the same time.
            open.clips.sort_by(|a, b| a.start.total_cmp(&b.start));
            self.record(file, open, report)?;
        }
        Ok(done.len())
    }

    fn record(&mut self, file: usize, open: PendingFile, report: &mut IndexReport) -> Result<()> {
        let (path, stamp) = (&self.plan.wanted[file], self.plan.stamps[file].clone());
        match open.outcome {
            Some(Ok(())) | None => {
                *(if self.plan.known[file] { &mut report.changed } else { &mut report.new }) += 1;
                self.indexer.add(path, stamp, open.clips)
            }
            Some(Err(VideoError::NotFound { .. })) if !path.exists() => {
                report.skipped.push(skipped(path, VANISHED.to_owned()));
                Ok(())
            }
            // A missing program or permission may be there next time although the file has not changed.
            Some(Err(error @ (VideoError::MissingTool { .. } | VideoError::NotFound { .. }))) => {
                let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
                report.skipped.push(skipped(path, reason));
                Ok(())
            }
            Some(Err(error)) => self.indexer.add_broken(path, stamp, &error.to_string()),
        }
    }
}
