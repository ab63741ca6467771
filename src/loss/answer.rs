//! Next-word loss of whole answers (docs/model.md, "Answer loss").

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{host, noise, on_cpu_backends};

    fn every_word_after_the_first_is_summed<B: Backend>() {
        let device = Default::default();
        let logits = noise::<B, 3>(8, [2, 4, 7]);
        let ids = Tensor::<B, 2, Int>::from_data([[1, 5, 2, 0], [1, 3, 6, 2]], &device);
        let mask = Tensor::<B, 2>::from_data([[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]], &device);
        let values = host(logits.clone());
        let loss = |answer: usize, at: usize, next: usize| {
            let row = &values[7 * (4 * answer + at)..][..7];
            row.iter().map(|x| x.exp()).sum::<f32>().ln() - row[next]
        };
        let expected = [loss(0, 0, 5) + loss(0, 1, 2), loss(1, 0, 3) + loss(1, 1, 6) + loss(1, 2, 2)];
        for (found, expected) in host(answer_losses(logits, ids, mask)).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    on_cpu_backends!(every_word_after_the_first_is_summed);
}
