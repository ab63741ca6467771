//! Ranks the clips of other videos by similarity to a video.

use super::clip_reader::DecodeSeconds;
use super::clips::ClipWindows;
use super::decode_pool::{DecodeEvent, DecodeSettings, with_decoded};
use super::query::assign_ranks;
use super::{Embedder, FileFilter, SearchResult};
use crate::index::{ClipSpan, Index, SearchScope, Stamp};
use crate::{Error, Result};
use std::path::Path;
use svitt_ops::SvittBackend;
use svitt_video::{Frames, ReaderOptions};

/// The vectors of `video` if `index` holds them and the file has not changed: then no model is needed.
pub fn indexed_vectors(index: &Index, video: &Path) -> Option<Vec<Vec<f32>>> {
    let path = video.canonicalize().ok()?;
    let known = index.stamp(&path)?;
    let current = Stamp::of(&path, known.clip_windows.clone()).is_ok_and(|now| now == *known);
    let vectors: Vec<_> = index.clips_of(&path).into_iter().map(|clip| clip.vector).collect();
    (current && !vectors.is_empty()).then_some(vectors)
}

/// The `top` clips among `files` of `index` most like any clip of `video`, given its `vectors`; the video itself is left
/// out.
///
/// # Errors
/// Vectors of another width.
pub fn similar(
    index: &Index,
    video: &Path,
    vectors: &[Vec<f32>],
    files: &FileFilter,
    top: usize,
) -> Result<Vec<SearchResult>> {
    let path = video.canonicalize().map_err(|e| Error::io(video, &e))?;
    let admits = |other: &Path, stamp: &Stamp, spans: &[ClipSpan]| other != path && files.admits(stamp, spans);
    let scope = SearchScope { within: files.within.as_deref(), admits: Some(&admits) };
    let hits = index.nearest_distinct(vectors, top, &scope)?;
    let mut results: Vec<SearchResult> = hits.iter().map(SearchResult::new).collect();
    assign_ranks(&mut results);
    Ok(results)
}

impl<B: SvittBackend> Embedder<B> {
    /// Vectors of the clips of a video that need not be in any index.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn embed_video(&self, video: &Path, clip_windows: &ClipWindows) -> Result<Vec<Vec<f32>>> {
        let prepare = |frame: &Frames| self.pixels(frame);
        let (files, spent) = ([video.to_path_buf()], DecodeSeconds::default());
        let settings = DecodeSettings { windows: clip_windows, threads: 1, reader: ReaderOptions::default() };
        with_decoded(&files, &settings, &prepare, &spent, |events| {
            let mut vectors = Vec::new();
            for event in events {
                match event {
                    DecodeEvent::Clip { pixels, .. } => vectors.extend(self.embed_clips(pixels)?),
                    DecodeEvent::Again { .. } => vectors.clear(),
                    DecodeEvent::End { outcome, .. } => outcome?,
                }
            }
            Ok(vectors)
        })
    }
}
