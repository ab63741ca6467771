//! A sentence becomes a ranking of clips.

use super::Embedder;
use super::clips::read_span;
use super::results::Found;
use crate::Result;
use crate::backend::SvittBackend;
use crate::index::{Index, Stamp};
use crate::video::{ReaderOptions, Transform, VideoReader};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::Path;

/// Clips per forward when clips are encoded again: eight of the base model at 16 frames are 75 MB of pixels.
const BATCH: usize = 8;

/// How a query is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryOptions {
    /// Results.
    pub top: usize,
    /// Best clips the fusion encoder looks at; 0 leaves the ranking to the vectors. Below `top` it counts as `top`, so
    /// that all results are ranked by one kind of score.
    pub rerank: usize,
}

/// A ranking, and what a person should know about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Best first.
    pub found: Vec<Found>,
    /// Sentences: files that could not be looked at again, words the model does not know.
    pub warnings: Vec<String>,
}

impl<B: SvittBackend> Embedder<B> {
    /// The clips of `index` that fit `text` best. Of overlapping clips of one video only the best is listed.
    ///
    /// # Errors
    /// Another model made the index, or the text has no words.
    pub fn query(&self, index: &Index, text: &str, options: QueryOptions) -> Result<Answer> {
        index.require(self.id())?;
        let vector = self.embed_text(text)?;
        let wanted = if options.rerank == 0 { options.top } else { options.rerank.max(options.top) };
        let mut found = best_apart(index, &[vector], wanted, None)?;
        let mut warnings = Vec::new();
        let unknown = super::unknown_words(self.tokenizer(), text);
        if !unknown.is_empty() {
            warnings.push(format!("the model was not trained on these words: {}", unknown.join(", ")));
        }
        if options.rerank > 0 {
            self.rerank(index, text, &mut found, &mut warnings)?;
        }
        found.truncate(options.top);
        number(&mut found);
        Ok(Answer { found, warnings })
    }

    /// Scores `found` with the fusion encoder and sorts them by that; clips whose file is gone or has changed go last.
    fn rerank(&self, index: &Index, text: &str, found: &mut [Found], warnings: &mut Vec<String>) -> Result<()> {
        for batch in found.chunks_mut(BATCH) {
            let (transform, frames) = (self.transform(), self.frames());
            let read: Vec<_> = batch.par_iter().map(|clip| read_again(index, clip, transform, frames)).collect();
            let (mut seen, mut pixels) = (Vec::new(), Vec::new());
            for (clip, read) in batch.iter_mut().zip(read) {
                match read {
                    Ok(clip_pixels) => {
                        seen.push(clip);
                        pixels.extend(clip_pixels);
                    }
                    Err(reason) => warnings.push(format!("{}: {reason}; ranked last", clip.file)),
                }
            }
            if !seen.is_empty() {
                for (clip, odds) in seen.into_iter().zip(self.match_text(text, pixels)?) {
                    clip.score = 1.0 / (1.0 + (-odds).exp());
                    (clip.matched, clip.log_odds) = (Some(clip.score), Some(odds));
                }
            }
        }
        // By the odds and not the probability: those of good matches round to 1 long before they are equal.
        let odds = |clip: &Found| clip.log_odds.unwrap_or(f32::NEG_INFINITY);
        found.sort_by(|a, b| odds(b).total_cmp(&odds(a)).then(b.cosine.total_cmp(&a.cosine)));
        Ok(())
    }
}

/// The pixels of a clip that was found, if its file is still the one that was indexed.
fn read_again(
    index: &Index,
    clip: &Found,
    transform: &Transform,
    frames: usize,
) -> std::result::Result<Vec<f32>, String> {
    let known = index.stamp(&clip.path).ok_or("it is not in the index any more")?;
    match Stamp::of(&clip.path, known.clipping.clone()) {
        Ok(now) if now == *known => {}
        Ok(_) => return Err("it changed since it was indexed".into()),
        Err(_) => return Err("it is gone".into()),
    }
    let read = VideoReader::open(&clip.path, &ReaderOptions::default())
        .and_then(|mut reader| read_span(&mut reader, [clip.start, clip.end], frames));
    match read {
        Ok(Some(frames)) => Ok(transform.apply(&frames, &transform.whole(&frames))),
        Ok(None) => Err("its clip is gone".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// The `wanted` best clips for any of `queries`, of overlapping ones of a video only the best, without clips of `except`.
pub(super) fn best_apart(
    index: &Index,
    queries: &[Vec<f32>],
    wanted: usize,
    except: Option<&Path>,
) -> Result<Vec<Found>> {
    let hits = index.search_any(queries, usize::MAX)?;
    let mut taken: HashMap<&Path, Vec<[f64; 2]>> = HashMap::new();
    let mut found = Vec::new();
    for hit in hits.iter().filter(|hit| Some(hit.path) != except) {
        if found.len() == wanted {
            break;
        }
        let spans = taken.entry(hit.path).or_default();
        if spans.iter().all(|[start, end]| hit.clip.start >= *end || hit.clip.end <= *start) {
            spans.push([hit.clip.start, hit.clip.end]);
            found.push(Found::new(hit));
        }
    }
    Ok(found)
}

pub(super) fn number(found: &mut [Found]) {
    found.iter_mut().enumerate().for_each(|(place, clip)| clip.rank = place + 1);
}
