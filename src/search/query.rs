//! Ranks clips for a text query.

use super::calibration::{Calibration, Fit};
use super::clips::{ClipWindows, read_span};
use super::composed::ComposedQuery;
use super::filter::FileFilter;
use super::results::{SearchResult, damage_warnings};
use super::words::{WordQuery, WordResult};
use super::{Embedder, FrameChoice, unknown_words};
use crate::Result;
use crate::index::{ClipSpan, Index, SearchScope, Stamp};
use rayon::prelude::*;
use std::collections::HashSet;
use std::path::Path;
use svitt_ops::SvittBackend;
use svitt_video::{ReaderOptions, Transform, VideoReader};

/// Clips per forward when clips are encoded again: eight of the base model at 16 frames are 75 MB of pixels.
pub(super) const BATCH: usize = 8;

/// How a query is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryOptions {
    /// Results.
    pub top: usize,
    /// Best clips the fusion encoder looks at; 0 leaves the ranking to the vectors. Below `top` it counts as `top`, so
    /// that all results are ranked by one kind of score.
    pub rerank: usize,
    /// Of the results that are shown, tell the part that fits best.
    pub narrow: bool,
    /// Of which files.
    pub files: FileFilter,
    /// How a video in the query is cut.
    pub clip_windows: ClipWindows,
}

/// Results and warnings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryResult {
    /// Best first.
    pub results: Vec<SearchResult>,
    /// What is said in videos and fits, best first: a list of its own.
    pub words: Vec<WordResult>,
    /// What of the index is damaged, files that could not be looked at again, words the model does not know.
    pub warnings: Vec<String>,
    /// Whether the best of them fits; none where there is nothing to judge by.
    pub fit: Option<Fit>,
}

impl<B: SvittBackend> Embedder<B> {
    /// The clips of `index` that fit `query` best, and whether the best does, as `calibration` says. Of overlapping clips
    /// of one video only the best is listed.
    ///
    /// # Errors
    /// Another model made the index, or a part of the query cannot be embedded.
    pub fn query(
        &self,
        index: &Index,
        query: &ComposedQuery,
        calibration: Option<&Calibration>,
        options: &QueryOptions,
    ) -> Result<QueryResult> {
        index.require(self.id())?;
        let vector = self.embed_query(query, &options.clip_windows)?;
        let wanted = if options.rerank == 0 { options.top } else { options.rerank.max(options.top) };
        let admits = |_: &Path, stamp: &Stamp, spans: &[ClipSpan]| options.files.admits(stamp, spans);
        let scope = SearchScope { within: options.files.within.as_deref(), admits: Some(&admits) };
        let hits = index.search_distinct(&vector, wanted, &scope)?;
        let mut results: Vec<SearchResult> = hits.iter().map(SearchResult::new).collect();
        let mut warnings = damage_warnings(index);
        warnings.extend(self.unknown_words_of(query));
        if let (Some(text), true) = (query.sole_text(), options.rerank > 0) {
            self.rerank(index, text, &mut results, &mut warnings)?;
        }
        // By the same score that results are ranked by.
        let judge = calibration.filter(|_| query.is_of_texts());
        let fit = judge.map(|calibration| calibration.judge(&mut results));
        results.truncate(options.top);
        assign_ranks(&mut results);
        if options.narrow {
            self.narrow(index, &vector, &mut results, &mut warnings)?;
        }
        let words = self.words_for(index, query, &vector, calibration, options)?;
        Ok(QueryResult { results, words, warnings, fit })
    }

    /// The words of `index` that fit `query`, whose vector is `vector`; none for a query with pictures or videos.
    fn words_for(
        &self,
        index: &Index,
        query: &ComposedQuery,
        vector: &[f32],
        calibration: Option<&Calibration>,
        options: &QueryOptions,
    ) -> Result<Vec<WordResult>> {
        if index.words() == 0 || !query.is_of_texts() {
            return Ok(Vec::new());
        }
        let admits = |video: &Path| {
            let within = options.files.within.as_ref().is_none_or(|folder| video.starts_with(folder));
            let spans = index.spans_of(video);
            let known = index.stamp(video).filter(|_| within && !spans.is_empty());
            known.is_some_and(|stamp| options.files.admits(stamp, spans))
        };
        let neutral = calibration.and_then(|calibration| calibration.words);
        let words = WordQuery { texts: query.wanted_texts().collect(), vector, neutral, top: options.top };
        let videos: HashSet<&Path> = index.word_files().map(|(_, video)| video).filter(|video| admits(video)).collect();
        words.rank(index, &|video| videos.contains(video))
    }

