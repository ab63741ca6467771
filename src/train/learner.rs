//! One stage is one launch of burn-train's learner with our own strategy: the learner owns model, optimizer and
//! schedule, the loop is ours. Burn's loop steps the schedule per micro-batch, drops the last incomplete accumulation,
//! and can neither checkpoint nor stop inside an epoch.

use super::burn_train::{Components, LogMetric, NoFiles, NoRenderer, NoValidation};
use super::expand::trainable;
use super::input::{StepInput, StepOutput};
use super::metrics_log::{ExchangeLog, LogLine, LossValues, MetricsLog};
use super::parallel::{Communicator, Job, ThroughputMeter, Worker, WorkerGroup, WorkerStart, run_worker};
use super::{AdamW, BatchStream, Checkpoints, RunState, StagePlan, StopSignal, TrainEvent, TrainEvents};
use crate::profile::peak_memory_mb;
use crate::{Error, Result};
use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;
use burn_train::{EventProcessorTraining, LearnerEvent, TrainingItem};
use burn_train::{
    InferenceStep, Learner, SupervisedLearningStrategy, SupervisedTraining, SupervisedTrainingEventProcessor,
    TrainLoader, TrainStep, TrainingComponents, TrainingStrategy, ValidLoader,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use svitt_ops::TrainBackend;

/// Steps between log lines.
const LOG_EVERY: usize = 10;

/// Consecutive skipped updates after which a run stops: ten log intervals, so that a burst of bad batches is tolerated.
const MAX_STREAK: usize = 100;

/// A model this loop can train.
pub trait TrainableModel<B: AutodiffBackend>:
    AutodiffModule<B, InnerModule: InferenceStep<Input = (), Output = ()>>
    + TrainStep<Input = StepInput<B>, Output = StepOutput<B::InnerBackend>>
    + std::fmt::Display
    + 'static
{
}

impl<B: AutodiffBackend, M> TrainableModel<B> for M where
    M: AutodiffModule<B, InnerModule: InferenceStep<Input = (), Output = ()>>
        + TrainStep<Input = StepInput<B>, Output = StepOutput<B::InnerBackend>>
        + std::fmt::Display
        + 'static
{
}

/// Output files, stop signal and listener of a stage.
#[derive(Clone)]
pub struct StageContext {
    /// `metrics.jsonl`.
    pub metrics_log: MetricsLog,
    /// Step-level checkpoints.
    pub checkpoints: Checkpoints,
    /// Ctrl-C and SIGTERM.
    pub stop: StopSignal,
    /// Who is told of logged steps.
    pub events: TrainEvents,
    /// The job whose process 0 this is.
    pub job: Job,
}

/// The result of a stage.
#[derive(Clone, Debug)]
pub struct StageOutcome<M> {
    /// The trained weights, without gradients.
    pub model: M,
    /// Where the run stands now.
    pub state: RunState,
}

/// Trains one stage from `state` on and returns the model and the state after it. There is a worker per feed, on the
/// feed's device; the first one is that of `model` and `optimizer`.
///
/// # Errors
/// A batch that cannot be read, a full disk, losses that stay non-finite, a worker that failed, or an interruption
/// (after saving).
pub fn train_stage<B: TrainBackend, M: TrainableModel<B>>(
    plan: StagePlan,
    context: StageContext,
    state: RunState,
    model: M,
    optimizer: AdamW<B>,
    streams: Vec<BatchStream<B>>,
) -> Result<StageOutcome<M::InnerModule>> {
    let interrupter = context.stop.interrupter.clone();
    let learner = Learner::new(trainable(model), optimizer.clone(), plan.schedule_after(state.step));
    let Some(loader) = streams.first().cloned().map(|first| Arc::new(first) as TrainLoader<Components<B, M>>) else {
        unreachable!("a stage has at least one worker");
    };
    let devices = streams.iter().map(|feed| feed.device().clone()).collect();
    let state = Mutex::new(state);
    let strategy = Arc::new(StageLoop { plan, context, devices, streams, optimizer, state, failure: Mutex::new(None) });
    let mut training = SupervisedTraining::new(".", loader, Arc::new(NoValidation))
        .with_training_strategy(TrainingStrategy::Custom(strategy.clone()))
        .with_application_logger(None)
        .with_metric_logger(NoFiles)
        .with_interrupter(interrupter);
    for metric in LogMetric::all() {
        training = training.metric_train_numeric(metric);
    }
    // burn-train's dashboard is what the feature is for; nothing else here looks at the terminal.
    if !(cfg!(feature = "tui") && std::io::IsTerminal::is_terminal(&std::io::stdout())) {
        training = training.renderer(NoRenderer);
    }
    let result = training.launch(learner);
    // The data's own error says more than that it ended.
    if let Some(error) = strategy.streams.iter().find_map(BatchStream::take_failure) {
        return Err(error);
    }
    match strategy.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Err(error),
        None => Ok(StageOutcome { model: result.model, state: lock(&strategy.state).clone() }),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct StageLoop<B: TrainBackend> {
    plan: StagePlan,
    context: StageContext,
    devices: Vec<B::Device>,
    streams: Vec<BatchStream<B>>,
    optimizer: AdamW<B>,
    state: Mutex<RunState>,
    failure: Mutex<Option<Error>>,
}

impl<B: TrainBackend, M: TrainableModel<B>> SupervisedLearningStrategy<Components<B, M>> for StageLoop<B> {
    fn fit(
        &self,
        components: TrainingComponents<Components<B, M>>,
        mut learner: Learner<Components<B, M>>,
        train: TrainLoader<Components<B, M>>,
        _valid: ValidLoader<Components<B, M>>,
        _starting_epoch: usize,
    ) -> (M, SupervisedTrainingEventProcessor<Components<B, M>>) {
        let mut events = components.event_processor;
        let team = WorkerGroup::of_job(self.devices.len(), self.context.job.clone());
        std::thread::scope(|scope| {
            for (rank, feed) in self.streams.iter().enumerate().skip(1) {
                let (member, model, optimizer) = (team.member(rank), learner.model(), self.optimizer.clone());
                let stop = self.context.stop.clone();
                let start =
                    WorkerStart { model, optimizer, state: lock(&self.state).clone(), feed: feed.clone(), stop };
                scope.spawn(move || run_worker::<B, M>(&self.plan, &member, &self.devices, start));
            }
            // Also when this worker panics: the scope waits for the other workers, which wait for it.
            let _end = AbortGroupOnDrop(&team);
            let result = self.steps(team.member(0), &mut learner, &train, &mut events);
            team.abort(result.err());
        });
        *lock(&self.failure) = team.take_failure();
        (learner.model(), events)
    }
}

struct AbortGroupOnDrop<'a>(&'a WorkerGroup);

impl Drop for AbortGroupOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abort(None);
    }
}

