use super::process_tests::processes;
use super::*;
use crate::config::{Compat, PretrainPreset};
use crate::data::loader::BatchPart;
use crate::model::{FeatureGather, Objective, Pairs, PretrainDraws, Svitt, VideoDraws};
use crate::testing::{at_published_temperature, host, noise, on_cpu_backends, randomized, small_config};
use crate::train::expand::trainable;
use crate::train::{
    AdamW, AdamWSettings, BatchStream, Checkpoints, InitialWeights, MetricsLog, PretrainOptions, RunState,
    StageContext, StagePlan, StepConfig, StepInput, StepOutput, StopSignal, TrainingData, WarmupCosine, follow,
    pretrain, snapshot, train_stage,
};
use crate::{Error, loss::NegativeDraws};
use burn::backend::Autodiff;
use burn::module::{AutodiffModule, Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use burn_train::{InferenceStep, Learner, TrainOutput, TrainStep};
use std::path::Path;
use svitt_ops::{SvittBackend, TrainBackend};

/// Pairs of two workers with three each; an identity of one worker's returns among the other's.
const IDENTITY: [i64; 6] = [7, 3, 3, 5, 7, 2];

fn model<B: TrainBackend>() -> Svitt<B> {
    let model = Svitt::<B::InnerBackend>::new(&small_config(Compat::Corrected), 1, &Default::default()).unwrap();
    trainable(Svitt::<B>::from_inner(at_published_temperature(randomized(model, 2))))
}

fn pairs<B: Backend>(rows: std::ops::Range<usize>) -> Pairs<B> {
    let (count, device) = (rows.len(), Default::default());
    let ids: Vec<i64> =
        rows.clone().flat_map(|row| (0..5).map(move |t| 1 + ((7 * row + 11 * t) % 40) as i64)).collect();
    Pairs {
        video: noise(3, [6, 3, 3, 12, 12]).slice([rows.clone()]),
        token_ids: Tensor::from_data(TensorData::new(ids, [count, 5]), &device),
        token_mask: Tensor::ones([count, 5], &device),
        identity: Tensor::from_data(TensorData::new(IDENTITY[rows].to_vec(), [count]), &device),
    }
}

/// The contrastive loss of `pairs`, and its gradient.
fn gradient<B: TrainBackend>(
    pairs: &Pairs<B>,
    peers: Option<&dyn FeatureGather<B>>,
) -> (f32, Vec<Tensor<B::InnerBackend, 1>>) {
    let model = model::<B>();
    let batch = pairs.identity.dims()[0];
    let draws = PretrainDraws {
        video: VideoDraws::evaluation(0),
        negatives: NegativeDraws::Gumbel(Tensor::zeros([2, batch, batch], &Default::default())),
        masked: None,
        dropout_seed: None,
        selection_seed: 0,
    };
    let objective = Objective { vtm: 0.0, mlm: 0.0, ..Objective::default() };
    let losses = model.losses_with_gather(pairs, &draws, &objective, peers).unwrap().losses;
    let loss = host(losses.total.clone())[0];
    let grads = GradientsParams::from_grads(losses.total.backward(), &model);
    let wanted = vec![true; gradients::present::<B, _>(&model, &grads).len()];
    (loss, gradients::flatten::<B, _>(&model, grads, &wanted))
}

fn values<B: Backend>(vectors: Vec<Tensor<B, 1>>) -> Vec<Vec<f32>> {
    vectors.into_iter().map(host).collect()
}

/// What `work` gives on each of two workers.
fn two<T: Send>(work: impl Fn(Communicator) -> T + Sync) -> [T; 2] {
    let team = WorkerGroup::new(2);
    let work = &work;
    std::thread::scope(|scope| {
        let workers = [0, 1].map(|rank| {
            let member = team.member(rank);
            scope.spawn(move || work(member))
        });
        workers.map(|worker| worker.join().unwrap())
    })
}

fn norm<'a>(values: impl IntoIterator<Item = &'a f32>) -> f64 {
    values.into_iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

/// |a − b| over |b|: of all parameters together, and of the worst one, where norms below a thousandth of the whole
/// (softmax makes the gradient of a key's bias nothing but rounding) count as that thousandth.
fn relative(a: &[Vec<f32>], b: &[Vec<f32>]) -> [f64; 2] {
    let whole = norm(b.iter().flatten());
    let apart: Vec<Vec<f32>> = a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect()).collect();
    let each = apart.iter().zip(b).map(|(apart, b)| norm(apart) / norm(b).max(1e-3 * whole));
    [norm(apart.iter().flatten()) / whole, each.fold(0.0, f64::max)]
}

