//! A group of workers: each contributes a value and receives everybody's, or an error that another worker has stopped.

use super::job::Job;
use super::wire::{self, Wire};
use crate::Error;
use std::any::Any;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

type Message = Arc<dyn Any + Send + Sync>;

/// Another worker has stopped; no more collective operations are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerStopped;

impl From<WorkerStopped> for Error {
    fn from(WorkerStopped: WorkerStopped) -> Self {
        Self::Training { problem: "another worker stopped".into(), remedy: "see why it did".into() }
    }
}

/// The workers of a stage in this process, and through its first worker those of the job's other processes, each of
/// which has equally many.
#[derive(Debug)]
pub struct WorkerGroup {
    size: usize,
    job: Job,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Values contributed to the current exchange, by rank.
    contributed: Vec<Option<Message>>,
    /// Values of the last exchange, and how many workers have still to take them.
    shared: Vec<Message>,
    readers_left: usize,
    /// Number of exchanges so far.
    round: u64,
    aborted: bool,
    failure: Option<Error>,
}

impl WorkerGroup {
    /// A team of `size` workers in one process.
    pub fn new(size: usize) -> Arc<Self> {
        Self::of_job(size, Job::default())
    }

    /// A team with `size` workers in every process of `job`.
    pub fn of_job(size: usize, job: Job) -> Arc<Self> {
        let state = State { contributed: vec![None; size], ..State::default() };
        Arc::new(Self { size, job, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Worker number `rank`.
    pub fn member(self: &Arc<Self>, rank: usize) -> Communicator {
        Communicator { team: self.clone(), rank }
    }

    /// Ends all exchanges: a worker finished, or failed with `error`. The first call decides: a worker that fails
    /// because another one stopped is not the cause.
    pub fn abort(&self, error: Option<Error>) {
        let mut state = self.lock();
        if !state.aborted {
            (state.aborted, state.failure) = (true, error);
        }
        self.changed.notify_all();
    }

    /// Why the team was dissolved, if it was for an error.
    pub fn take_failure(&self) -> Option<Error> {
        self.lock().failure.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `until` holds; fails where the team is dissolved before.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        until: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'a, State>, WorkerStopped> {
        while !until(&state) {
            if state.aborted {
                return Err(WorkerStopped);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(state)
    }

    /// All workers' values, by rank. Once complete, an exchange succeeds for all workers, whatever happens later: a
    /// worker that continues into a collective must not be left alone.
    fn all_gather_any(&self, rank: usize, parcel: Message) -> Result<Vec<Message>, WorkerStopped> {
        let mut state = self.wait(self.lock(), |state| state.readers_left == 0)?;
        if state.aborted {
            return Err(WorkerStopped);
        }
        let meeting = state.round;
        state.contributed[rank] = Some(parcel);
        if state.contributed.iter().all(Option::is_some) {
            state.shared = state.contributed.iter_mut().filter_map(Option::take).collect();
            state.readers_left = self.size;
            state.round += 1;
            self.changed.notify_all();
        }
        let mut state = self.wait(state, |state| state.round > meeting)?;
        let parcels = state.shared.clone();
        state.readers_left -= 1;
        if state.readers_left == 0 {
            state.shared.clear();
            self.changed.notify_all();
        }
        Ok(parcels)
    }
}

/// One worker's place in its team and its job.
#[derive(Clone, Debug)]
pub struct Communicator {
    team: Arc<WorkerGroup>,
    rank: usize,
}

impl Communicator {
    /// The place of the only worker there is.
    pub fn single() -> Self {
        WorkerGroup::new(1).member(0)
    }

    /// Number of the worker in the job, from 0.
    pub fn rank(&self) -> usize {
        self.team.job.rank() * self.team.size + self.rank
    }

    /// Workers in the job.
    pub fn workers(&self) -> usize {
        self.team.job.size() * self.team.size
    }

    /// Number of the worker in its process, from 0.
    pub fn local_rank(&self) -> usize {
        self.rank
    }

    /// Workers in its process.
    pub fn local_workers(&self) -> usize {
        self.team.size
    }

    /// The job.
    pub fn job(&self) -> &Job {
        &self.team.job
    }

    /// The team.
    pub fn team(&self) -> &WorkerGroup {
        &self.team
    }

    /// Waits until every worker of this process has contributed its value and returns all of them, by rank.
    ///
    /// # Errors
    /// The team is dissolved before the last worker comes.
    pub fn local_gather<T: Send + Sync + 'static>(&self, value: T) -> Result<Vec<Arc<T>>, WorkerStopped> {
        let parcels = self.team.all_gather_any(self.rank, Arc::new(value))?;
        let opened = parcels.into_iter().map(|parcel| parcel.downcast::<T>());
        // Workers run the same code: at one meeting they all bring the same type.
        Ok(opened.map(|value| value.unwrap_or_else(|_| unreachable!("workers met over different things"))).collect())
    }

    /// The same among all workers of the job. The first worker of a process speaks for the others there.
    ///
    /// # Errors
    /// As [`Self::local_gather`].
    pub fn all_gather<T: Wire>(&self, value: T) -> Result<Vec<Arc<T>>, WorkerStopped> {
        let own = self.local_gather(value)?;
        if self.team.job.size() == 1 {
            return Ok(own);
        }
        let everyone = (self.rank == 0).then(|| {
            let parcels = self.team.job.all_gather(wire::pack(&own));
            parcels.iter().flat_map(|parcel| wire::unpack::<T>(parcel)).map(Arc::new).collect::<Vec<_>>()
        });
        let shared = self.local_gather(everyone)?;
        Ok(shared.iter().find_map(|everyone| everyone.as_ref().clone()).unwrap_or_default())
    }
}
