//! One host buffer per batch, one upload.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

/// A batch on the host, as worker threads hand it over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostBatch {
    /// Normalised pixels `[batch, frames, 3, size, size]`, row-major.
    pub video: Vec<f32>,
    /// `[batch, frames, 3, size, size]`.
    pub video_shape: [usize; 5],
    /// Token ids `[batch, tokens]`, padded with 0.
    pub token_ids: Vec<i64>,
    /// 1 where a token stands, 0 where padding does: `[batch, tokens]`.
    pub token_mask: Vec<f32>,
    /// Tokens per text.
    pub tokens: usize,
    /// Identity class of each pair, small integers: equal where two pairs are positives of each other.
    pub identity: Vec<i64>,
    /// Captions as they were tokenised.
    pub captions: Vec<String>,
    /// Positions in the data set, in batch order.
    pub indices: Vec<usize>,
    /// Seconds the training thread waited for this batch.
    pub wait_seconds: f64,
}

/// A batch on a device.
#[derive(Clone, Debug)]
pub struct VideoTextBatch<B: Backend> {
    /// `[batch, frames, 3, size, size]`.
    pub video: Tensor<B, 5>,
    /// `[batch, tokens]`.
    pub token_ids: Tensor<B, 2, Int>,
    /// `[batch, tokens]`, 1 or 0.
    pub token_mask: Tensor<B, 2>,
    /// `[batch]`, equal where two pairs are positives of each other.
    pub identity: Tensor<B, 1, Int>,
    /// The host's view: captions, indices, sizes (its pixel buffer is empty, it was moved to the device).
    pub host: HostBatch,
}

impl HostBatch {
    /// Pairs in the batch.
    pub fn len(&self) -> usize {
        self.video_shape[0]
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves the batch to `device`.
    pub fn upload<B: Backend>(mut self, device: &B::Device) -> VideoTextBatch<B> {
        let [batch, tokens] = [self.len(), self.tokens];
        let video = std::mem::take(&mut self.video);
        VideoTextBatch {
            video: Tensor::from_data(TensorData::new(video, self.video_shape), device),
            token_ids: Tensor::from_data(TensorData::new(self.token_ids.clone(), [batch, tokens]), device),
            token_mask: Tensor::from_data(TensorData::new(self.token_mask.clone(), [batch, tokens]), device),
            identity: Tensor::from_data(TensorData::new(self.identity.clone(), [batch]), device),
            host: self,
        }
    }
}
