//! The model's own thread: jobs come through a channel of bounded length, one is done at a time.

use super::refusal::Refusal;
use crate::Result;
use crate::index::Index;
use crate::panics::catch_panic;
use crate::progress::StopFlag;
use crate::search::{Calibration, ComposedQuery, Embedder, QueryOptions, QueryResult};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use svitt_ops::SvittBackend;
use tokio::sync::oneshot;

/// Jobs that may wait; one more is refused. At 20 ms a query the last one waits for a second.
const MOST_WAITING: usize = 48;

/// How soon a stop is noticed.
const POLL: Duration = Duration::from_millis(100);

/// What the server asks of a model, whatever backend computes it.
pub trait SearchModel {
    /// The clips of `index` that fit `query`.
    ///
    /// # Errors
    /// As [`Embedder::query`].
    fn answer(
        &self,
        index: &Index,
        query: &ComposedQuery,
        calibration: Option<&Calibration>,
        options: &QueryOptions,
    ) -> Result<QueryResult>;

    /// What tells scores in `index` that fit from those that do not.
    ///
    /// # Errors
    /// As [`Embedder::calibration`].
    fn calibration(&self, index: &Index) -> Result<Option<Calibration>>;
}

impl<B: SvittBackend> SearchModel for Embedder<B> {
    fn answer(
        &self,
        index: &Index,
        query: &ComposedQuery,
        calibration: Option<&Calibration>,
        options: &QueryOptions,
    ) -> Result<QueryResult> {
        self.query(index, query, calibration, options)
    }

    fn calibration(&self, index: &Index) -> Result<Option<Calibration>> {
        Embedder::calibration(self, index)
    }
}

type Job = Box<dyn FnOnce(&dyn SearchModel) + Send>;

/// Where jobs for the model are left.
#[derive(Clone)]
pub(super) struct Jobs(SyncSender<Job>);

/// The channel to a model's thread.
pub(super) fn channel() -> (Jobs, Receiver<Job>) {
    let (sender, receiver) = sync_channel(MOST_WAITING);
    (Jobs(sender), receiver)
}

/// Does jobs on this thread until `stop` is set.
pub(super) fn work(model: &dyn SearchModel, queue: Receiver<Job>, stop: &StopFlag) {
    while !stop.is_set() {
        match queue.recv_timeout(POLL) {
            // What a panicking job should have answered is refused, since its sender is dropped with it.
            Ok(job) => drop(catch_panic(|| job(model))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Jobs {
    /// What `job` returns. A job whose asker has gone away meanwhile is not begun: somebody who types leaves many behind.
    pub async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&dyn SearchModel) -> Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (sender, receiver) = oneshot::channel();
        self.leave(job, sender)?;
        receiver.await.map_err(|_| Refusal::fault("the model gave up on this"))?.map_err(Refusal::from)
    }

    /// As [`Jobs::ask`], for threads that may wait.
    pub fn ask_and_wait<T: Send + 'static>(
        &self,
        job: impl FnOnce(&dyn SearchModel) -> Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (sender, receiver) = oneshot::channel();
        self.leave(job, sender)?;
        receiver.blocking_recv().map_err(|_| Refusal::fault("the model gave up on this"))?.map_err(Refusal::from)
    }

    fn leave<T: Send + 'static>(
        &self,
        job: impl FnOnce(&dyn SearchModel) -> Result<T> + Send + 'static,
        sender: oneshot::Sender<Result<T>>,
    ) -> Result<(), Refusal> {
        let job: Job = Box::new(move |model| {
            if !sender.is_closed() {
                let _ = sender.send(job(model));
            }
        });
        self.0.try_send(job).map_err(|_| Refusal::busy())
    }
}
