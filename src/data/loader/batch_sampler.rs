//! Which items make which batch, as a function of seed and epoch only.

use super::{BatchPart, LoaderOptions};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use svitt_ops::rng::{Rng, text_key};

/// A place in the sequence of batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LoaderPosition {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Batch of the epoch, from 0.
    pub batch: usize,
}

/// The division of a data set into batches.
#[derive(Clone, Debug)]
pub struct BatchSampler {
    items: Range<usize>,
    batch: usize,
    /// Seed of the order; evaluation keeps the order of the file.
    seed: Option<u64>,
    /// Items that stay together.
    row: usize,
    /// What is read of a batch.
    part: BatchPart,
}

impl BatchSampler {
    /// The plan over `items`, which must not be empty.
    pub fn new(items: Range<usize>, options: &LoaderOptions) -> Self {
        let batch = options.batch.min(items.len());
        Self {
            items,
            batch,
            seed: options.training().then_some(options.seed),
            row: options.row.max(1),
            part: options.part,
        }
    }

    /// Indices into the data set.
    pub fn items(&self) -> Range<usize> {
        self.items.clone()
    }

    /// Items per batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Batches of an epoch: training drops an incomplete last one.
    pub fn batches(&self) -> usize {
        let (items, batch) = (self.items.len(), self.batch.max(1));
        if self.seed.is_some() { items / batch } else { items.div_ceil(batch) }
    }

    /// The order of the items in `epoch`.
    pub fn order(&self, epoch: u64) -> Vec<u32> {
        let order: Vec<u32> = self.items.clone().map(|index| index as u32).collect();
        let Some(seed) = self.seed else { return order };
        let mut rows: Vec<&[u32]> = order.chunks(self.row).collect();
        Rng::new(seed, &[text_key("order"), epoch]).shuffle(&mut rows);
        rows.concat()
    }

    /// The items of batch `batch` in `order`, or of the part of it that is read.
    pub fn batch_of<'a>(&self, order: &'a [u32], batch: usize) -> &'a [u32] {
        let start = (batch * self.batch).min(order.len());
        let whole = &order[start..(start + self.batch).min(order.len())];
        let (BatchPart { index, of }, each) = (self.part, whole.len() / self.part.of);
        if of == 1 { whole } else { &whole[index * each..(index + 1) * each] }
    }

    /// The batch after `cursor`.
    pub fn after(&self, cursor: LoaderPosition) -> LoaderPosition {
        match cursor.batch + 1 < self.batches() {
            true => LoaderPosition { batch: cursor.batch + 1, ..cursor },
            false => LoaderPosition { epoch: cursor.epoch + 1, batch: 0 },
        }
    }
}
