//! One host buffer per batch, one upload.

use std::collections::HashMap;

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

/// A batch in host memory, as the worker threads return it.
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
    /// What the classes stand for, in batch order: comparable with other batches.
    pub identity_keys: Vec<u64>,
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
    /// The host part: captions, indices, sizes (its pixel buffer is empty after the upload).
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

    /// Cuts the batch into `parts` of equally many pairs, in order; pairs that are left over are dropped.
    pub fn split(self, parts: usize) -> Vec<Self> {
        if parts == 1 {
            return vec![self];
        }
        let rows = self.len() / parts.max(1);
        let part = |part: usize| {
            let [_, frames, channels, height, width] = self.video_shape;
            let (clip, places) = (frames * channels * height * width, part * rows..(part + 1) * rows);
            let texts = places.start * self.tokens..places.end * self.tokens;
            Self {
                video: self.video[places.start * clip..places.end * clip].to_vec(),
                video_shape: [rows, frames, channels, height, width],
                token_ids: self.token_ids[texts.clone()].to_vec(),
                token_mask: self.token_mask[texts].to_vec(),
                tokens: self.tokens,
                identity: self.identity[places.clone()].to_vec(),
                identity_keys: self.identity_keys[places.clone()].to_vec(),
                captions: self.captions[places.clone()].to_vec(),
                indices: self.indices[places].to_vec(),
                wait_seconds: self.wait_seconds,
            }
        };
        (0..parts).map(part).collect()
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

/// The class of the identity `key`, a small number: the next one where `classes` has none.
pub fn class_of(classes: &mut HashMap<u64, i64>, key: u64) -> i64 {
    let class = classes.len() as i64;
    *classes.entry(key).or_insert(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_rows_in_order() {
        let batch = HostBatch {
            video: (0..10).map(|x| x as f32).collect(),
            video_shape: [5, 2, 1, 1, 1],
            token_ids: (0..15).collect(),
            token_mask: vec![1.0; 15],
            tokens: 3,
            identity: vec![0, 1, 0, 2, 3],
            identity_keys: vec![70, 71, 70, 72, 73],
            captions: ["a", "b", "c", "d", "e"].map(String::from).to_vec(),
            indices: vec![9, 8, 7, 6, 5],
            wait_seconds: 0.5,
        };
        assert_eq!(batch.clone().split(1), std::slice::from_ref(&batch));
        let parts = batch.split(2);
        assert_eq!(
            (parts[0].video.as_slice(), parts[1].video.as_slice()),
            (&[0.0, 1.0, 2.0, 3.0][..], &[4.0, 5.0, 6.0, 7.0][..])
        );
        assert_eq!(parts[1].token_ids, [6, 7, 8, 9, 10, 11]);
        assert_eq!((parts[1].video_shape, parts[1].len()), ([2, 2, 1, 1, 1], 2));
        assert_eq!(
            (&parts[1].identity, &parts[1].identity_keys, &parts[1].captions, &parts[1].indices),
            (&vec![0, 2], &vec![70, 72], &vec!["c".into(), "d".into()], &vec![7, 6])
        );
    }
}