fn global_negatives_give_the_gradient_of_the_double_batch<B: SvittBackend>()
where
    Autodiff<B>: TrainBackend<InnerBackend = B>,
{
    let (loss, expected) = gradient::<Autodiff<B>>(&pairs(0..6), None);
    let expected = values(expected);
    let [(first, mean), (second, other)] = two(|member| {
        let reduce = collective_for::<B>(&member, &[Default::default(), Default::default()]);
        let rows = 3 * member.rank()..3 * member.rank() + 3;
        let keys = IDENTITY[rows.clone()].iter().map(|key| *key as u64).collect::<Vec<_>>();
        let peers = GlobalBatch::<Autodiff<B>>::meet(&reduce, &member, &keys).unwrap();
        let (loss, vectors) = gradient::<Autodiff<B>>(&pairs(rows), Some(&peers));
        (loss, values(reduce.mean(vectors).unwrap()))
    });
    assert!((first - loss).abs() < 1e-6 * loss && first == second, "{first} {second} {loss}");
    let [all, worst] = relative(&mean, &expected);
    println!("two workers against the double batch: {all:.1e}, {worst:.1e} in the worst parameter");
    assert!(all < 1e-6 && worst < 2e-6, "off by {all}, {worst}");
    assert_eq!(mean, other);
}

fn local_negatives_give_the_mean_of_both_gradients<B: SvittBackend>()
where
    Autodiff<B>: TrainBackend<InnerBackend = B>,
{
    let [a, b] = [0..3, 3..6].map(|rows| values(gradient::<Autodiff<B>>(&pairs(rows), None).1));
    assert!(relative(&a, &b)[0] > 0.1, "the workers' gradients differ");
    let both = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).map(|(a, b)| (a + b) / 2.0).collect::<Vec<f32>>();
    let expected: Vec<_> = a.iter().zip(&b).map(both).collect();
    for mean in two(|member| {
        let reduce = collective_for::<B>(&member, &[Default::default(), Default::default()]);
        let rows = 3 * member.rank()..3 * member.rank() + 3;
        values(reduce.mean(gradient::<Autodiff<B>>(&pairs(rows), None).1).unwrap())
    }) {
        assert_eq!(mean, expected);
    }
}

on_cpu_backends!(
    global_negatives_give_the_gradient_of_the_double_batch,
    local_negatives_give_the_mean_of_both_gradients,
);

#[test]
fn a_failed_worker_stops_the_waiting_ones_and_its_error_is_reported() {
    let team = WorkerGroup::new(3);
    std::thread::scope(|scope| {
        let waiting = [0, 2].map(|rank| {
            let member = team.member(rank);
            scope.spawn(move || member.local_gather(rank))
        });
        let failure = |problem: &str| Some(Error::Training { problem: problem.into(), remedy: "none".into() });
        team.abort(failure("the first"));
        team.abort(failure("the second"));
        for worker in waiting {
            assert_eq!(worker.join().unwrap().unwrap_err(), WorkerStopped);
        }
    });
    assert_eq!(team.member(1).local_gather(1).unwrap_err(), WorkerStopped);
    assert!(team.take_failure().unwrap().to_string().contains("the first"));
}

#[test]
fn exchanges_complete_in_order() {
    let team = WorkerGroup::new(4);
    std::thread::scope(|scope| {
        for rank in 0..4 {
            let member = team.member(rank);
            scope.spawn(move || {
                for round in 0..200 {
                    let found: Vec<usize> =
                        member.local_gather(10 * round + rank).unwrap().iter().map(|x| **x).collect();
                    assert_eq!(found, [0, 1, 2, 3].map(|rank| 10 * round + rank));
                }
            });
        }
    });
}

#[test]
fn a_group_of_one_does_not_wait() {
    assert_eq!(*Communicator::single().local_gather(5).unwrap()[0], 5);
}

#[cfg(feature = "flex")]
mod runs {
    use super::*;

    type B = Autodiff<burn_flex::Flex>;

    /// Twenty steps of sparse attention and pruning.
    const PRESET: &str = concat!(
        include_str!("../../../tests/fixtures/tiny-preset.toml"),
        r#"
[[stages]]
name = "only"
frames = 3
segments = [1]
edge = { local = 1, random = 1, block = 16 }
node = { keep_rate = 0.7, layers = [0] }
length = { steps = 20 }
warmup = { steps = 2 }
learning_rate = 2e-3
batch = 3
accumulate = 2
max_norm = 1.0
"#
    );

