//! An optimizer step of any worker, and the loop of the workers other than 0.

use super::collective::{Collective, collective_for};
use super::global_batch::GlobalBatch;
use super::group::Communicator;
use super::{gradients, replica};
use crate::model::reseed_dropout;
use crate::panics::catch_panic;
use crate::train::expand::trainable;
use crate::train::{AdamW, BatchStream, GradientAccumulator, LogLine, RunState, StepInput, StepKey, StepOutput};
use crate::train::{Components, StagePlan, StopSignal, TrainableModel};
use crate::{Error, Result};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn_train::Learner;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;
use svitt_ops::TrainBackend;

/// Time, and the clips of all workers, since the last logged step.
pub struct ThroughputMeter {
    /// When it began.
    pub since: Instant,
    /// Clips trained on.
    pub clips: usize,
    /// Seconds waited for data.
    pub waited: f64,
    /// Optimizer steps taken.
    pub steps: usize,
}

impl ThroughputMeter {
    /// Begins now.
    pub fn new() -> Self {
        Self { since: Instant::now(), clips: 0, waited: 0.0, steps: 0 }
    }
}

/// Each loss, and what was differentiated, summed over micro-batches.
type Sum<B> = Option<[Tensor<B, 1>; 2]>;

/// One worker.
pub struct Worker<B: TrainBackend> {
    /// Its optimizer; shares its state with the learner's.
    pub optimizer: AdamW<B>,
    member: Communicator,
    reduce: Arc<dyn Collective<B::InnerBackend>>,
    global_negatives: bool,
    stop: StopSignal,
    /// Whether a worker was told to stop before the last step: the same for all.
    agreed_to_stop: Cell<bool>,
}

impl<B: TrainBackend> Worker<B> {
    /// The worker at `member`'s place; `devices` are those of its process's workers. `stop` tells it to stop.
    pub fn new(
        member: Communicator,
        devices: &[B::Device],
        optimizer: AdamW<B>,
        global_negatives: bool,
        stop: StopSignal,
    ) -> Self {
        let reduce = collective_for(&member, devices);
        let global_negatives = global_negatives && member.workers() > 1;
        Self { optimizer, reduce, global_negatives, member, stop, agreed_to_stop: Cell::new(false) }
    }

    /// Whether the run is to stop after the step just taken: the same for all workers.
    pub fn is_to_stop(&self) -> bool {
        match self.member.workers() {
            1 => self.stop.was_set_off(),
            _ => self.agreed_to_stop.get(),
        }
    }

    /// Takes one optimizer step of `plan` over batches from `next`; the losses are means over micro-batches and
    /// workers.
    ///
    /// # Errors
    /// The data has ended, or another worker has stopped.
    pub fn step<M: TrainableModel<B>>(
        &self,
        plan: &StagePlan,
        learner: &mut Learner<Components<B, M>>,
        state: &mut RunState,
        window: &mut ThroughputMeter,
        next: &mut dyn FnMut() -> Option<StepInput<B>>,
    ) -> Result<StepOutput<B::InnerBackend>> {
        let mut accumulated = GradientAccumulator::default();
        let mut sum: Sum<B::InnerBackend> = None;
        for _ in 0..plan.micro_batches(state.batches) {
            let Some(input) = next() else { break };
            window.clips += input.batch.host.len() * self.member.workers();
            window.waited += input.batch.host.wait_seconds;
            let input = self.prepared(input, state)?;
            state.batches += 1;
            let output = learner.train_step(input);
            accumulated.add::<B, M>(&learner.model(), output.grads);
            let StepOutput { losses, total, .. } = output.item;
            sum = Some(match sum.take() {
                None => [losses, total],
                Some([l, t]) => [l + losses, t + total],
            });
        }
        let count = accumulated.count().max(1) as f64;
        let (Some(losses), Some(mean)) = (sum, accumulated.mean::<B, M>(&learner.model())) else {
            return Err(Error::Training {
                problem: format!("the data ended before step {}", state.step + 1),
                remedy: "report this as a bug".into(),
            });
        };
        let (mean, [losses, total]) = self.shared(&learner.model(), mean, losses)?;
        learner.lr_step();
        self.optimizer.observe_loss(total.clone());
        learner.optimizer_step(mean);
        state.step += 1;
        state.global_step += 1;
        window.steps += 1;
        Ok(StepOutput { losses: losses.div_scalar(count), total: total.div_scalar(count), line: LogLine::default() })
    }

