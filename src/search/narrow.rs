//! The part of a result's clip that fits the query best: some of its parts are encoded and compared, for the results that
//! are shown only.

use super::Embedder;
use super::clips::{FrameChoice, Timeline, frames_of};
use super::query::{BATCH, check_unchanged};
use super::results::{BestPart, SearchResult};
use crate::Result;
use crate::index::Index;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use svitt_ops::SvittBackend;
use svitt_video::{Frames, ReaderOptions, Transform, VideoReader};

/// Parts of a clip that are looked at, as shares of it: halves, one in the middle, and thirds.
const PARTS: [[f64; 2]; 6] =
    [[0.0, 0.5], [0.25, 0.75], [0.5, 1.0], [0.0, 1.0 / 3.0], [1.0 / 3.0, 2.0 / 3.0], [2.0 / 3.0, 1.0]];

/// Seconds of the shortest clip that is narrowed: its thirds have half a second.
const LEAST: f64 = 1.5;

/// Bytes of the frames that are decoded at once.
const DECODED: usize = 64 << 20;

/// A part of a clip, in seconds, and its pixels `[frames, 3, size, size]`.
type Part = ([f64; 2], Vec<f32>);

impl<B: SvittBackend> Embedder<B> {
    /// Gives each of `results` its part whose vector is most like `query`, unless the whole clip is more like it. Six
    /// clips are encoded for each. What cannot be looked at is told in `warnings`.
    ///
    /// # Errors
    /// The backend's.
    pub(super) fn narrow(
        &self,
        index: &Index,
        query: &[f32],
        results: &mut [SearchResult],
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        for results in results.chunks_mut(BATCH) {
            let (transform, frames) = (self.transform(), self.frames());
            let read: Vec<_> = results.par_iter().map(|clip| parts_of(index, clip, transform, frames)).collect();
            for (clip, parts) in results.iter_mut().zip(read) {
                match parts {
                    Ok(parts) => clip.best = self.best_of(query, parts)?.filter(|best| best.cosine > clip.cosine),
                    Err(reason) => warnings.push(format!("{}: {reason}; not narrowed", clip.file)),
                }
            }
        }
        Ok(())
    }

    /// The one of `parts` that is most like `query`.
    fn best_of(&self, query: &[f32], parts: Vec<Part>) -> Result<Option<BestPart>> {
        if parts.is_empty() {
            return Ok(None);
        }
        let (spans, pixels): (Vec<[f64; 2]>, Vec<Vec<f32>>) = parts.into_iter().unzip();
        let length = query.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        let cosine = |vector: &Vec<f32>| query.iter().zip(vector).map(|(a, b)| a * b).sum::<f32>() / length;
        let vectors = self.embed_clips(pixels.concat())?;
        let found =
            spans.iter().zip(&vectors).map(|(&[start, end], vector)| BestPart { start, end, cosine: cosine(vector) });
        Ok(found.max_by(|a, b| a.cosine.total_cmp(&b.cosine)))
    }
}

/// The parts of a clip with their frames, every one of which is decoded once; none of a short clip.
fn parts_of(
    index: &Index,
    clip: &SearchResult,
    transform: &Transform,
    frames: usize,
) -> std::result::Result<Vec<Part>, String> {
    let [start, end] = [clip.start, clip.end];
    if end - start < LEAST {
        return Ok(Vec::new());
    }
    check_unchanged(index, &clip.path)?;
    let at = |share: f64| start + share * (end - start);
    let spans = PARTS.map(|part| part.map(at));
    read_spans(&clip.path, &spans, transform, frames).map_err(|error| error.to_string())
}

/// The exact frames of `spans` of a video; spans in which nothing is shown are left out.
fn read_spans(
    path: &Path,
    spans: &[[f64; 2]],
    transform: &Transform,
    frames: usize,
) -> std::result::Result<Vec<Part>, svitt_video::VideoError> {
    let mut reader = VideoReader::open(path, &ReaderOptions::default())?;
    loop {
        let count = reader.len();
        let wanted = |span: &[f64; 2]| frames_of(&Timeline::of(&reader), *span, frames, FrameChoice::default());
        let parts: Vec<([f64; 2], Vec<usize>)> = spans.iter().map(|span| (*span, wanted(span))).collect();
        let all: BTreeSet<usize> = parts.iter().flat_map(|(_, frames)| frames).copied().collect();
        let all: Vec<usize> = all.into_iter().collect();
        let mut ready: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
        for numbers in all.chunks((DECODED / (reader.width() * reader.height() * 3).max(1)).max(1)) {
            let read: Frames = reader.get_frames(numbers)?;
            for (place, number) in numbers.iter().enumerate() {
                let one = read.one(place);
                ready.insert(*number, transform.apply(&one, &transform.whole(&one)));
            }
        }
        // A damaged file turns out shorter while it is read; its frames are then chosen again.
        if reader.len() == count {
            let pixels =
                |frames: &[usize]| frames.iter().filter_map(|frame| ready.get(frame)).flatten().copied().collect();
            let shown = parts.iter().filter(|(_, frames)| !frames.is_empty());
            return Ok(shown.map(|(span, frames)| (*span, pixels(frames))).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_span;
    use super::*;

    #[test]
    fn parts_are_read_as_clips_of_their_own() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/svitt-video/tests/fixtures/bframes.mp4");
        let transform = Transform::new(32);
        let mut reader = VideoReader::open(&path, &ReaderOptions::default()).unwrap();
        let spans = PARTS.map(|part| part.map(|share| share * reader.duration()));
        let parts = read_spans(&path, &spans, &transform, 3).unwrap();
        assert_eq!(parts.len(), 6);
        for (span, pixels) in parts {
            let frames = read_span(&mut reader, span, 3, FrameChoice::default()).unwrap().unwrap();
            assert!(transform.apply(&frames, &transform.whole(&frames)) == pixels, "{span:?}");
        }
    }
}
