//! The loader behind Burn's trait.

use super::{BatchResult, Loader, LoaderPosition};
use burn::{
    data::dataloader::{DataLoader, DataLoaderIterator, Progress},
    tensor::backend::Backend,
};
use std::sync::Arc;

/// The batches of one epoch, or of what is left of it.
pub struct LoaderIterator {
    loader: Loader,
    epoch: u64,
    items: usize,
}

impl Loader {
    /// The rest of the current epoch in training (all of it unless the loader was stopped or sent elsewhere inside
    /// it), all items in evaluation. A training iterator that is dropped is continued by the next one.
    pub fn epoch(&self) -> LoaderIterator {
        if !self.inner.options.training() {
            // Batch 0 always exists: a loader is never empty.
            let _ = self.seek(LoaderPosition::default());
        }
        let LoaderPosition { epoch, batch } = self.position();
        LoaderIterator { loader: self.clone(), epoch, items: batch * self.batch_size() }
    }
}

impl Iterator for LoaderIterator {
    type Item = BatchResult;

    fn next(&mut self) -> Option<BatchResult> {
        if self.loader.position().epoch != self.epoch {
            return None;
        }
        let batch = self.loader.take()?;
        self.items += batch.as_ref().map_or(0, |batch| batch.len());
        Some(batch)
    }
}

impl DataLoaderIterator<BatchResult> for LoaderIterator {
    fn progress(&self) -> Progress {
        Progress::new(self.items, self.loader.items())
    }
}

impl Loader {
    /// Items of an epoch: an incomplete last batch of training does not count.
    pub fn items(&self) -> usize {
        self.inner.plan.items().len().min(self.batches() * self.batch_size())
    }
}

impl<B: Backend> DataLoader<B, BatchResult> for Loader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<BatchResult> + 'a> {
        Box::new(self.epoch())
    }

    fn num_items(&self) -> usize {
        self.items()
    }

    /// Batches are on the host, so this is the same loader.
    fn to_device(&self, _device: &B::Device) -> Arc<dyn DataLoader<B, BatchResult>> {
        Arc::new(self.clone())
    }

    /// The items `start..end` under the same settings; an empty range gives the whole.
    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<B, BatchResult>> {
        Arc::new(self.subset(start, end).unwrap_or_else(|_| self.clone()))
    }
}
