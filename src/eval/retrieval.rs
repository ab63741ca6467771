//! Ranking by two encoders, and re-ranking of the best by the matching head, in both directions
//! (docs/model.md, "Retrieval evaluation").
//!
//! No matrix of all pairs is kept: scores of the two encoders live one row at a time, and re-ranked ones are lists of
//! at most k per query, so 10 000 texts against 10 000 videos need 10 000 · 128 · 2 pairs of 12 bytes: 31 MB.

use super::metrics::{RankCounter, RetrievalMetrics, rank_features, top_k};
use crate::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The score of a pair that was not re-ranked (docs/model.md, "Re-ranking").
pub const NOT_RERANKED: f32 = -100.0;

/// Which videos are right for each text, and which texts for each video.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroundTruth {
    /// `[texts]`: videos that fit, as positions.
    pub videos_of_text: Vec<Vec<usize>>,
    /// `[videos]`: texts that fit, as positions.
    pub texts_of_video: Vec<Vec<usize>>,
}

impl GroundTruth {
    /// From `pairs` of (text, video) among `texts` and `videos`; pairs outside are passed over.
    pub fn new(texts: usize, videos: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut truths = Self { videos_of_text: vec![Vec::new(); texts], texts_of_video: vec![Vec::new(); videos] };
        for (text, video) in pairs {
            if text < texts && video < videos {
                truths.videos_of_text[text].push(video);
                truths.texts_of_video[video].push(text);
            }
        }
        truths
    }
}

/// The figures of both directions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BidirectionalMetrics {
    /// Text to video: the paper's numbers (`img_*` in the official output).
    pub t2v: RetrievalMetrics,
    /// Video to text (`txt_*` in the official output).
    pub v2t: RetrievalMetrics,
}

/// Matching scores of the best pairs by the two encoders.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reranked {
    /// Candidates re-ranked per query: k, or as many as there are.
    pub k_texts: usize,
    /// The same for videos per text.
    pub k_videos: usize,
    by_video: Vec<Vec<(u32, f32)>>,
    by_text: Vec<Vec<(u32, f32)>>,
}

impl Reranked {
    /// Scores of all texts for `video`, [`NOT_RERANKED`] where they were not among its best.
    pub fn video_row(&self, video: usize) -> Vec<f32> {
        row(&self.by_video[video], self.by_text.len())
    }

    /// Scores of all videos for `text`, [`NOT_RERANKED`] where they were not among its best.
    pub fn text_row(&self, text: usize) -> Vec<f32> {
        row(&self.by_text[text], self.by_video.len())
    }

    /// Ranks of the texts' videos and of the videos' texts, in this order.
    pub fn ranks(&self, truths: &GroundTruth) -> [RankCounter; 2] {
        let (mut texts, mut videos) = (RankCounter::new(), RankCounter::new());
        truths.videos_of_text.iter().enumerate().for_each(|(i, right)| texts.push(&self.text_row(i), right));
        truths.texts_of_video.iter().enumerate().for_each(|(i, right)| videos.push(&self.video_row(i), right));
        [texts, videos]
    }
}

/// The scores of the two encoders, `[queries, candidates]` row-major: dot products of `queries` `[queries, width]` and
/// `candidates` `[candidates, width]`. For small sets and reports; ranking itself never builds this.
pub fn dual_scores(queries: &[f32], candidates: &[f32], width: usize) -> Vec<f32> {
    queries.par_chunks_exact(width.max(1)).flat_map_iter(|query| dual_row(query, candidates)).collect()
}

/// Ranks by the two encoders alone, text to video and video to text: `videos` `[videos, width]` (means over clips, see
/// [`super::mean_features`]) and `texts` `[texts, width]`.
pub fn rank_dual(videos: &[f32], texts: &[f32], width: usize, truths: &GroundTruth) -> [RankCounter; 2] {
    [
        rank_features(texts, videos, width, &truths.videos_of_text),
        rank_features(videos, texts, width, &truths.texts_of_video),
    ]
}

/// Re-ranks the best `k` texts of every video and the best `k` videos of every text.
///
/// `videos` `[videos, width]` and `texts` `[texts, width]` choose the pairs; `score(video, texts)` returns the matching
/// score of `video` with each of `texts`, and is asked once per video, so that no more than one video's states need to
/// be in memory. A pair that is among the best in both directions is scored once.
///
/// # Errors
/// Whatever `score` returns.
pub fn rerank(
    videos: &[f32],
    texts: &[f32],
    width: usize,
    k: usize,
    mut score: impl FnMut(usize, &[usize]) -> Result<Vec<f32>>,
) -> Result<Reranked> {
    let texts_of_video = best_candidates(videos, texts, width, k);
    let videos_of_text = best_candidates(texts, videos, width, k);
    let mut wanted_by_texts = vec![Vec::new(); texts_of_video.len()];
    for (text, best) in videos_of_text.iter().enumerate() {
        best.iter().for_each(|&video| wanted_by_texts[video].push(text));
    }
    let mut reranked = Reranked {
        k_texts: k.min(videos_of_text.len()),
        k_videos: k.min(texts_of_video.len()),
        by_video: Vec::with_capacity(texts_of_video.len()),
        by_text: vec![Vec::new(); videos_of_text.len()],
    };
    for (video, (best, wanted)) in texts_of_video.iter().zip(&wanted_by_texts).enumerate() {
        let mut pairs: Vec<usize> = best.iter().chain(wanted).copied().collect();
        pairs.sort_unstable();
        pairs.dedup();
        let scores = score(video, &pairs)?;
        let of = |text: &usize| pairs.binary_search(text).ok().and_then(|at| scores.get(at)).copied();
        reranked.by_video.push(best.iter().filter_map(|text| Some((*text as u32, of(text)?))).collect());
        for text in wanted {
            reranked.by_text[*text].extend(of(text).map(|score| (video as u32, score)));
        }
    }
    Ok(reranked)
}