impl<B: TrainBackend> StageLoop<B> {
    /// The training loop of worker 0.
    fn steps<M: TrainableModel<B>>(
        &self,
        member: Communicator,
        learner: &mut Learner<Components<B, M>>,
        loader: &TrainLoader<Components<B, M>>,
        events: &mut SupervisedTrainingEventProcessor<Components<B, M>>,
    ) -> Result<()> {
        // The helpers copy model and optimizer before the first step changes them.
        member.all_gather(())?;
        let (optimizer, stop) = (self.optimizer.clone(), self.context.stop.clone());
        let worker = Worker::new(member, &self.devices, optimizer, self.plan.global_negatives, stop);
        let mut batches = loader.iter();
        let _stepping = self.context.stop.stepping();
        let mut state = lock(&self.state);
        let (started, seconds, run_seconds) = (Instant::now(), state.seconds, state.run_seconds);
        let (mut window, mut saved) = (ThroughputMeter::new(), Instant::now());
        while state.step < self.plan.stop_at {
            let next = &mut || batches.next();
            let output = worker.step(&self.plan, learner, &mut state, &mut window, next)?;
            state.seconds = seconds + started.elapsed().as_secs_f64();
            state.run_seconds = run_seconds + started.elapsed().as_secs_f64();
            if self.is_logged(state.step) {
                let line = self.log(&mut state, learner.lr_current(), &output, &mut window)?;
                let item = StepOutput { line, ..output };
                let progress = burn::data::dataloader::Progress::new(state.step, self.plan.steps);
                let item =
                    TrainingItem::new(item, progress.clone(), progress, Some(state.step), Some(learner.lr_current()));
                events.process_train(LearnerEvent::ProcessedItem(item));
            }
            let stop = worker.is_to_stop();
            let due = saved.elapsed().as_secs_f64() >= self.plan.checkpoint_seconds
                || self.plan.checkpoint_steps.is_some_and(|steps| state.step.is_multiple_of(steps));
            if stop || due || state.step == self.plan.stop_at {
                self.save(learner, &mut state)?;
                saved = Instant::now();
            }
            if stop {
                return Err(Error::Interrupted(format!(
                    "saved after step {} of the run; the same command with option `resume` goes on from there",
                    state.global_step
                )));
            }
        }
        Ok(())
    }

