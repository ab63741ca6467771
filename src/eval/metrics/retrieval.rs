//! Recall at 1, 5 and 10, their mean, median and mean rank, collected one query at a time.

use super::rank::rank_of_best;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The figures of one direction. Recalls are percentages; ranks count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetrievalMetrics {
    /// Queries with a ground truth in first place.
    pub r1: f64,
    /// Among the first five.
    pub r5: f64,
    /// Among the first ten.
    pub r10: f64,
    /// The mean of the three recalls.
    pub mean: f64,
    /// Median rank of the best ground truth; between two ranks for an even number of queries.
    pub median_rank: f64,
    /// Mean rank of the best ground truth.
    pub mean_rank: f64,
    /// Queries counted, misses included.
    pub queries: usize,
    /// Queries where a wrong candidate had exactly the score of the best ground truth, so that the tie rule decided.
    pub tied_queries: usize,
}

impl RetrievalMetrics {
    /// The same with recalls and ranks to two decimals, as the official evaluation prints them.
    #[must_use]
    pub fn rounded(self) -> Self {
        let round = |value: f64| (value * 100.0).round() / 100.0;
        let [r1, r5, r10, mean] = [self.r1, self.r5, self.r10, self.mean].map(round);
        Self { r1, r5, r10, mean, median_rank: round(self.median_rank), mean_rank: round(self.mean_rank), ..self }
    }
}

/// Collects the ranks of one direction, query by query, so that no score matrix has to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RankCounter {
    /// Place of each query's best ground truth, or none for a miss.
    best_ranks: Vec<Option<usize>>,
    candidates: usize,
    tied: usize,
}

impl RankCounter {
    /// An empty counter.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a query: its `scores` of all candidates, and which of them are right: the best one counts.
    pub fn push(&mut self, scores: &[f32], truths: &[usize]) {
        let rank = rank_of_best(scores, truths);
        self.candidates = self.candidates.max(scores.len());
        self.tied += usize::from(rank.ties > 0);
        self.best_ranks.push((rank.place < scores.len()).then_some(rank.place));
    }

    /// Counts a query that could not be asked (its video is missing): never a hit, and last in rank.
    pub fn push_miss(&mut self) {
        self.best_ranks.push(None);
    }

    /// Places of the best ground truths in the order of the queries, from 0; none for a miss.
    pub fn best_ranks(&self) -> &[Option<usize>] {
        &self.best_ranks
    }

    /// The figures so far; all zero without a query.
    pub fn metrics(&self) -> RetrievalMetrics {
        let queries = self.best_ranks.len();
        let share = |hits: usize| if queries == 0 { 0.0 } else { 100.0 * hits as f64 / queries as f64 };
        let recall = |k: usize| share(self.best_ranks.iter().flatten().filter(|&&place| place < k).count());
        let (r1, r5, r10) = (recall(1), recall(5), recall(10));
        let mut ranks: Vec<usize> = self.best_ranks.iter().map(|place| place.unwrap_or(self.candidates) + 1).collect();
        ranks.sort_unstable();
        let middle = |ranks: &[usize]| (ranks[(queries - 1) / 2] + ranks[queries / 2]) as f64 / 2.0;
        RetrievalMetrics {
            r1,
            r5,
            r10,
            mean: (r1 + r5 + r10) / 3.0,
            median_rank: if queries == 0 { 0.0 } else { middle(&ranks) },
            mean_rank: ranks.iter().sum::<usize>() as f64 / queries.max(1) as f64,
            queries,
            tied_queries: self.tied,
        }
    }
}

