//! The loader's host batches as inputs of training steps: uploaded on the training thread, errors kept as values.

use super::input::{Recipe, StepInput, StepKey};
use crate::data::{BatchResult, Cursor, Loader};
use crate::{Error, Result};
use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::tensor::backend::Backend;
use std::sync::{Arc, Mutex, PoisonError};

/// An endless sequence of step inputs, epoch after epoch.
#[derive(Clone)]
pub struct Feed<B: Backend> {
    loader: Loader,
    device: B::Device,
    recipe: Arc<Recipe>,
    failure: Arc<Mutex<Option<Error>>>,
}

impl<B: Backend> Feed<B> {
    /// Batches of `loader` from its batch number `taken` (over all epochs) on.
    ///
    /// # Errors
    /// None in a loader of the size the run began with.
    pub fn new(loader: Loader, taken: usize, recipe: Recipe, device: &B::Device) -> Result<Self> {
        let per_epoch = loader.batches().max(1);
        loader.seek(Cursor { epoch: (taken / per_epoch) as u64, batch: taken % per_epoch })?;
        let failure = Arc::new(Mutex::new(None));
        Ok(Self { loader, device: device.clone(), recipe: Arc::new(recipe), failure })
    }

    /// Why the sequence ended.
    pub fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<B: Backend> Iterator for Feed<B> {
    type Item = StepInput<B>;

    fn next(&mut self) -> Option<StepInput<B>> {
        // An epoch's iterator ends with its epoch; the next one goes on where it stopped.
        let batch: BatchResult = self.loader.epoch().next()?;
        match batch {
            Ok(batch) => {
                let batch = batch.upload(&self.device);
                Some(StepInput { batch, key: StepKey::default(), recipe: self.recipe.clone() })
            }
            Err(error) => {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                None
            }
        }
    }
}

impl<B: Backend> DataLoaderIterator<StepInput<B>> for Feed<B> {
    fn progress(&self) -> Progress {
        Progress::new(self.loader.position().batch, self.loader.batches())
    }
}

impl<B: Backend> DataLoader<B, StepInput<B>> for Feed<B> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<StepInput<B>> + 'a> {
        Box::new(self.clone())
    }

    fn num_items(&self) -> usize {
        self.loader.items()
    }

    fn to_device(&self, device: &B::Device) -> Arc<dyn DataLoader<B, StepInput<B>>> {
        Arc::new(Self { device: device.clone(), ..self.clone() })
    }

    /// The whole sequence: a stage is never split.
    fn slice(&self, _start: usize, _end: usize) -> Arc<dyn DataLoader<B, StepInput<B>>> {
        Arc::new(self.clone())
    }
}
