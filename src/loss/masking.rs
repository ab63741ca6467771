//! Which words a text encoder has to guess, drawn on the host (SPEC §3, MLM).

use crate::rng::Rng;

/// The label of a token that is not predicted.
pub const IGNORED: i64 = -100;

/// How tokens are masked.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskRules {
    /// Probability that a token is predicted; .5 in the paper's pretraining.
    pub probability: f64,
    /// Entries of the vocabulary, from which random replacements come.
    pub vocab_size: usize,
    /// The id of [MASK].
    pub mask_id: i64,
    /// Ids that are never predicted: [PAD] and [CLS].
    pub never: Vec<i64>,
    /// Ids that are always predicted and always replaced by [MASK], such as direction words: what can only be read
    /// off the video.
    pub always: Vec<i64>,
}

/// Texts with words missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedTokens {
    /// What the encoder reads.
    pub ids: Vec<i64>,
    /// The missing words, [`IGNORED`] elsewhere.
    pub labels: Vec<i64>,
}

/// Masks `ids`: of the predicted tokens 80 % become [MASK], 10 % a random id, 10 % stay.
pub fn mask_tokens(ids: &[i64], rules: &MaskRules, rng: &mut Rng) -> MaskedTokens {
    let (ids, labels) = ids.iter().map(|&id| mask_token(id, rules, rng)).unzip();
    MaskedTokens { ids, labels }
}

/// The id the encoder reads instead of `id`, and its label. Takes three draws, whatever comes of them, so that the
/// masks of the tokens behind do not depend on this one.
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
