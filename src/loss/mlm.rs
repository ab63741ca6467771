//! Masked-language loss (SPEC §3, MLM).

use burn::tensor::{Int, Tensor, activation::log_softmax, backend::Backend};

/// Mean cross entropy `[1]` of `logits` `[batch, tokens, vocab]` over the tokens whose `labels` `[batch, tokens]` are
/// not negative; 0 where none is.
pub fn masked_language<B: Backend>(logits: Tensor<B, 3>, labels: Tensor<B, 2, Int>) -> Tensor<B, 1> {
    let counted = labels.clone().greater_equal_elem(0).float();
    let losses = token_losses(logits, labels);
    losses.sum() / counted.sum().clamp_min(1.0)
}

/// Cross entropy of every token, 0 where the label is negative: `[batch, tokens]`.
pub(super) fn token_losses<B: Backend>(logits: Tensor<B, 3>, labels: Tensor<B, 2, Int>) -> Tensor<B, 2> {
    let [batch, tokens, vocab] = logits.dims();
    let ignored = labels.clone().lower_elem(0);
    let wanted = labels.mask_fill(ignored.clone(), 0).reshape([batch * tokens, 1]);
    let log_probability = log_softmax(logits.reshape([batch * tokens, vocab]), 1).gather(1, wanted);
    log_probability.neg().reshape([batch, tokens]).mask_fill(ignored, 0.0)
}