    /// What to say of words that the model does not know.
    fn unknown_words_of(&self, query: &ComposedQuery) -> Option<String> {
        let unknown: Vec<String> = query.texts().flat_map(|text| unknown_words(self.tokenizer(), text)).collect();
        (!unknown.is_empty()).then(|| format!("the model was not trained on these words: {}", unknown.join(", ")))
    }

    /// Lets the fusion encoder look at `results` and sorts them anew; clips whose file is gone or has changed go last.
    pub(super) fn rerank(
        &self,
        index: &Index,
        text: &str,
        results: &mut [SearchResult],
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        for batch in results.chunks_mut(BATCH) {
            let (transform, frames) = (self.transform(), self.frames());
            let read: Vec<_> = batch.par_iter().map(|clip| reread_clip(index, clip, transform, frames)).collect();
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
                    clip.matched = Some(1.0 / (1.0 + (-odds).exp()));
                    clip.log_odds = Some(odds);
                }
            }
        }
        combine_scores(results, self.temperature());
        Ok(())
    }
}

/// Sorts `results` by both encoders: score = softmax of cosine / `temperature` + log-odds of a match. On the 288 `shapes`
/// files one checkpoint ranked the right clip first for 67.0 % of captions by cosine, 58.3 % by the odds, 67.7 % by
/// both.
fn combine_scores(results: &mut [SearchResult], temperature: f32) {
    let belief = |clip: &SearchResult| clip.log_odds.map_or(f32::NEG_INFINITY, |odds| clip.cosine / temperature + odds);
    results.sort_by(|a, b| belief(b).total_cmp(&belief(a)).then(b.cosine.total_cmp(&a.cosine)));
    let most = results.first().map_or(0.0, belief);
    let share = |clip: &SearchResult| if most.is_finite() { (belief(clip) - most).exp() } else { 0.0 };
    let sum = results.iter().map(share).sum::<f32>().max(f32::MIN_POSITIVE);
    results.iter_mut().for_each(|clip| clip.score = share(clip) / sum);
}

/// The pixels of a clip that was found, if its file is still the one that was indexed.
fn reread_clip(
    index: &Index,
    clip: &SearchResult,
    transform: &Transform,
    frames: usize,
) -> std::result::Result<Vec<f32>, String> {
    let known = check_unchanged(index, &clip.path)?;
    let read = VideoReader::open(&clip.path, &ReaderOptions::default()).and_then(|mut reader| {
        read_span(&mut reader, [clip.start, clip.end], frames, FrameChoice::of(&known.clip_windows))
    });
    match read {
        Ok(Some(frames)) => Ok(transform.apply(&frames, &transform.whole(&frames))),
        Ok(None) => Err("its clip is gone".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// What the index knows of the file at `path`, if that is still the one that was indexed.
///
/// # Errors
/// What happened to it.
pub(super) fn check_unchanged<'a>(index: &'a Index, path: &Path) -> std::result::Result<&'a Stamp, String> {
    let known = index.stamp(path).ok_or("it is not in the index any more")?;
    match Stamp::of(path, known.clip_windows.clone()) {
        Ok(now) if now == *known => Ok(known),
        Ok(_) => Err("it changed since it was indexed".into()),
        Err(_) => Err("it is gone".into()),
    }
}

pub(super) fn assign_ranks(results: &mut [SearchResult]) {
    results.iter_mut().enumerate().for_each(|(place, clip)| clip.rank = place + 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_encoders_decide_and_shares_sum_to_one() {
        let clip = |cosine: f32, log_odds: Option<f32>| SearchResult {
            rank: 0,
            score: cosine,
            cosine,
            matched: None,
            log_odds,
            evidence: None,
            file: String::new(),
            start: 0.0,
            end: 1.0,
            best: None,
            path: Default::default(),
        };
        // Over a temperature of .05 the cosines are worth 18, 16 and 10.
        let mut results = vec![clip(0.9, Some(-3.0)), clip(0.8, Some(1.0)), clip(0.95, None), clip(0.5, Some(6.0))];
        combine_scores(&mut results, 0.05);
        assert_eq!(results.iter().map(|clip| clip.cosine).collect::<Vec<_>>(), [0.8, 0.5, 0.9, 0.95]);
        assert!((results.iter().map(|clip| clip.score).sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((results[0].score / results[1].score - 1f32.exp()).abs() < 1e-3 && results[3].score == 0.0);
        let mut unread = vec![clip(0.1, None), clip(0.2, None)];
        combine_scores(&mut unread, 0.05);
        assert_eq!(unread.iter().map(|clip| clip.score).collect::<Vec<_>>(), [0.0, 0.0]);
        assert_eq!(unread[0].cosine, 0.2);
    }
}
