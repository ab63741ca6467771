//! The loader: seeded order, decoding on persistent worker threads, bounded prefetch, no silent failures.
//!
//! Burn's own loader cannot be used: an item that fails ends its epoch early, a panic in a worker loses its cause, up
//! to 100 batches are prefetched as device tensors, and every epoch starts new threads. This one stands behind the
//! same `DataLoader` trait and hands out host batches or errors, both as values.

mod batch_sampler;
mod burn_dataloader;
mod collate;
mod options;
mod pool;
#[cfg(test)]
mod tests;
mod unreadable;

pub use batch_sampler::LoaderPosition;
pub use burn_dataloader::LoaderIterator;
pub use collate::{Collate, TextCollate};
pub use options::{BatchPart, LoaderMode, LoaderOptions};
pub use unreadable::UnreadableLimit;

use super::{EpochDataset, HostBatch, Unreadable};
use crate::{Error, Result};
use batch_sampler::BatchSampler;
use pool::{ItemRequest, WorkerPool};
use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use unreadable::UnreadableLog;

/// A batch, or why there is none; the run ends at the first error.
pub type BatchResult = Result<HostBatch>;

/// Batches of a data set; clones share the position, the threads and the list of unreadable items.
#[derive(Clone)]
pub struct Loader {
    inner: Arc<Inner>,
}

struct Inner {
    pool: WorkerPool,
    plan: BatchSampler,
    options: LoaderOptions,
    dataset: Arc<dyn EpochDataset>,
    collate: Arc<dyn Collate>,
    flow: Mutex<LoaderState>,
    ledger: Mutex<UnreadableLog>,
}

/// The loader's position.
struct LoaderState {
    /// The batch to be handed out next.
    next: LoaderPosition,
    /// The next batch to request, at most `prefetch` ahead.
    ahead: LoaderPosition,
    /// Tickets of batches requested and not yet returned, oldest first.
    tickets: VecDeque<u64>,
    /// The order of the epoch of `ahead`.
    order: Option<(u64, Vec<u32>)>,
    /// An error was handed out: there is nothing after it.
    failed: bool,
}

impl Loader {
    /// A loader over all of `dataset`.
    ///
    /// # Errors
    /// An empty data set, or a batch, prefetch or number of workers of 0.
    pub fn new(dataset: Arc<dyn EpochDataset>, collate: Arc<dyn Collate>, options: LoaderOptions) -> Result<Self> {
        let items = 0..dataset.len();
        Self::over(dataset, collate, options, items)
    }

    fn over(
        dataset: Arc<dyn EpochDataset>,
        collate: Arc<dyn Collate>,
        options: LoaderOptions,
        items: Range<usize>,
    ) -> Result<Self> {
        options.validate(items.len())?;
        let plan = BatchSampler::new(items, &options);
        let ledger = UnreadableLog::new(dataset.left_out());
        let pool = WorkerPool::start(&dataset, &collate, &options, plan.items())?;
        let start = LoaderPosition::default();
        let flow = LoaderState { next: start, ahead: start, tickets: VecDeque::new(), order: None, failed: false };
        let (flow, ledger) = (Mutex::new(flow), Mutex::new(ledger));
        Ok(Self { inner: Arc::new(Inner { pool, plan, options, dataset, collate, flow, ledger }) })
    }

    /// The same settings over the items `start..end` of this loader's.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn subset(&self, start: usize, end: usize) -> Result<Self> {
        let Inner { plan, dataset, collate, options, .. } = &*self.inner;
        let all = plan.items();
        let clamp = |offset: usize| (all.start + offset).min(all.end);
        Self::over(
            Arc::clone(dataset),
            Arc::clone(collate),
            options.clone(),
            clamp(start)..clamp(end).max(clamp(start)),
        )
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> usize {
        self.inner.plan.batches()
    }

    /// Items per batch: the one asked for, or the whole data set where that is smaller.
    pub fn batch_size(&self) -> usize {
        self.inner.plan.batch()
    }

    /// The batch that comes next: what a checkpoint has to remember.
    pub fn position(&self) -> LoaderPosition {
        self.flow().next
    }

    /// Continues at `cursor` exactly as a run that had reached it.
    ///
    /// # Errors
    /// A batch that the epoch does not have.
    pub fn seek(&self, cursor: LoaderPosition) -> Result<()> {
        if cursor.batch >= self.batches() {
            let problem = format!("batch {} of an epoch of {} batches", cursor.batch, self.batches());
            return Err(Error::setting("position", problem, "resume with the data and batch size the run began with"));
        }
        let mut flow = self.flow();
        self.inner.pool.forget();
        (flow.next, flow.ahead, flow.failed) = (cursor, cursor, false);
        flow.tickets.clear();
        Ok(())
    }

    /// Videos that could not be used so far, those left out at the start included; each once, by name.
    pub fn unreadable(&self) -> Vec<Unreadable> {
        self.ledger().list()
    }

    /// Adds videos that the resumed run had already found unreadable.
    pub fn remember(&self, unreadable: &[Unreadable]) {
        self.ledger().extend(unreadable);
    }

    /// The next batch; `None` where an epoch holds nothing more (evaluation), or after an error.
    pub(crate) fn take(&self) -> Option<BatchResult> {
        let mut flow = self.flow();
        let start = Instant::now();
        loop {
            if flow.failed {
                return None;
            }
            self.fill(&mut flow);
            let ticket = flow.tickets.pop_front()?;
            let built = self.inner.pool.wait(ticket);
            flow.next = self.inner.plan.after(flow.next);
            self.fill(&mut flow);
            let verdict = self.ledger().note(built.failures, self.inner.plan.items().len(), &self.inner.options);
            let seconds = start.elapsed().as_secs_f64();
            match verdict.and(built.batch) {
                Ok(None) => continue,
                Ok(Some(batch)) => return Some(Ok(HostBatch { wait_seconds: seconds, ..batch })),
                Err(error) => {
                    flow.failed = true;
                    self.inner.pool.forget();
                    return Some(Err(error));
                }
            }
        }
    }

    /// Requests batches until `prefetch` are pending. Training continues into the next epoch, evaluation stops.
    fn fill(&self, flow: &mut LoaderState) {
        let Inner { plan, options, pool, .. } = &*self.inner;
        while flow.tickets.len() < options.prefetch {
            if !options.training() && flow.ahead.epoch > 0 {
                return;
            }
            let epoch = flow.ahead.epoch;
            if flow.order.as_ref().is_none_or(|(of, _)| *of != epoch) {
                flow.order = Some((epoch, plan.order(epoch)));
            }
            let order = flow.order.as_ref().map_or(&[][..], |(_, order)| order);
            let slots = plan.batch_of(order, flow.ahead.batch);
            flow.tickets
                .push_back(pool.submit(slots.iter().map(|index| ItemRequest { epoch, index: *index as usize })));
            flow.ahead = plan.after(flow.ahead);
        }
    }

    fn flow(&self) -> MutexGuard<'_, LoaderState> {
        self.inner.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, UnreadableLog> {
        self.inner.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