    fn preset(folder: &Path) -> PretrainPreset {
        let file = folder.join("test.toml");
        std::fs::write(&file, PRESET).unwrap();
        PretrainPreset::load(file.to_str().unwrap()).unwrap()
    }

    fn options(preset: &PretrainPreset, out: &Path) -> PretrainOptions {
        std::fs::create_dir_all(out).unwrap();
        let source = TrainingData::shapes(preset, 5).unwrap();
        PretrainOptions { global_negatives: true, ..PretrainOptions::new(preset.clone(), source, out, 5) }
    }

    /// The weights after the run.
    fn run(options: &PretrainOptions, workers: usize) -> crate::Result<Vec<u8>> {
        let devices = vec![Default::default(); workers];
        let choice = &options.preset.model;
        pretrain::<B>(options, &devices, &|config| InitialWeights::default().model(config, choice, 5, &devices[0]))?;
        Ok(std::fs::read(options.out.join("stage-1/model.safetensors")).unwrap())
    }

    #[test]
    fn two_workers_repeat_and_resume_exactly() {
        let folder = tempfile::tempdir().unwrap();
        let preset = preset(folder.path());
        let place = |name: &str| folder.path().join(name);
        let straight = run(&options(&preset, &place("a")), 2).unwrap();
        assert_eq!(run(&options(&preset, &place("b")), 2).unwrap(), straight, "the run repeats");
        let first = PretrainOptions { max_steps: Some(11), ..options(&preset, &place("c")) };
        assert_ne!(run(&first, 2).unwrap(), straight);
        let rest = PretrainOptions { max_steps: None, resume: true, ..first };
        let message = run(&rest, 1).unwrap_err().to_string();
        assert!(message.contains("1 process(es) with 2 device(s) each, and this is 1 process(es) with 1"), "{message}");
        assert_eq!(run(&rest, 2).unwrap(), straight, "a resume ends where the run did");
        assert_ne!(run(&options(&preset, &place("d")), 1).unwrap(), straight, "the second worker adds something");
    }

    /// The weights after a run of `count` processes with a worker each, and what each of the others ended with.
    fn run_processes(options: &PretrainOptions, count: usize) -> (crate::Result<Vec<u8>>, Vec<crate::Result<()>>) {
        let mut ends = processes(count, |job| {
            let options = PretrainOptions { job: job.clone(), ..options.clone() };
            match job.is_first() {
                true => run(&options, 1).map(Some),
                false => follow::<B>(&options, &[Default::default()]).map(|()| None),
            }
        })
        .into_iter();
        let first = ends.next().unwrap().map(Option::unwrap);
        (first, ends.map(|end| end.map(drop)).collect())
    }

