//! Next-word loss of whole answers (SPEC §5).

use super::mlm::token_losses;
use burn::tensor::{Int, Tensor, backend::Backend};

/// Per answer the sum of the cross entropies of its words, `[answers]`: `logits` `[answers, tokens, vocab]` at
/// position i predict token i + 1 of `ids` `[answers, tokens]`; where `mask` `[answers, tokens]` is 0 nothing is
/// predicted.
pub fn answer_losses<B: Backend>(logits: Tensor<B, 3>, ids: Tensor<B, 2, Int>, mask: Tensor<B, 2>) -> Tensor<B, 1> {
    let [answers, tokens, vocab] = logits.dims();
    let padding = mask.slice([0..answers, 1..tokens]).lower_elem(0.5);
    let labels = ids.slice([0..answers, 1..tokens]).mask_fill(padding, -100);
    let logits = logits.slice([0..answers, 0..tokens - 1, 0..vocab]);
    token_losses(logits, labels).sum_dim(1).reshape([answers])
}
