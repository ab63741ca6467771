//! Masked-language loss (docs/model.md, "Masked-language loss").

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_gradient, host, noise, on_cpu_backends};

    fn only_labelled_tokens_count<B: Backend>() {
        let device = Default::default();
        let logits = noise::<B, 3>(6, [2, 3, 5]);
        let labels = Tensor::<B, 2, Int>::from_data([[4, -100, 0], [-100, -100, 2]], &device);
        let values = host(logits.clone());
        let loss = |token: usize, label: usize| {
            let row = &values[5 * token..5 * token + 5];
            row.iter().map(|x| x.exp()).sum::<f32>().ln() - row[label]
        };
        let expected = (loss(0, 4) + loss(2, 0) + loss(5, 2)) / 3.0;
        let found = host(masked_language(logits.clone(), labels))[0];
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        assert_gradient(logits, |logits| {
            masked_language(logits, Tensor::from_data([[4, -100, 0], [-100, -100, 2]], &device))
        });
    }

    fn nothing_masked_is_zero_not_nan<B: Backend>() {
        let labels = Tensor::<B, 2, Int>::full([2, 3], -100, &Default::default());
        assert_eq!(host(masked_language(noise::<B, 3>(7, [2, 3, 5]), labels)), [0.0]);
    }

    on_cpu_backends!(only_labelled_tokens_count, nothing_masked_is_zero_not_nan);
}
