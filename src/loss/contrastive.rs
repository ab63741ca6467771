//! Video-text contrastive loss with targets by identity (docs/model.md, "Contrastive loss").

use burn::tensor::{Int, Tensor, activation::log_softmax, backend::Backend};
use svitt_ops::device::{MatmulOps, matmul};

/// Range the temperature is clamped to in training.
pub const TEMPERATURE_RANGE: [f64; 2] = [0.001, 0.5];

/// `temp` `[1]` held in [`TEMPERATURE_RANGE`] with the gradient of the identity, as if the parameter itself had been
/// clamped before the forward.
pub fn clamped_temperature<B: Backend>(temp: Tensor<B, 1>) -> Tensor<B, 1> {
    let [low, high] = TEMPERATURE_RANGE;
    let held = temp.clone().detach();
    temp + (held.clone().clamp(low, high) - held)
}

/// Cosines of all pairs over the temperature: unit rows `video` `[videos, e]` and `text` `[texts, e]` and `temp` `[1]`
/// to `[videos, texts]`.
pub fn similarity<B: MatmulOps>(video: Tensor<B, 2>, text: Tensor<B, 2>, temp: Tensor<B, 1>) -> Tensor<B, 2> {
    matmul(video, text.transpose()) / temp.unsqueeze()
}

/// 1 where two pairs of the batch show the same video, else 0: `[batch]` to `[batch, batch]`.
pub fn same_identity<B: Backend>(identity: &Tensor<B, 1, Int>) -> Tensor<B, 2> {
    let batch = identity.dims()[0];
    let row = identity.clone().reshape([batch, 1]).expand([batch, batch]);
    let column = identity.clone().reshape([1, batch]).expand([batch, batch]);
    row.equal(column).float()
}

/// Soft targets: every pair of the same identity is equally right. `[batch]` to `[batch, batch]`, rows sum to 1.
pub fn identity_targets<B: Backend>(identity: &Tensor<B, 1, Int>) -> Tensor<B, 2> {
    let same = same_identity(identity);
    same.clone() / same.sum_dim(1)
}

/// Mean of the soft cross entropies of both directions, `[1]`, for `similarity` `[batch, batch]` (videos in rows,
/// texts in columns, already over the temperature) and `identity` `[batch]`.
pub fn contrastive<B: Backend>(similarity: Tensor<B, 2>, identity: &Tensor<B, 1, Int>) -> Tensor<B, 1> {
    let targets = identity_targets(identity);
    let batch = targets.dims()[0] as f64;
    let video_to_text = log_softmax(similarity.clone(), 1) * targets.clone();
    let text_to_video = log_softmax(similarity.transpose(), 1) * targets;
    (video_to_text + text_to_video).sum().div_scalar(-2.0 * batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_gradient, host, noise, on_cpu_backends};

    fn identity<B: Backend>() -> Tensor<B, 1, Int> {
        Tensor::from_data([7, 3, 3], &Default::default())
    }

    fn soft_targets_share_an_identity<B: Backend>() {
        assert_eq!(host(identity_targets::<B>(&identity())), [1.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.5, 0.5]);
        let similarity =
            Tensor::<B, 2>::from_data([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0], [-0.5, 0.25, 1.5]], &Default::default());
        // Cross entropy with soft targets is log Σ exp minus the expected score; in f64.
        let rows: [[f64; 3]; 3] = [[2.0, 0.5, -1.0], [0.0, 1.0, 3.0], [-0.5, 0.25, 1.5]];
        let lse = |v: [f64; 3]| v.iter().map(|x| x.exp()).sum::<f64>().ln();
        let target = |i: usize, v: [f64; 3]| if i == 0 { v[0] } else { (v[1] + v[2]) / 2.0 };
        let column = |j: usize| [rows[0][j], rows[1][j], rows[2][j]];
        let both: f64 = (0..3).map(|i| lse(rows[i]) - target(i, rows[i]) + lse(column(i)) - target(i, column(i))).sum();
        let found = host(contrastive(similarity, &identity()))[0];
        assert!((f64::from(found) - both / 6.0).abs() < 1e-6, "{found} {}", both / 6.0);
    }

    fn gradients_are_those_of_differences<B: MatmulOps>() {
        assert_gradient(noise::<B, 2>(1, [3, 3]).mul_scalar(2.0), |s| contrastive(s, &identity()));
        let (video, text) = (noise::<burn::backend::Autodiff<B>, 2>(2, [3, 5]), noise(3, [3, 5]));
        let temp = Tensor::<B, 1>::from_floats([0.3], &Default::default());
        assert_gradient(temp, |temp| contrastive(similarity(video.clone(), text.clone(), temp), &identity()));
    }

    fn the_temperature_is_clamped_with_an_identity_gradient<B: Backend>() {
        for (raw, held) in [(0.9, 0.5), (-1.0, 0.001), (0.07, 0.07)] {
            let temp = Tensor::<burn::backend::Autodiff<B>, 1>::from_floats([raw], &Default::default()).require_grad();
            let out = clamped_temperature(temp.clone());
            assert!((host(out.clone())[0] - held).abs() < 1e-7);
            assert_eq!(host(temp.grad(&out.mul_scalar(3.0).backward()).unwrap()), [3.0]);
        }
    }

    on_cpu_backends!(
        soft_targets_share_an_identity,
        gradients_are_those_of_differences,
        the_temperature_is_clamped_with_an_identity_gradient,
    );
}
