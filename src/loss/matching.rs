//! Video-text matching: does this text belong to this video (docs/model.md, "Matching loss").

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_gradient, host, noise, on_cpu_backends};

    fn mean_over_positives_and_both_negatives<B: Backend>() {
        let device = Default::default();
        let identity = Tensor::<B, 1, Int>::from_data([4, 9], &device);
        let rows = [[0.0, 1.0], [2.0, 0.0], [0.5, 0.5], [1.0, -1.0], [0.0, 3.0], [-1.0, 0.0]];
        let labels = [1, 1, 0, 0, 0, 0];
        let expected: f64 = rows
            .iter()
            .zip(labels)
            .map(|(row, label): (&[f64; 2], usize)| (row[0].exp() + row[1].exp()).ln() - row[label])
            .sum::<f64>()
            / 6.0;
        let found = host(matching(Tensor::<B, 2>::from_data(rows, &device), &identity))[0];
        assert!((f64::from(found) - expected).abs() < 1e-6, "{found} {expected}");
        assert_gradient(noise::<B, 2>(4, [6, 2]), |logits| matching(logits, &Tensor::from_data([4, 9], &device)));
    }

    fn one_identity_alone_has_nothing_to_learn<B: Backend>() {
        let device = Default::default();
        let logits = noise::<burn::backend::Autodiff<B>, 2>(5, [9, 2]).require_grad();
        let loss = matching(logits.clone(), &Tensor::from_data([2, 2, 2], &device));
        let gradient = host(logits.grad(&loss.clone().backward()).unwrap());
        assert_eq!(host(loss), [0.0]);
        assert!(gradient.iter().all(|g| *g == 0.0), "{gradient:?}");
    }

    on_cpu_backends!(mean_over_positives_and_both_negatives, one_identity_alone_has_nothing_to_learn);
}