/// Ranks every row of `queries` `[n, width]` against all of `candidates` `[m, width]` by dot product; `truths[i]` are
/// the right candidates of query `i`. Scores live one row at a time, so 10 000 × 10 000 needs no more than its inputs.
pub fn rank_features(queries: &[f32], candidates: &[f32], width: usize, truths: &[Vec<usize>]) -> RankCounter {
    let width = width.max(1);
    let ranks: Vec<_> = queries
        .par_chunks_exact(width)
        .zip(truths)
        .map_init(Vec::new, |scores: &mut Vec<f32>, (query, truths)| {
            scores.clear();
            scores.extend(candidates.chunks_exact(width).map(|candidate| dot(query, candidate)));
            rank_of_best(scores, truths)
        })
        .collect();
    let all = candidates.len() / width;
    RankCounter {
        best_ranks: ranks.iter().map(|rank| (rank.place < all).then_some(rank.place)).collect(),
        candidates: all,
        tied: ranks.iter().filter(|rank| rank.ties > 0).count(),
    }
}

/// Eight running sums: the compiler turns them into one vector register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use svitt_ops::rng::Rng;

    #[test]
    fn figures_by_hand() {
        let mut counter = RankCounter::new();
        counter.push(&[0.9, 0.1, 0.5], &[0]);
        counter.push(&[0.9, 0.1, 0.5], &[1, 2]);
        counter.push(&[0.9, 0.1, 0.1], &[1]);
        counter.push_miss();
        let metrics = counter.metrics();
        assert_eq!((metrics.r1, metrics.r5, metrics.r10, metrics.mean), (25.0, 75.0, 75.0, 175.0 / 3.0));
        assert_eq!((metrics.median_rank, metrics.mean_rank), (2.5, (1 + 2 + 3 + 4) as f64 / 4.0));
        assert_eq!((metrics.queries, metrics.tied_queries, metrics.rounded().mean), (4, 1, 58.33));
        assert_eq!(RankCounter::new().metrics().mean_rank, 0.0);
    }

    #[test]
    fn features_rank_as_their_matrix_does() {
        let (n, m, width) = (23, 31, 13);
        let mut rng = Rng::new(9, &[]);
        let mut draw = |count: usize| (0..count).map(|_| rng.between(-1.0, 1.0) as f32).collect::<Vec<f32>>();
        let (queries, candidates) = (draw(n * width), draw(m * width));
        let truths: Vec<Vec<usize>> = (0..n).map(|i| vec![i, (7 * i) % m]).collect();
        let mut brute = RankCounter::new();
        for (query, truths) in queries.chunks(width).zip(&truths) {
            let scores: Vec<f32> = candidates.chunks(width).map(|candidate| dot(query, candidate)).collect();
            brute.push(&scores, truths);
        }
        assert_eq!(rank_features(&queries, &candidates, width, &truths), brute);
    }

    /// Score matrices and printed figures of the official evaluation (5 videos, 7 texts, two of the videos with two).
    #[test]
    fn official_matrices_give_the_official_figures() {
        #[derive(Deserialize)]
        struct Case {
            name: String,
            video_rows: Vec<Vec<f32>>,
            text_rows: Vec<Vec<f32>>,
            video_to_text: [f64; 4],
            text_to_video: [f64; 4],
        }
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../../tests/fixtures/retrieval_metrics.json")).unwrap();
        assert_eq!(cases.len(), 16);
        let texts_of: [&[usize]; 5] = [&[0, 5], &[1], &[2, 6], &[3], &[4]];
        let video_of = [0, 1, 2, 3, 4, 0, 2];
        for case in cases {
            let (mut videos, mut texts) = (RankCounter::new(), RankCounter::new());
            case.video_rows.iter().zip(texts_of).for_each(|(row, truths)| videos.push(row, truths));
            case.text_rows.iter().zip(video_of).for_each(|(row, truth)| texts.push(row, &[truth]));
            let figures = |counter: &RankCounter| {
                let metrics = counter.metrics().rounded();
                [metrics.r1, metrics.r5, metrics.r10, metrics.mean]
            };
            assert_eq!(figures(&videos), case.video_to_text, "{}", case.name);
            assert_eq!(figures(&texts), case.text_to_video, "{}", case.name);
        }
    }
}
