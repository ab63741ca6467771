//! The processes of a job other than 0: they have no files, and train what process 0 sends them.

use super::learner::TrainableModel;
use super::parallel::{Job, WorkerGroup, WorkerStart, run_worker};
use super::{AdamW, AdamWSettings, AdamWState, BatchStream, RunState, StagePlan, StopSignal, snapshot};
use crate::data::{Loader, Unreadable};
use crate::{Error, Result};
use burn::module::Module;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use svitt_ops::TrainBackend;

/// Where weights come from, in place of a file.
const PROCESS_0: &str = "process 0";

/// What process 0 has the others do next.
#[derive(Serialize, Deserialize)]
pub(super) enum Order {
    /// Train the stage of this state from there on; weights and moments follow.
    Train(Box<RunState>),
    /// Train the baseline of this number from its beginning; weights follow.
    Baseline(usize),
    /// The run is at its end, or interrupted.
    End { interrupted: bool },
}

/// Has all other processes train from `state`, `model` and `optimizer` on.
pub(super) fn send_stage<B: Backend, M: Module<B>>(
    job: &Job,
    state: &RunState,
    model: &M,
    optimizer: &AdamWState<B>,
) -> Result<()> {
    if job.size() == 1 {
        return Ok(());
    }
    job.share(Some(&Order::Train(Box::new(state.clone()))))?;
    job.group().broadcast(Some(snapshot::to_bytes(&snapshot::tensors(model))?));
    job.group().broadcast(Some(snapshot::to_bytes(&snapshot::optimizer_tensors(model, optimizer))?));
    Ok(())
}

/// Has all other processes train baseline number `number` from `model` on.
pub(super) fn send_baseline<B: Backend, M: Module<B>>(job: &Job, number: usize, model: &M) -> Result<()> {
    if job.size() > 1 {
        job.share(Some(&Order::Baseline(number)))?;
        job.group().broadcast(Some(snapshot::to_bytes(&snapshot::tensors(model))?));
    }
    Ok(())
}

/// Lets the other processes go if `result` ends the run for all; any other error ends them with this process.
pub(super) fn send_end<T>(job: &Job, result: &Result<T>) -> Result<()> {
    let interrupted = matches!(result, Err(Error::Interrupted(_)));
    if job.size() > 1 && (result.is_ok() || interrupted) {
        job.share(Some(&Order::End { interrupted }))?;
    }
    Ok(())
}

/// What to do next.
///
/// # Errors
/// The run was interrupted.
pub(super) fn receive_order(job: &Job) -> Result<Order> {
    match job.share(None)? {
        Order::End { interrupted: true } => Err(Error::Elsewhere { interrupted: true }),
        order => Ok(order),
    }
}

/// `model` with the weights of process 0.
///
/// # Errors
/// Process 0 has another model, which is a bug.
pub(super) fn receive_weights<B: Backend, M: Module<B>>(job: &Job, model: M, device: &B::Device) -> Result<M> {
    snapshot::restore_from(model, Path::new(PROCESS_0), &job.group().broadcast(None), device)
}

/// `model` with the weights of process 0, and its optimizer.
///
/// # Errors
/// Process 0 has another model, which is a bug.
pub(super) fn receive_stage<B: TrainBackend, M: Module<B::InnerBackend>>(
    job: &Job,
    state: &RunState,
    model: M,
    settings: AdamWSettings,
    device: &B::Device,
) -> Result<(M, AdamW<B>)> {
    let model = receive_weights(job, model, device)?;
    let (moments, position) = (job.group().broadcast(None), (state.step, state.skipped));
    let optimizer = snapshot::read_optimizer_from(&model, Path::new(PROCESS_0), &moments, position, device)?;
    Ok((model, AdamW::resume(settings, optimizer)))
}

/// Takes part in a stage: a worker per stream, until the stage ends. Returns whether it was stopped before.
///
/// # Errors
/// A batch that cannot be read, or a worker that failed.
pub(super) fn follow_stage<B: TrainBackend, M: TrainableModel<B>>(
    job: &Job,
    plan: &StagePlan,
    start: (M, AdamW<B>, RunState),
    streams: &[BatchStream<B>],
    stop: &StopSignal,
) -> Result<bool> {
    let team = WorkerGroup::of_job(streams.len(), job.clone());
    let devices: Vec<B::Device> = streams.iter().map(|feed| feed.device().clone()).collect();
    let (stopped, _stepping) = (AtomicBool::new(false), stop.stepping());
    let (model, optimizer, state) = start;
    std::thread::scope(|scope| {
        for (rank, feed) in streams.iter().enumerate() {
            let (member, feed, stop) = (team.member(rank), feed.clone(), stop.clone());
            let (model, optimizer, state) = (model.clone(), optimizer.clone(), state.clone());
            let start = WorkerStart { model, optimizer, state, feed, stop };
            let (stopped, devices) = (&stopped, &devices);
            scope.spawn(move || stopped.fetch_or(run_worker::<B, M>(plan, &member, devices, start), Ordering::Relaxed));
        }
    });
    // The data's own error says more than that it ended.
    match streams.iter().find_map(BatchStream::take_failure).or_else(|| team.take_failure()) {
        Some(error) => Err(error),
        None => Ok(stopped.into_inner()),
    }
}

/// Adds to `loader`'s list of unreadable videos, on process 0, those that the others found.
pub(super) fn gather_unreadable(job: &Job, loader: &Loader) -> Result<()> {
    if job.size() == 1 {
        return Ok(());
    }
    let known = loader.unreadable();
    let own = serde_json::to_vec(&known).map_err(|error| Error::Fault(error.to_string()))?;
    for list in job.all_gather(own) {
        let list: Vec<Unreadable> = serde_json::from_slice(&list).map_err(|error| Error::Fault(error.to_string()))?;
        let new: Vec<Unreadable> = list.into_iter().filter(|video| !known.contains(video)).collect();
        if job.is_first() {
            new.iter().for_each(|video| log::warn!("{} is left out: {}", video.media, video.reason));
        }
        loader.remember(&new);
    }
    Ok(())
}
