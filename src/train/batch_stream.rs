//! Host batches of the loader as inputs of training steps: split per worker, uploaded on the worker's thread, errors
//! returned as values.

use super::input::{StepConfig, StepInput, StepKey};
use crate::data::{HostBatch, Loader, LoaderPosition};
use crate::{Error, Result};
use burn::tensor::backend::Backend;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// An endless sequence of step inputs, epoch after epoch.
#[derive(Clone)]
pub struct BatchStream<B: Backend> {
    shares: Arc<SharedLoader>,
    worker: usize,
    device: B::Device,
    step_config: Arc<StepConfig>,
}

impl<B: Backend> BatchStream<B> {
    /// Batches of `loader` from its batch number `taken` (over all epochs) on.
    ///
    /// # Errors
    /// None in a loader of the size the run began with.
    pub fn new(loader: Loader, taken: usize, step_config: StepConfig, device: &B::Device) -> Result<Self> {
        let shares = Arc::new(SharedLoader::new(loader, taken, 1)?);
        Ok(Self { shares, worker: 0, device: device.clone(), step_config: Arc::new(step_config) })
    }

    /// The same, in one share per device: worker w of n gets pairs w · b / n up to (w + 1) · b / n of every batch of b.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn shares(loader: Loader, taken: usize, step_config: StepConfig, devices: &[B::Device]) -> Result<Vec<Self>> {
        let shares = Arc::new(SharedLoader::new(loader, taken, devices.len())?);
        let step_config = Arc::new(step_config);
        let feed = |(worker, device): (usize, &B::Device)| Self {
            shares: shares.clone(),
            worker,
            device: device.clone(),
            step_config: step_config.clone(),
        };
        Ok(devices.iter().enumerate().map(feed).collect())
    }

    /// Where its inputs are put.
    pub fn device(&self) -> &B::Device {
        &self.device
    }

    /// The same sequence with its inputs on `device`.
    pub fn on(&self, device: &B::Device) -> Self {
        Self { device: device.clone(), ..self.clone() }
    }

    pub(super) fn loader(&self) -> &Loader {
        &self.shares.loader
    }

    /// Why the sequence ended, for all workers.
    pub fn take_failure(&self) -> Option<Error> {
        self.shares.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<B: Backend> Iterator for BatchStream<B> {
    type Item = StepInput<B>;

    fn next(&mut self) -> Option<StepInput<B>> {
        let batch = self.shares.next(self.worker)?.upload(&self.device);
        Some(StepInput { batch, key: StepKey::default(), step_config: self.step_config.clone(), peers: None })
    }
}

/// A loader whose batches several workers share.
struct SharedLoader {
    loader: Loader,
    /// What was cut and not yet taken, per worker. Workers meet after every optimizer step, so that no more than the
    /// micro-batches of one step wait here.
    waiting: Mutex<Vec<VecDeque<HostBatch>>>,
    failure: Mutex<Option<Error>>,
}

impl SharedLoader {
    fn new(loader: Loader, taken: usize, workers: usize) -> Result<Self> {
        let per_epoch = loader.batches().max(1);
        loader.seek(LoaderPosition { epoch: (taken / per_epoch) as u64, batch: taken % per_epoch })?;
        Ok(Self { loader, waiting: Mutex::new(vec![VecDeque::new(); workers]), failure: Mutex::new(None) })
    }

    /// The next part for `worker`; the first worker that asks splits the batch for all.
    fn next(&self, worker: usize) -> Option<HostBatch> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting[worker].is_empty() {
            // An epoch's iterator ends with its epoch; the next one goes on where it stopped.
            match self.loader.epoch().next()? {
                Ok(batch) => {
                    let shares = batch.split(waiting.len());
                    waiting.iter_mut().zip(shares).for_each(|(queue, share)| queue.push_back(share));
                }
                Err(error) => *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
            }
        }
        waiting[worker].pop_front()
    }
}
