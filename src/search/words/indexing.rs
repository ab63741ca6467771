//! Embeds the subtitles beside videos: those that are new or changed.

use super::windows::{SpokenWindow, windows};
use crate::Result;
use crate::data::{Cue, Unreadable, read_subtitles};
use crate::index::{ClipEmbedding, IndexWriter, Stamp, Words};
use crate::progress::{ProgressSink, StopFlag};
use crate::search::indexing::COMMIT;
use crate::search::{Embedder, IndexOptions, printable};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;
use svitt_ops::SvittBackend;

/// Texts per forward.
const BATCH: usize = 32;

/// What becomes of the subtitles of a folder.
pub(in crate::search) struct WordIndexing<'a> {
    found: &'a BTreeMap<PathBuf, PathBuf>,
    /// Length of a text at most.
    seconds: f64,
    progress: &'a ProgressSink,
    stop: &'a StopFlag,
}

/// What became of them.
#[derive(Default)]
pub(in crate::search) struct IndexedWords {
    /// Files whose words are in the index now.
    pub files: HashSet<PathBuf>,
    /// Files that cannot be read, and of which something could not.
    pub unreadable: Vec<Unreadable>,
    /// Whether some were left for the next time.
    pub stopped: bool,
}

impl<'a> WordIndexing<'a> {
    /// The subtitles `found`, each with the video it belongs to.
    pub fn of(found: &'a BTreeMap<PathBuf, PathBuf>, options: &'a IndexOptions) -> Self {
        let IndexOptions { clip_windows, progress, stop, .. } = options;
        Self { found, seconds: clip_windows.seconds(), progress, stop }
    }

    /// Embeds what `indexer` does not have yet.
    ///
    /// # Errors
    /// The disk refuses, or the model.
    pub fn run<B: SvittBackend>(&self, embedder: &Embedder<B>, indexer: &mut IndexWriter) -> Result<IndexedWords> {
        let mut done = IndexedWords::default();
        let mut wanted = Vec::new();
        for (path, video) in self.found {
            let Ok(stamp) = Stamp::of(path, format!("texts of {} s at most", self.seconds)) else { continue };
            let index = indexer.index();
            if index.is_current(path, &stamp) && index.video_of(path) == Some(video) {
                done.files.insert(path.clone());
            } else {
                wanted.push((path, video, stamp));
            }
        }
        if wanted.is_empty() {
            return Ok(done);
        }
        let mut ticker = self.progress.counter("indexing subtitles", wanted.len());
        let mut committed = Instant::now();
        for (path, video, stamp) in wanted {
            if self.stop.is_set() {
                done.stopped = true;
                break;
            }
            let end = indexer.index().spans_of(video).iter().map(|span| span.end).reduce(f64::max);
            if let Some(spoken) = self.read(path, end, &mut done.unreadable) {
                let (texts, clips) = embedded(embedder, spoken)?;
                indexer.add_words(path, stamp, Words { video: video.clone(), texts }, clips)?;
                done.files.insert(path.clone());
            }
            if committed.elapsed() > COMMIT {
                indexer.commit()?;
                committed = Instant::now();
            }
            ticker.tick(1);
        }
        Ok(done)
    }

    /// The texts of the file `path` as far as its video goes, to `end` where that is known; what of it cannot be used goes
    /// to `unreadable`.
    fn read(&self, path: &Path, end: Option<f64>, unreadable: &mut Vec<Unreadable>) -> Option<Vec<SpokenWindow>> {
        let mut note = |reason: String| unreadable.push(Unreadable { media: printable(path), reason });
        match read_subtitles(path) {
            Ok(subtitles) => {
                if subtitles.unread > 0 {
                    let count = subtitles.unread;
                    note(format!("{count} of its lines with times are none or go backwards; the others are indexed"));
                }
                // A last piece shorter than a clip may have none.
                let end = end.map_or(f64::INFINITY, |end| end + self.seconds);
                let cues = subtitles.cues.len();
                let shown: Vec<Cue> = subtitles.cues.into_iter().filter(|cue| cue.start < end).collect();
                if shown.len() < cues {
                    let late = cues - shown.len();
                    note(format!("{late} of its texts begin after the end of the video; the others are indexed"));
                }
                let shown = shown.into_iter().map(|cue| Cue { end: cue.end.min(end), ..cue }).collect::<Vec<_>>();
                Some(windows(&shown, self.seconds))
            }
            Err(error) => {
                note(error.to_string());
                None
            }
        }
    }
}

/// The texts of `spoken`, and their spans and vectors.
fn embedded<B: SvittBackend>(
    embedder: &Embedder<B>,
    spoken: Vec<SpokenWindow>,
) -> Result<(Vec<String>, Vec<ClipEmbedding>)> {
    let mut clips = Vec::with_capacity(spoken.len());
    for batch in spoken.chunks(BATCH) {
        let texts: Vec<&str> = batch.iter().map(|window| window.text.as_str()).collect();
        for (window, vector) in batch.iter().zip(embedder.embed_texts(&texts)?) {
            clips.push(ClipEmbedding { start: window.start, end: window.end, vector });
        }
    }
    Ok((spoken.into_iter().map(|window| window.text).collect(), clips))
}