    /// Steps 1, every tenth and the last one.
    fn is_logged(&self, step: usize) -> bool {
        step == 1 || step.is_multiple_of(LOG_EVERY) || step == self.plan.stop_at
    }

    /// Reads the losses back, writes the line, and looks at the skipped steps.
    fn log(
        &self,
        state: &mut RunState,
        lr: f64,
        output: &StepOutput<B::InnerBackend>,
        window: &mut ThroughputMeter,
    ) -> Result<LogLine> {
        let losses = output.losses.to_data().convert::<f64>();
        let losses = match losses.as_slice::<f64>() {
            Ok(&[vtc, vtm, mlm]) => LossValues { vtc, vtm, mlm, answer: None },
            Ok(&[answer]) => LossValues { answer: Some(answer), ..LossValues::default() },
            _ => LossValues::default(),
        };
        let finite = losses.is_finite();
        let losses = if finite { losses } else { state.losses };
        let elapsed = window.since.elapsed().as_secs_f64().max(1e-9);
        let left = (self.plan.steps - state.step) as f64;
        let line = LogLine {
            stage: state.stage + 1,
            stage_name: self.plan.name.clone(),
            step: state.global_step,
            stage_step: state.step,
            stage_steps: self.plan.steps,
            losses,
            finite,
            lr,
            clips_per_s: window.clips as f64 / elapsed,
            data_wait_share: (window.waited / elapsed).min(1.0),
            memory_mb: peak_memory_mb(),
            skipped_updates: self.check_skipped(state)?,
            exchange: self.exchange(elapsed, window.steps.max(1)),
            eta_s: left * elapsed / window.steps.max(1) as f64,
        };
        *window = ThroughputMeter::new();
        state.losses = losses;
        self.context.metrics_log.add(&line)?;
        self.context.events.tell(TrainEvent::Step(&line));
        Ok(line)
    }

    /// What was exchanged with other processes in the last `steps` steps, which took `seconds`.
    fn exchange(&self, seconds: f64, steps: usize) -> Option<ExchangeLog> {
        let job = &self.context.job;
        (job.size() > 1).then(|| {
            let (bytes, busy, waited) = job.traffic().take();
            let each = steps as f64;
            let (mb, s) = (bytes as f64 / 1e6 / each, busy / each);
            ExchangeLog {
                processes: job.size(),
                mb_per_step: mb,
                s_per_step: s,
                wait_share: (waited / seconds).min(1.0),
            }
        })
    }

    fn check_skipped(&self, state: &mut RunState) -> Result<usize> {
        let skipped = self.optimizer.state().nonfinite.read();
        if skipped.total > state.skipped.total {
            let new = skipped.total - state.skipped.total;
            log::warn!(
                "the loss or a gradient was not finite: {new} update(s) skipped, the last at step {} of stage `{}`",
                skipped.last,
                self.plan.name
            );
        }
        state.skipped = skipped;
        let stage_in_vain = state.step == self.plan.steps && skipped.total == self.plan.steps;
        if skipped.streak < MAX_STREAK && !stage_in_vain {
            return Ok(skipped.total);
        }
        let first = skipped.last + 1 - skipped.streak;
        Err(Error::Training {
            problem: format!(
                "the loss has not been finite since step {first} of stage `{}` ({} updates skipped in a row)",
                self.plan.name, skipped.streak
            ),
            remedy: "lower `learning_rate`, or set `max_norm`, and continue with option `resume`".into(),
        })
    }

    fn save<M: TrainableModel<B>>(&self, learner: &Learner<Components<B, M>>, state: &mut RunState) -> Result<()> {
        let optimizer = self.optimizer.state();
        state.skipped = optimizer.nonfinite.read();
        self.context.checkpoints.save(state, &learner.model().valid(), Some(&optimizer))
    }
}
