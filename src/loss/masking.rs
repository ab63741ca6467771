//! Masked language modelling: which tokens are masked, drawn on the host (docs/model.md, "Masked-language loss").

use svitt_ops::rng::Rng;

/// The label of a token that is not predicted.
pub const IGNORED: i64 = -100;

/// How tokens are masked.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskRules {
    /// Probability that a token is predicted; .5 in the paper's pretraining.
    pub probability: f64,
    /// Entries of the vocabulary, from which random replacements come.
    pub vocab_size: usize,
    /// The id of `[MASK]`.
    pub mask_id: i64,
    /// Ids that are never predicted: `[PAD]` and `[CLS]`.
    pub never: Vec<i64>,
    /// Ids that are always predicted and always replaced by `[MASK]`, such as direction words: what can only be read
    /// off the video.
    pub always: Vec<i64>,
}

/// Masked texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedTokens {
    /// What the encoder reads.
    pub ids: Vec<i64>,
    /// The missing words, [`IGNORED`] elsewhere.
    pub labels: Vec<i64>,
}

/// Masks `ids`: of the predicted tokens 80 % become `[MASK]`, 10 % a random id, 10 % stay.
pub fn mask_tokens(ids: &[i64], rules: &MaskRules, rng: &mut Rng) -> MaskedTokens {
    let (ids, labels) = ids.iter().map(|&id| mask_token(id, rules, rng)).unzip();
    MaskedTokens { ids, labels }
}

/// The input id and label of one token. Always takes three draws, so that the masks of later tokens do not depend on
/// this one.
fn mask_token(id: i64, rules: &MaskRules, rng: &mut Rng) -> (i64, i64) {
    let (chosen, fate, random) =
        (rng.chance(rules.probability), rng.uniform(), rng.below(rules.vocab_size.max(1)) as i64);
    if rules.never.contains(&id) {
        return (id, IGNORED);
    }
    if rules.always.contains(&id) {
        return (rules.mask_id, id);
    }
    match chosen {
        false => (id, IGNORED),
        true if fate < 0.8 => (rules.mask_id, id),
        true if fate < 0.9 => (random, id),
        true => (id, id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> MaskRules {
        MaskRules { probability: 0.5, vocab_size: 50, mask_id: 3, never: vec![0, 1], always: vec![20, 21] }
    }

    #[test]
    fn half_of_the_words_are_predicted_and_four_fifths_of_those_hidden() {
        let ids: Vec<i64> = (0..60_000).map(|i| 5 + i % 13).collect();
        let masked = mask_tokens(&ids, &rules(), &mut Rng::new(1, &[]));
        let predicted: Vec<usize> = (0..ids.len()).filter(|&i| masked.labels[i] != IGNORED).collect();
        let share = |what: &dyn Fn(usize) -> bool| {
            predicted.iter().filter(|&&i| what(i)).count() as f64 / predicted.len() as f64
        };
        assert!((predicted.len() as f64 / 60_000.0 - 0.5).abs() < 0.01);
        assert!((share(&|i| masked.ids[i] == 3) - 0.802).abs() < 0.01, "1 in 50 random words is [MASK]");
        assert!((share(&|i| masked.ids[i] == ids[i]) - 0.102).abs() < 0.01);
        assert!(predicted.iter().all(|&i| masked.labels[i] == ids[i]));
        assert!((0..ids.len()).all(|i| masked.labels[i] != IGNORED || masked.ids[i] == ids[i]));
    }

    #[test]
    fn padding_is_never_masked_and_directions_always() {
        let ids = [1, 20, 7, 21, 0, 0];
        for seed in 0..40 {
            let masked = mask_tokens(&ids, &rules(), &mut Rng::new(seed, &[]));
            assert_eq!([masked.ids[1], masked.ids[3]], [3, 3]);
            assert_eq!([masked.labels[1], masked.labels[3]], [20, 21]);
            assert_eq!([masked.ids[0], masked.ids[4], masked.ids[5]], [1, 0, 0]);
            assert_eq!([masked.labels[0], masked.labels[4]], [IGNORED; 2]);
        }
    }

    #[test]
    fn a_word_does_not_change_the_masks_behind_it() {
        let with = |second| mask_tokens(&[1, second, 9, 10, 11, 12], &rules(), &mut Rng::new(5, &[]));
        assert_eq!(with(20).labels[2..], with(0).labels[2..]);
        assert_eq!(with(7), with(7));
    }
}
