//! Video-text contrastive loss with targets by identity (SPEC §3, ITC).

use burn::tensor::{Int, Tensor, activation::log_softmax, backend::Backend};

/// Where the temperature is held during training (SPEC §3).
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
pub fn similarity<B: Backend>(video: Tensor<B, 2>, text: Tensor<B, 2>, temp: Tensor<B, 1>) -> Tensor<B, 2> {
    video.matmul(text.transpose()) / temp.unsqueeze()
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
