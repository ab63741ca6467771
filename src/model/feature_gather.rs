//! Features of the batches on other devices, as extra negatives of the contrastive loss.

use crate::loss::{contrastive, similarity};
use burn::tensor::{Int, Tensor};
use std::fmt::Debug;
use svitt_ops::device::MatmulOps;

/// The other parts of a batch that lies on several devices.
pub trait FeatureGather<B: MatmulOps>: Debug + Send + Sync {
    /// The features of the whole batch, `[pairs, e]`, of which `own` `[batch, e]` are this device's. The mean over
    /// devices of the gradients of a loss of them is the gradient of that loss.
    fn features(&self, own: Tensor<B, 2>) -> Tensor<B, 2>;

    /// Identities of the whole batch, `[pairs]`, in the order of [`Self::features`].
    fn identity(&self, device: &B::Device) -> Tensor<B, 1, Int>;

    /// The contrastive loss of the whole batch, `[1]`, for this device's unit vectors `[batch, e]`.
    fn contrastive(&self, video: Tensor<B, 2>, text: Tensor<B, 2>, temp: Tensor<B, 1>) -> Tensor<B, 1> {
        let identity = self.identity(&video.device());
        contrastive(similarity(self.features(video), self.features(text), temp), &identity)
    }
}