/// The best `k` of `candidates` `[candidates, width]` for each of `queries` `[queries, width]`.
fn best_candidates(queries: &[f32], candidates: &[f32], width: usize, k: usize) -> Vec<Vec<usize>> {
    queries
        .par_chunks_exact(width.max(1))
        .map_init(Vec::new, |scores: &mut Vec<f32>, query| {
            scores.clear();
            scores.extend(dual_row(query, candidates));
            top_k(scores, k)
        })
        .collect()
}

fn dual_row<'a>(query: &'a [f32], candidates: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
    let candidates = candidates.chunks_exact(query.len().max(1));
    candidates.map(move |candidate| query.iter().zip(candidate).map(|(a, b)| a * b).sum())
}

fn row(scores: &[(u32, f32)], candidates: usize) -> Vec<f32> {
    let mut row = vec![NOT_RERANKED; candidates];
    scores.iter().for_each(|&(candidate, score)| row[candidate as usize] = score);
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use svitt_ops::rng::Rng;

    const WIDTH: usize = 5;

    fn draw(seed: u64, rows: usize) -> Vec<f32> {
        let mut rng = Rng::new(seed, &[]);
        (0..rows * WIDTH).map(|_| rng.between(-1.0, 1.0) as f32).collect()
    }

    fn matching(video: usize, text: usize) -> f32 {
        Rng::new(99, &[video as u64, text as u64]).between(-3.0, 3.0) as f32
    }

    /// Re-ranking spelled out: both matrices, all pairs, one sort per row.
    fn brute_force(scores: &[f32], columns: usize, k: usize, matching: impl Fn(usize, usize) -> f32) -> Vec<Vec<f32>> {
        let rerank = |(query, row): (usize, &[f32])| {
            let mut order: Vec<usize> = (0..columns).collect();
            order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
            let mut reranked = vec![NOT_RERANKED; columns];
            order.iter().take(k).for_each(|&candidate| reranked[candidate] = matching(query, candidate));
            reranked
        };
        scores.chunks(columns).enumerate().map(rerank).collect()
    }

    #[test]
    fn equals_brute_force() {
        let (videos, texts) = (13, 29);
        let (video_features, text_features) = (draw(1, videos), draw(2, texts));
        let v2t = dual_scores(&video_features, &text_features, WIDTH);
        let t2v = dual_scores(&text_features, &video_features, WIDTH);
        assert_eq!(v2t[3 * texts + 7], t2v[7 * videos + 3]);
        for k in [1, 4, 17, 128] {
            let mut asked = vec![0; videos];
            let reranked = rerank(&video_features, &text_features, WIDTH, k, |video, texts| {
                asked[video] += 1;
                Ok(texts.iter().map(|&text| matching(video, text)).collect())
            })
            .unwrap();
            assert_eq!(asked, vec![1; videos]);
            assert_eq!((reranked.k_texts, reranked.k_videos), (k.min(texts), k.min(videos)));
            let rows: Vec<Vec<f32>> = (0..videos).map(|video| reranked.video_row(video)).collect();
            assert_eq!(rows, brute_force(&v2t, texts, k, matching));
            let rows: Vec<Vec<f32>> = (0..texts).map(|text| reranked.text_row(text)).collect();
            assert_eq!(rows, brute_force(&t2v, videos, k, |text, video| matching(video, text)));
        }
    }

    #[test]
    fn several_truths_and_truths_outside_the_best() {
        let truths = GroundTruth::new(3, 2, [(0, 0), (2, 0), (1, 1), (7, 0), (0, 5)]);
        assert_eq!(truths.texts_of_video, [vec![0, 2], vec![1]]);
        assert_eq!(truths.videos_of_text, [[0], [1], [0]]);
        let (videos, texts) = ([1.0, 0.0, 0.0, 1.0], [0.9, 0.1, 0.8, 0.2, 0.1, 0.9]);
        let reranked = rerank(&videos, &texts, 2, 1, |_, texts| Ok(vec![2.0; texts.len()])).unwrap();
        // Text 1 belongs to video 1, but the two encoders prefer video 0: it cannot come back.
        assert_eq!(reranked.text_row(1), [2.0, NOT_RERANKED]);
        let [t2v, v2t] = reranked.ranks(&truths).map(|ranks| ranks.best_ranks().to_vec());
        assert_eq!((t2v, v2t), (vec![Some(0), Some(1), Some(1)], vec![Some(0), Some(1)]));
    }

    #[test]
    fn a_video_that_cannot_be_scored_stops_it() {
        let fail = |_: usize, _: &[usize]| Err(Error::setting("media", "gone", "bring it back"));
        assert!(rerank(&[1.0], &[1.0], 1, 1, fail).is_err());
    }
}
