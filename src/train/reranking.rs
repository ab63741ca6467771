//! What the matching head makes of a gallery: recalls after re-ranking, and its verdicts on true and false pairs.

use super::report::ValidationScores;
use crate::eval::metrics::{RankCounter, rank_of_best, top_k};

/// What the matching head is asked about one text.
pub(super) struct TextCandidates {
    /// The best videos by the two encoders, best first, with their cosines.
    best: Vec<(usize, f32)>,
    /// A right video, and the wrong one that is nearest to the text.
    verdicts: Vec<usize>,
}

impl TextCandidates {
    /// The `k` best videos of a text whose cosines are `cosines` `[videos]` and whose right videos are `truth`.
    pub fn of(cosines: &[f32], k: usize, truth: &[usize]) -> Self {
        let ranked = top_k(cosines, cosines.len());
        let false_one = ranked.iter().copied().find(|video| !truth.contains(video));
        Self {
            best: ranked.iter().take(k).map(|&video| (video, cosines[video])).collect(),
            verdicts: truth.first().copied().into_iter().chain(false_one).collect(),
        }
    }

    /// The (text, video) pairs to ask about, for text number `text`: candidates, then the true and the false one.
    pub fn pairs(&self, text: usize) -> impl Iterator<Item = [usize; 2]> + '_ {
        let best = self.best.iter().map(|(video, _)| *video);
        best.chain(self.verdicts.iter().copied()).map(move |video| [text, video])
    }
}

/// Fills the figures of `scores` that the matching head decides: `logits` (no match, match) are those of all pairs of
/// `candidates` in order, `truths` the right videos of each text, and cosines count over `temperature`.
pub(super) fn score(
    scores: &mut ValidationScores,
    candidates: &[TextCandidates],
    truths: &[Vec<usize>],
    logits: &[[f32; 2]],
    temperature: f32,
) {
    let mut answers = logits.iter();
    let (mut matched, mut combined) = (RankCounter::new(), RankCounter::new());
    let (mut right, mut questions) = (0usize, 0usize);
    for (asked, truth) in candidates.iter().zip(truths) {
        let mut rows = [(); 2].map(|()| vec![f32::NEG_INFINITY; scores.gallery]);
        for (&(video, cosine), [no, yes]) in asked.best.iter().zip(answers.by_ref()) {
            (rows[0][video], rows[1][video]) = (*yes, cosine / temperature + yes - no);
        }
        for (row, counter) in rows.iter().zip([&mut matched, &mut combined]) {
            match rank_of_best(row, truth).place < asked.best.len() {
                true => counter.push(row, truth),
                false => counter.push_miss(),
            }
        }
        for (place, [no, yes]) in answers.by_ref().take(asked.verdicts.len()).enumerate() {
            questions += 1;
            right += usize::from((yes > no) == (place == 0));
        }
    }
    let metrics = matched.metrics();
    [scores.r1_reranked, scores.r5_reranked, scores.r10_reranked] = [metrics.r1, metrics.r5, metrics.r10];
    scores.r1_combined = combined.metrics().r1;
    scores.vtm_accuracy = 100.0 * right as f64 / questions.max(1) as f64;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two texts, three videos, two candidates each: the head alone is wrong about text 0, which cosines decide, and
    /// right about text 1, which they do not.
    #[test]
    fn the_head_ranks_alone_and_on_top_of_the_cosines() {
        let truths = [vec![0], vec![1]];
        let cosines = [[0.9f32, 0.5, 0.1], [0.2, 0.7, 0.72]];
        let candidates: Vec<TextCandidates> =
            cosines.iter().zip(&truths).map(|(row, truth)| TextCandidates::of(row, 2, truth)).collect();
        let pairs: Vec<[usize; 2]> = candidates.iter().enumerate().flat_map(|(i, c)| c.pairs(i)).collect();
        assert_eq!(pairs, [[0, 0], [0, 1], [0, 0], [0, 1], [1, 2], [1, 1], [1, 1], [1, 2]]);
        let logits = [0.0, 1.0, 0.0, 1.0, -2.0, 2.0, 2.0, -2.0].map(|yes| [0.0f32, yes]);
        let mut scores = ValidationScores { gallery: 3, ..ValidationScores::default() };
        score(&mut scores, &candidates, &truths, &logits, 0.1);
        assert_eq!((scores.r1_reranked, scores.r1_combined), (50.0, 100.0));
        assert_eq!((scores.r5_reranked, scores.vtm_accuracy), (100.0, 50.0));
        score(&mut scores, &candidates, &truths, &logits, 1.0);
        assert_eq!(scores.r1_combined, 50.0, "at temperature 1 the head outweighs the cosines");
    }
}