    #[test]
    fn processes_train_as_workers_do_bit_for_bit_and_resume() {
        let folder = tempfile::tempdir().unwrap();
        let preset = preset(folder.path());
        let place = |name: &str| folder.path().join(name);
        let losses = |name: &str| {
            let lines = MetricsLog::open(&place(name), usize::MAX).unwrap().lines().unwrap();
            lines.into_iter().map(|line| (line.step, line.losses)).collect::<Vec<_>>()
        };
        for count in [2, 4] {
            let (one, several) = (format!("{count} workers"), format!("{count} processes"));
            let straight = run(&options(&preset, &place(&one)), count).unwrap();
            let (found, others) = run_processes(&options(&preset, &place(&several)), count);
            assert!(found.unwrap() == straight && others.iter().all(Result::is_ok), "{count}");
            assert_eq!(losses(&several), losses(&one));
        }
        // A signal to the second process only, before the first step: saved after it.
        let stopped = options(&preset, &place("stopped"));
        let (end, others) = {
            let mut ends = processes(2, |job| {
                let stop = StopSignal::default();
                if !job.is_first() {
                    stop.set_off();
                }
                let options = PretrainOptions { job: job.clone(), stop, ..stopped.clone() };
                match job.is_first() {
                    true => run(&options, 1).map(drop),
                    false => follow::<B>(&options, &[Default::default()]),
                }
            });
            (ends.remove(0), ends.remove(0))
        };
        assert!(end.unwrap_err().to_string().contains("saved after step 1 of the run"));
        assert!(matches!(others, Err(Error::Elsewhere { interrupted: true })));
        let rest = PretrainOptions { resume: true, ..stopped };
        let (refused, others) = run_processes(&rest, 3);
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("made by 2 process(es)") && message.contains("this is 3 process(es)"), "{message}");
        assert!(others.iter().all(|other| matches!(other, Err(Error::Elsewhere { interrupted: false }))));
        let straight = std::fs::read(place("2 workers/stage-1/model.safetensors")).unwrap();
        assert!(run_processes(&rest, 2).0.unwrap() == straight);
    }

    fn plan(steps: usize) -> StagePlan {
        StagePlan {
            name: "only".into(),
            steps,
            stop_at: steps,
            accumulate: 2,
            batches_per_epoch: 7,
            global_negatives: true,
            schedule: WarmupCosine { peak: 2e-3, total: steps as f64, warmup: 2.0, minimum: 0.01, taken: 0 },
            checkpoint_seconds: 1e9,
            checkpoint_steps: None,
        }
    }

    fn streams(preset: &PretrainPreset, workers: usize) -> Vec<BatchStream<B>> {
        let stage = &preset.stages[0];
        let source = TrainingData::shapes(preset, 5).unwrap();
        let config = stage.model(&preset.model.model(1, source.tokenizer.vocab_size()));
        let loader = source.loader(0, stage, &config, workers, BatchPart::default()).unwrap();
        BatchStream::shares(loader, 0, StepConfig::default(), &vec![Default::default(); workers]).unwrap()
    }

    #[test]
    fn replicas_stay_equal_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let preset = preset(folder.path());
        let (plan, streams) = (plan(20), streams(&preset, 2));
        let source = TrainingData::shapes(&preset, 5).unwrap();
        let config = preset.stages[0].model(&preset.model.model(1, source.tokenizer.vocab_size()));
        let fresh = Svitt::<burn_flex::Flex>::new(&config, 3, &Default::default()).unwrap();
        let [first, second] = two(|member| {
            let mut feed = streams[member.rank()].clone();
            let model = trainable(Svitt::<B>::from_inner(fresh.clone()));
            let settings = AdamWSettings { max_norm: Some(1.0), ..AdamWSettings::default() };
            let optimizer = AdamW::<B>::new(settings, &Default::default());
            let mut learner = Learner::new(model, optimizer.clone(), plan.schedule);
            let worker = Worker::<B>::new(member, &[Default::default(); 2], optimizer, true, StopSignal::default());
            let (mut state, mut window) = (RunState::default(), ThroughputMeter::new());
            while state.step < plan.stop_at {
                worker.step(&plan, &mut learner, &mut state, &mut window, &mut || feed.next()).unwrap();
            }
            assert_eq!(window.clips, 2 * 3 * state.batches, "clips of all workers");
            snapshot::tensors(&learner.model())
        });
        assert_eq!(first, second);
        assert_ne!(first, snapshot::tensors(&fresh), "it has learned");
    }

    /// A model of one number whose second worker breaks down at its third batch.
    #[derive(Module, Debug)]
    struct Trap<B: Backend> {
        weight: Param<Tensor<B, 1>>,
    }

    impl TrainStep for Trap<B> {
        type Input = StepInput<B>;
        type Output = StepOutput<burn_flex::Flex>;

        fn step(&self, input: StepInput<B>) -> TrainOutput<Self::Output> {
            assert!((input.key.worker, input.key.batch) != (1, 2), "the trap");
            let loss = self.weight.val() * input.batch.video.mean();
            let inner = loss.clone().inner();
            let item = StepOutput { losses: inner.clone(), total: inner, line: Default::default() };
            TrainOutput::new(self, loss.backward(), item)
        }
    }

    impl InferenceStep for Trap<burn_flex::Flex> {
        type Input = ();
        type Output = ();

        fn step(&self, (): ()) {}
    }

    #[test]
    fn a_panicking_worker_stops_the_stage_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let streams = streams(&preset(folder.path()), 3);
        let context = StageContext {
            metrics_log: MetricsLog::open(folder.path(), 0).unwrap(),
            checkpoints: Checkpoints::of(folder.path()),
            stop: StopSignal::default(),
            events: crate::train::TrainEvents::default(),
            job: Job::default(),
        };
        let model = Trap::<B> { weight: Param::from_tensor(Tensor::ones([1], &Default::default())) };
        let optimizer = AdamW::<B>::new(AdamWSettings::default(), &Default::default());
        let outcome = train_stage(plan(20), context, RunState::default(), model, optimizer, streams);
        let message = outcome.map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("worker 1 broke down: the trap"), "{message}");
    }
}
