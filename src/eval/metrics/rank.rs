//! Rank of a ground truth among the candidates of a query.
//!
//! The order is the official evaluation's: descending score, and **of equal scores the higher index first** (numpy's
//! ascending sort, read backwards). A score that is not a number stands behind every other.

use std::cmp::Ordering;

/// Where the best ground truth of a query stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Candidates in front of it; 0 is a hit at 1. Equal to the number of candidates for a miss.
    pub place: usize,
    /// Wrong candidates with exactly its score; above 0 the tie rule decided the rank.
    pub ties: usize,
}

/// `a` against `b` in rank order; `Less` stands in front.
fn order(a: (usize, f32), b: (usize, f32)) -> Ordering {
    key(b.1).total_cmp(&key(a.1)).then(b.0.cmp(&a.0))
}

/// Not-a-number stands behind negative infinity; the two zeros are equal.
fn key(score: f32) -> f32 {
    if score.is_nan() { -f32::NAN.abs() } else { score + 0.0 }
}

/// The place of the best of `truths` among `scores`, in one pass. Truths outside `scores` are passed over; with none
/// left, the query is a miss.
pub fn rank_of_best(scores: &[f32], truths: &[usize]) -> Rank {
    let known = truths.iter().filter_map(|&truth| Some((truth, *scores.get(truth)?)));
    let Some(best) = known.min_by(|&a, &b| order(a, b)) else {
        return Rank { place: scores.len(), ties: 0 };
    };
    let mut rank = Rank { place: 0, ties: 0 };
    for (index, &score) in scores.iter().enumerate() {
        rank.place += usize::from(order((index, score), best) == Ordering::Less);
        let equal = key(score).total_cmp(&key(best.1)) == Ordering::Equal;
        rank.ties += usize::from(equal && !truths.contains(&index));
    }
    rank
}

/// The `k` best candidates of `scores` in rank order; all of them when there are fewer.
pub fn top_k(scores: &[f32], k: usize) -> Vec<usize> {
    let mut ranked: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
    if k == 0 {
        return Vec::new();
    }
    if k < ranked.len() {
        ranked.select_nth_unstable_by(k - 1, |&a, &b| order(a, b));
        ranked.truncate(k);
    }
    ranked.sort_unstable_by(|&a, &b| order(a, b));
    ranked.into_iter().map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use svitt_ops::rng::Rng;

    /// numpy's `argsort(scores)[::-1]` with a stable sort, spelled out.
    fn argsort_reversed(scores: &[f32]) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..scores.len()).collect();
        indices.sort_by(|&a, &b| scores[a].partial_cmp(&scores[b]).unwrap());
        indices.reverse();
        indices
    }

    #[test]
    fn equal_scores_put_the_higher_index_first() {
        let scores = [0.5, 0.9, 0.5, -0.0, 0.0];
        assert_eq!(argsort_reversed(&scores), [1, 2, 0, 4, 3]);
        assert_eq!(rank_of_best(&scores, &[0]), Rank { place: 2, ties: 1 });
        assert_eq!(rank_of_best(&scores, &[2]), Rank { place: 1, ties: 1 });
        assert_eq!(rank_of_best(&scores, &[0, 2]), Rank { place: 1, ties: 0 }, "ties among truths decide nothing");
        assert_eq!(rank_of_best(&scores, &[3]), Rank { place: 4, ties: 1 });
    }

    #[test]
    fn agrees_with_a_full_sort() {
        let mut rng = Rng::new(3, &[]);
        for round in 0..200 {
            let scores: Vec<f32> = (0..1 + round % 37).map(|_| rng.below(11) as f32 - 5.0).collect();
            let sorted = argsort_reversed(&scores);
            let truths: Vec<usize> = (0..1 + rng.below(4)).map(|_| rng.below(scores.len())).collect();
            let best = truths.iter().map(|truth| sorted.iter().position(|index| index == truth).unwrap()).min();
            assert_eq!(Some(rank_of_best(&scores, &truths).place), best);
            let k = rng.below(scores.len() + 2);
            assert_eq!(top_k(&scores, k), sorted[..k.min(sorted.len())]);
        }
    }

    #[test]
    fn misses_and_broken_scores_stand_last() {
        let scores = [f32::NAN, 0.5, f32::NEG_INFINITY];
        assert_eq!(rank_of_best(&scores, &[]), Rank { place: 3, ties: 0 });
        assert_eq!(rank_of_best(&scores, &[7]), Rank { place: 3, ties: 0 });
        assert_eq!(rank_of_best(&scores, &[0]), Rank { place: 2, ties: 0 });
        assert_eq!(top_k(&scores, 9), [1, 2, 0]);
    }
}
