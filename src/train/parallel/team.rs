//! Where workers meet: each brings a value and leaves with everybody's, or learns that one of them has gone.

use crate::Error;
use std::any::Any;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

type Parcel = Arc<dyn Any + Send + Sync>;

/// Another worker has stopped, so that nobody can be met any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl From<Gone> for Error {
    fn from(Gone: Gone) -> Self {
        Self::Training { problem: "another worker stopped".into(), remedy: "see why it did".into() }
    }
}

/// The workers of a stage.
#[derive(Debug)]
pub struct Team {
    size: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What the workers brought to the meeting that is under way, by rank.
    brought: Vec<Option<Parcel>>,
    /// What they brought to the last one, and how many have still to take it along.
    shared: Vec<Parcel>,
    to_leave: usize,
    /// Meetings so far.
    meetings: u64,
    gone: bool,
    failure: Option<Error>,
}

impl Team {
    /// A team of `size` workers.
    pub fn new(size: usize) -> Arc<Self> {
        let state = State { brought: vec![None; size], ..State::default() };
        Arc::new(Self { size, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Worker number `rank`.
    pub fn member(self: &Arc<Self>, rank: usize) -> Member {
        Member { team: self.clone(), rank }
    }

    /// Ends all meetings: a worker has finished, or failed with `error`. The first word counts: whoever fails because
    /// another one has gone is not the cause.
    pub fn dissolve(&self, error: Option<Error>) {
        let mut state = self.lock();
        if !state.gone {
            (state.gone, state.failure) = (true, error);
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
    ) -> Result<MutexGuard<'a, State>, Gone> {
        while !until(&state) {
            if state.gone {
                return Err(Gone);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(state)
    }

    /// All workers' parcels, by rank. A meeting that has come about is one for all, whatever happens afterwards: who
    /// goes on into a collective must not be left alone there.
    fn meet(&self, rank: usize, parcel: Parcel) -> Result<Vec<Parcel>, Gone> {
        let mut state = self.wait(self.lock(), |state| state.to_leave == 0)?;
        if state.gone {
            return Err(Gone);
        }
        let meeting = state.meetings;
        state.brought[rank] = Some(parcel);
        if state.brought.iter().all(Option::is_some) {
            state.shared = state.brought.iter_mut().filter_map(Option::take).collect();
            state.to_leave = self.size;
            state.meetings += 1;
            self.changed.notify_all();
        }
        let mut state = self.wait(state, |state| state.meetings > meeting)?;
        let parcels = state.shared.clone();
        state.to_leave -= 1;
        if state.to_leave == 0 {
            state.shared.clear();
            self.changed.notify_all();
        }
        Ok(parcels)
    }
}

/// One worker's place in its team.
#[derive(Clone, Debug)]
pub struct Member {
    team: Arc<Team>,
    rank: usize,
}

impl Member {
    /// The place of the only worker there is.
    pub fn alone() -> Self {
        Team::new(1).member(0)
    }

    /// Number of the worker, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Workers in the team.
    pub fn workers(&self) -> usize {
        self.team.size
    }

    /// The team.
    pub fn team(&self) -> &Team {
        &self.team
    }

    /// Waits until every worker has brought its value and returns all of them, by rank.
    ///
    /// # Errors
    /// The team is dissolved before the last worker comes.
    pub fn exchange<T: Send + Sync + 'static>(&self, value: T) -> Result<Vec<Arc<T>>, Gone> {
        let parcels = self.team.meet(self.rank, Arc::new(value))?;
        let opened = parcels.into_iter().map(|parcel| parcel.downcast::<T>());
        // Workers run the same code: at one meeting they all bring the same type.
        Ok(opened.map(|value| value.unwrap_or_else(|_| unreachable!("workers met over different things"))).collect())
    }
}
