//! Persistent threads that read items and put batches together.

use super::{Collate, LoaderOptions};
use crate::{
    Error, Result,
    data::{EpochDataset, HostBatch, Item, Unreadable},
    panics::catch_panic,
};
use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};
use svitt_ops::rng::{Rng, text_key};

/// Other items tried in place of an unreadable one.
const REPLACEMENTS: u64 = 8;

/// One item of a batch to be read.
#[derive(Clone, Copy, Debug)]
pub struct ItemRequest {
    pub epoch: u64,
    pub index: usize,
}

/// A finished batch; none where evaluation could read nothing of it.
pub struct FinishedBatch {
    pub batch: Result<Option<HostBatch>>,
    pub failures: Vec<Unreadable>,
}

/// The result of reading one item.
struct ItemOutcome {
    item: Result<Option<Item>>,
    failures: Vec<Unreadable>,
}

/// A batch some of whose items are still being read.
struct PendingBatch {
    outcomes: Vec<Option<ItemOutcome>>,
    left: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<(u64, usize, ItemRequest)>,
    building: HashMap<u64, PendingBatch>,
    ready: HashMap<u64, FinishedBatch>,
    /// Tickets below this were cancelled.
    wanted: u64,
    next_ticket: u64,
    stop: bool,
}

/// What the threads share.
struct PoolShared {
    dataset: Arc<dyn EpochDataset>,
    collate: Arc<dyn Collate>,
    training: bool,
    seed: u64,
    items: Range<usize>,
    state: Mutex<State>,
    /// Signals that there is work, or that the pool is closing.
    work: Condvar,
    /// A batch is ready.
    done: Condvar,
}

/// The worker threads; on drop each finishes its current item and ends.
pub struct WorkerPool {
    shared: Arc<PoolShared>,
}

impl WorkerPool {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(
        dataset: &Arc<dyn EpochDataset>,
        collate: &Arc<dyn Collate>,
        options: &LoaderOptions,
        items: Range<usize>,
    ) -> Result<Self> {
        let shared = Arc::new(PoolShared {
            dataset: Arc::clone(dataset),
            collate: Arc::clone(collate),
            training: options.training(),
            seed: options.seed,
            items,
            state: Mutex::new(State::default()),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let pool = Self { shared };
        for started in 0..options.workers {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new().name("svitt-reader".into()).spawn(move || shared.run());
            if let Err(error) = thread {
                let problem = format!("only {started} of {} threads could be started: {error}", options.workers);
                return Err(Error::setting("workers", problem, "use fewer threads"));
            }
        }
        Ok(pool)
    }

    /// Orders a batch; the ticket fetches it.
    pub fn submit(&self, slots: impl ExactSizeIterator<Item = ItemRequest>) -> u64 {
        let mut state = self.shared.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let count = slots.len();
        state.jobs.extend(slots.enumerate().map(|(place, slot)| (ticket, place, slot)));
        let outcomes = std::iter::repeat_with(|| None).take(count).collect();
        state.building.insert(ticket, PendingBatch { outcomes, left: count });
        self.shared.work.notify_all();
        ticket
    }

    /// Waits for the batch of `ticket`, which must have been submitted and not cancelled.
    pub fn wait(&self, ticket: u64) -> FinishedBatch {
        let mut state = self.shared.lock();
        loop {
            if let Some(built) = state.ready.remove(&ticket) {
                return built;
            }
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Drops every batch that was ordered.
    pub fn forget(&self) {
        let mut state = self.shared.lock();
        state.jobs.clear();
        state.building.clear();
        state.ready.clear();
        state.wanted = state.next_ticket;
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.forget();
        self.shared.lock().stop = true;
        self.shared.work.notify_all();
    }
}

impl PoolShared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker thread's loop.
    fn run(&self) {
        while let Some((ticket, place, slot)) = self.next_job() {
            let outcome = self.read(slot);
            if let Some(building) = self.deliver(ticket, place, outcome) {
                let built = self.assemble(building);
                let mut state = self.lock();
                if ticket >= state.wanted {
                    state.ready.insert(ticket, built);
                }
                self.done.notify_all();
            }
        }
    }

    fn next_job(&self) -> Option<(u64, usize, ItemRequest)> {
        let mut state = self.lock();
        loop {
            if state.stop {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Puts the outcome in its place; gives back the batch if it was the last one.
    fn deliver(&self, ticket: u64, place: usize, outcome: ItemOutcome) -> Option<PendingBatch> {
        let mut state = self.lock();
        let building = state.building.get_mut(&ticket)?;
        building.outcomes[place] = Some(outcome);
        building.left -= 1;
        if building.left > 0 {
            return None;
        }
        state.building.remove(&ticket)
    }

    /// Reads an item; in training tries replacements, drawn from the seed, if it is unreadable.
    fn read(&self, slot: ItemRequest) -> ItemOutcome {
        let mut rng = Rng::new(self.seed, &[text_key("replacement"), slot.epoch, slot.index as u64]);
        let (mut failures, mut index) = (Vec::new(), slot.index);
        for _ in 0..=REPLACEMENTS {
            match self.attempt(slot.epoch, index) {
                Ok(item) => return ItemOutcome { item: Ok(Some(item)), failures },
                Err(error) => match configuration_fault(&error) {
                    Some(fault) if self.training => return ItemOutcome { item: Err(fault), failures },
                    _ => failures.push(Unreadable { media: self.dataset.media(index), reason: error.to_string() }),
                },
            }
            if !self.training {
                return ItemOutcome { item: Ok(None), failures };
            }
            index = self.items.start + rng.below(self.items.len());
        }
        let problem = format!("item {} and {REPLACEMENTS} others in its place could not be read", slot.index);
        let remedy = "check the videos and the media folder".to_owned();
        ItemOutcome { item: Err(Error::Training { problem, remedy }), failures }
    }

    /// One item; a panic becomes an error.
    fn attempt(&self, epoch: u64, index: usize) -> std::result::Result<Item, Arc<Error>> {
        catch_panic(|| self.dataset.draw(epoch, index)).unwrap_or_else(|panic| {
            let problem = format!("the reader failed ({panic})");
            Err(Arc::new(Error::file(self.dataset.media(index), problem, "leave the file out")))
        })
    }

    fn assemble(&self, building: PendingBatch) -> FinishedBatch {
        let (mut items, mut failures, mut fault) = (Vec::new(), Vec::new(), None);
        for outcome in building.outcomes.into_iter().flatten() {
            failures.extend(outcome.failures);
            match outcome.item {
                Ok(item) => items.extend(item),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        let batch = match fault {
            Some(error) => Err(error),
            None if items.is_empty() => Ok(None),
            None => catch_panic(|| self.collate.collate(items))
                .unwrap_or_else(|panic| {
                    let problem = format!("a batch could not be put together ({panic})");
                    Err(Error::Fault(problem))
                })
                .map(Some),
        };
        FinishedBatch { batch, failures }
    }
}

/// An error of the machine rather than of the file: replacing the item would hide it.
fn configuration_fault(error: &Error) -> Option<Error> {
    match error {
        Error::Video(fault) if fault.is_configuration() => Some(Error::Video(fault.clone())),
        Error::Setting { setting, problem, remedy } => Some(Error::setting(setting, problem, remedy)),
        _ => None,
    }
}
