//! Settings of the loader.

use super::UnreadableLimit;
use crate::{Error, Result};

/// What the batches are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoaderMode {
    /// A new order each epoch, whole batches only, unreadable items replaced by other ones up to a limit.
    Train,
    /// File order, the last batch may be smaller, unreadable items left out and listed.
    Evaluate,
}

/// Settings of the loader.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderOptions {
    /// Items per batch.
    pub batch: usize,
    /// Threads that read items.
    pub workers: usize,
    /// Batches being read or waiting to be taken, at most.
    pub prefetch: usize,
    /// Seed of the order and of replacements.
    pub seed: u64,
    /// Training or evaluation.
    pub mode: LoaderMode,
    /// Items that training keeps together, in the data set's order: rows of this length are shuffled, not items.
    pub row: usize,
    /// How many unreadable items training accepts.
    pub limit: UnreadableLimit,
    /// What of every batch is read.
    pub part: BatchPart,
}

/// One of several equal parts of every batch: that of process `index` of `of`, which all plan the same batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPart {
    /// Number of the part, from 0.
    pub index: usize,
    /// Parts of a batch, whose size they divide.
    pub of: usize,
}

impl Default for BatchPart {
    /// The whole.
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl LoaderOptions {
    /// Training batches of `batch` items under `seed`.
    pub fn train(batch: usize, seed: u64) -> Self {
        Self { batch, seed, ..Self::evaluate(batch) }.with_mode(LoaderMode::Train)
    }

    /// Evaluation batches of `batch` items.
    pub fn evaluate(batch: usize) -> Self {
        // Half of the cores read, the other half compute; more than 16 readers only fight over the disk.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = (cores / 2).clamp(1, 16);
        Self {
            batch,
            workers,
            prefetch: 3,
            seed: 0,
            mode: LoaderMode::Evaluate,
            row: 1,
            limit: UnreadableLimit::default(),
            part: BatchPart::default(),
        }
    }

    /// The same, rows of `row` items kept together.
    #[must_use]
    pub fn with_rows(self, row: usize) -> Self {
        Self { row, ..self }
    }

    /// The same, `part` of every batch read.
    #[must_use]
    pub fn with_part(self, part: BatchPart) -> Self {
        Self { part, ..self }
    }

    fn with_mode(self, mode: LoaderMode) -> Self {
        Self { mode, ..self }
    }

    /// Whether this is for training.
    pub fn training(&self) -> bool {
        self.mode == LoaderMode::Train
    }

    /// Checks the settings for `items` items.
    ///
    /// # Errors
    /// Names the setting that cannot work.
    pub fn validate(&self, items: usize) -> Result<()> {
        let sizes = [
            ("batch", self.batch, 1 << 20),
            ("workers", self.workers, 1 << 10),
            ("prefetch", self.prefetch, 1 << 10),
            ("row", self.row, 1 << 20),
        ];
        if let Some((setting, size, most)) = sizes.iter().find(|(_, size, most)| !(1..=*most).contains(size)) {
            return Err(Error::setting(*setting, format!("is {size}"), format!("use 1 to {most}")));
        }
        if items == 0 || u32::try_from(items).is_err() {
            let problem = format!("the data set has {items} items");
            return Err(Error::setting("annotations", problem, "give between one and 4 billion records"));
        }
        Ok(())
    }
}
