//! Contrastive, matching, masked-language and answer losses: functions of tensors only.

mod answer;
mod contrastive;
mod masking;
mod matching;
mod mlm;
mod negatives;

pub use answer::answer_losses;
pub use contrastive::{
    TEMPERATURE_RANGE, clamped_temperature, contrastive, identity_targets, same_identity, similarity,
};
pub use masking::{IGNORED, MaskRules, MaskedTokens, mask_tokens};
pub use matching::{matching, matching_labels};
pub use mlm::masked_language;
pub use negatives::{NegativeDraws, Negatives, gumbel_noise, hard_negatives, negative_weights};
