//! Items become one host batch: pixels side by side, captions tokenised, identities as small integers.

use crate::{
    Error, Result,
    data::{HostBatch, Item, class_of},
    text::{Tokenizer, clean},
};
use std::{collections::HashMap, sync::Arc};

/// Makes one batch of items, on a worker thread.
pub trait Collate: Send + Sync {
    /// The batch of `items`, in their order.
    ///
    /// # Errors
    /// Items that do not fit together.
    fn collate(&self, items: Vec<Item>) -> Result<HostBatch>;
}

/// Tokenises captions and stacks clips of one size.
#[derive(Clone, Debug)]
pub struct TextCollate {
    tokenizer: Arc<Tokenizer>,
    max_length: usize,
    frames: usize,
    size: usize,
}

impl TextCollate {
    /// Texts of `max_length` tokens, clips of `frames` frames of `size` × `size` pixels.
    pub fn new(tokenizer: Arc<Tokenizer>, max_length: usize, frames: usize, size: usize) -> Self {
        Self { tokenizer, max_length, frames, size }
    }
}

impl Collate for TextCollate {
    fn collate(&self, items: Vec<Item>) -> Result<HostBatch> {
        let clip = self.frames * 3 * self.size * self.size;
        let mut batch = HostBatch {
            video: Vec::with_capacity(items.len() * clip),
            video_shape: [items.len(), self.frames, 3, self.size, self.size],
            tokens: self.max_length,
            ..HostBatch::default()
        };
        let mut classes = HashMap::new();
        for item in items {
            if item.frames.len() != clip {
                return Err(self.wrong_size(&item));
            }
            batch.video.extend_from_slice(&item.frames);
            let caption = clean(&item.caption);
            let encoding = self.tokenizer.encode_raw(&caption, self.max_length);
            batch.token_ids.extend(encoding.ids);
            batch.token_mask.extend(encoding.mask);
            batch.identity.push(class_of(&mut classes, item.identity));
            batch.identity_keys.push(item.identity);
            batch.captions.push(caption);
            batch.indices.push(item.index);
        }
        Ok(batch)
    }
}

impl TextCollate {
    fn wrong_size(&self, item: &Item) -> Error {
        let frames = item.frames.len() as f64 / (3 * self.size * self.size).max(1) as f64;
        let problem = format!("gave {frames} frames of {0} × {0} pixels instead of {1}", self.size, self.frames);
        Error::file(&item.media, problem, "set the data set's frames and image size to the model's")
    }
}
