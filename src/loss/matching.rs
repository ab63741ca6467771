//! Video-text matching: does this text belong to this video (SPEC §3, ITM).

use super::contrastive::same_identity;
use burn::tensor::{Int, Tensor, activation::log_softmax, backend::Backend};

/// Labels of the batch [(t, v), (t, v⁻), (t⁻, v)]: `batch` ones, then zeros, `[3 · batch]`.
pub fn matching_labels<B: Backend>(batch: usize, device: &B::Device) -> Tensor<B, 1, Int> {
    Tensor::cat(vec![Tensor::ones([batch], device), Tensor::zeros([2 * batch], device)], 0)
}

/// Mean cross entropy `[1]` of `logits` `[3 · batch, 2]` (class 1: they match), in the order of [`matching_labels`].
///
/// If all of `identity` `[batch]` is one class there are no negatives and the loss is 0: "always match" would be all
/// there is to learn. (The official code stops with an exception there.)
pub fn matching<B: Backend>(logits: Tensor<B, 2>, identity: &Tensor<B, 1, Int>) -> Tensor<B, 1> {
    let ([rows, _], device) = (logits.dims(), logits.device());
    let labels = matching_labels::<B>(rows / 3, &device).reshape([rows, 1]);
    let loss = log_softmax(logits, 1).gather(1, labels).mean().neg();
    let has_negatives = same_identity(identity).lower_elem(0.5).any().float();
    loss * has_negatives
}