    /// `input` with the names of its draws and, where negatives are global, the other workers' batches.
    fn prepared(&self, mut input: StepInput<B>, state: &RunState) -> Result<StepInput<B>> {
        let RunState { seed, stage, batches: batch, .. } = *state;
        input.key = StepKey { seed, stage, batch, worker: self.member.rank() };
        if self.global_negatives {
            let keys = &input.batch.host.identity_keys;
            input.peers = Some(Arc::new(GlobalBatch::<B>::meet(&self.reduce, &self.member, keys)?));
        }
        // Dropout draws from a generator of the whole process; with this, its draws too depend on the step alone.
        reseed_dropout(input.key.seed("backend"));
        Ok(input)
    }

    /// The means over all workers. A parameter that another worker has a gradient for counts as 0 here.
    fn shared<M: TrainableModel<B>>(
        &self,
        model: &M,
        grads: GradientsParams,
        [losses, total]: [Tensor<B::InnerBackend, 1>; 2],
    ) -> Result<(GradientsParams, [Tensor<B::InnerBackend, 1>; 2])> {
        if self.member.workers() == 1 {
            return Ok((grads, [losses, total]));
        }
        let mut said = gradients::present::<B, M>(model, &grads);
        said.push(self.stop.was_set_off());
        let everyone = self.member.all_gather(said)?;
        let mut wanted: Vec<bool> = (0..everyone[0].len()).map(|place| everyone.iter().any(|of| of[place])).collect();
        self.agreed_to_stop.set(wanted.pop().unwrap_or_default());
        let mut vectors = gradients::flatten::<B, M>(model, grads, &wanted);
        let kinds = losses.dims()[0];
        // The skip decision depends on the loss, so it must be the same on all workers, or replicas would diverge.
        vectors.push(Tensor::cat(vec![losses, total], 0));
        let mut means = self.reduce.mean(vectors)?;
        let Some(both) = means.pop() else { unreachable!("as many means as vectors") };
        let (losses, total) = (both.clone().narrow(0, 0, kinds), both.narrow(0, kinds, 1));
        Ok((gradients::restore::<B, M>(model, means, &wanted), [losses, total]))
    }
}

/// The start of a worker other than 0: worker 0's model and optimizer, and its own share of the data.
pub struct WorkerStart<B: TrainBackend, M> {
    /// Worker 0's model.
    pub model: M,
    /// Worker 0's optimizer.
    pub optimizer: AdamW<B>,
    /// Where the stage stands.
    pub state: RunState,
    /// Its batches.
    pub feed: BatchStream<B>,
    /// How it is told to stop.
    pub stop: StopSignal,
}

/// The loop of a worker other than 0, until the stage ends or worker 0 does. An error or a panic aborts the group.
/// Returns whether all workers agreed to stop.
pub fn run_worker<B: TrainBackend, M: TrainableModel<B>>(
    plan: &StagePlan,
    member: &Communicator,
    devices: &[B::Device],
    start: WorkerStart<B, M>,
) -> bool {
    let failure = match catch_panic(|| steps(plan, member, devices, start)) {
        Ok(Ok(stopped)) => return stopped,
        Ok(Err(error)) => error,
        Err(said) => Error::Training {
            problem: format!("worker {} broke down: {said}", member.rank()),
            remedy: "report this as a bug".into(),
        },
    };
    member.team().abort(Some(failure));
    false
}

fn steps<B: TrainBackend, M: TrainableModel<B>>(
    plan: &StagePlan,
    member: &Communicator,
    devices: &[B::Device],
    start: WorkerStart<B, M>,
) -> Result<bool> {
    let WorkerStart { model, optimizer, mut state, mut feed, stop } = start;
    let device = &devices[member.local_rank()];
    let optimizer = replica::optimizer(&optimizer, device);
    let model = trainable(replica::model::<B, M>(model, device));
    // Nobody changes what replicas are made from before all are made.
    member.all_gather(())?;
    let mut learner = Learner::new(model, optimizer.clone(), plan.schedule_after(state.step));
    let worker = Worker::<B>::new(member.clone(), devices, optimizer, plan.global_negatives, stop);
    let mut window = ThroughputMeter::new();
    while state.step < plan.stop_at && !worker.is_to_stop() {
        worker.step(plan, &mut learner, &mut state, &mut window, &mut || feed.next())?;
    }
    Ok(worker.is_to_stop())
}
