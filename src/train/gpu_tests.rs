//! Training on GPU backends: the losses of the reference backend, and nothing read back between log lines.

use super::{InitialWeights, PretrainOptions, TrainingData, pretrain};
use crate::config::{Compat, PretrainPreset};
use crate::loss::MaskRules;
use crate::model::{Objective, Pairs, PretrainDraws, Svitt};
use crate::testing::{host, noise, randomized, small_sparse_config};
use burn::backend::Autodiff;
use burn::tensor::{Int, Tensor};
use std::path::Path;
use svitt_ops::TrainBackend;

/// Two stages, the second sparse in edges and nodes and accumulating; dropout is off in the tiny model, whose size
/// keeps a step under a second on software Vulkan.
const PRESET: &str = concat!(
    include_str!("../../tests/fixtures/tiny-preset.toml"),
    r#"
[[stages]]
name = "first"
frames = 3
segments = [1]
length = { steps = 6 }
learning_rate = 1e-3
batch = 5

[[stages]]
name = "second"
frames = 5
segments = [1, 2]
edge = { local = 1, random = 1, block = 16 }
node = { keep_rate = 0.7, layers = [0] }
length = { steps = 40 }
learning_rate = 1e-3
batch = 4
accumulate = 2
max_norm = 1.0
"#
);

/// Trains `steps` steps on `devices` and returns the losses of every log line.
fn train_on<B: TrainBackend>(steps: usize, devices: &[B::Device]) -> Vec<[f64; 3]> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.toml");
    std::fs::write(&file, PRESET).unwrap();
    let preset = PretrainPreset::load(file.to_str().unwrap()).unwrap();
    std::fs::create_dir(folder.path().join("run")).unwrap();
    let source = TrainingData::shapes(&preset, 7).unwrap();
    let options = PretrainOptions {
        max_steps: Some(steps),
        ..PretrainOptions::new(preset, source, &folder.path().join("run"), 7)
    };
    let choice = &options.preset.model;
    pretrain::<B>(&options, devices, &|config| InitialWeights::default().model(config, choice, 7, &devices[0]))
        .unwrap();
    losses(&options.out.join("metrics.jsonl"))
}

fn train<B: TrainBackend>(steps: usize) -> Vec<[f64; 3]> {
    train_on::<B>(steps, &[B::Device::default()])
}

fn losses(metrics_log: &Path) -> Vec<[f64; 3]> {
    let text = std::fs::read_to_string(metrics_log).unwrap();
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        ["vtc", "vtm", "mlm"].map(|loss| line["losses"][loss].as_f64().unwrap())
    };
    text.lines().map(line).collect()
}

/// Losses of a batch of a sparse model with a pruning layer, and the gradients of the first video layer.
fn model<B: TrainBackend>() -> Vec<Vec<f32>> {
    let device = B::Device::default();
    let model: Svitt<B> = randomized(Svitt::new(&small_sparse_config(Compat::Corrected), 1, &device).unwrap(), 2);
    let ids = [[1i64, 9, 30, 4, 0], [1, 17, 5, 0, 0], [1, 3, 8, 40, 12]];
    let token_ids = Tensor::<B, 2, Int>::from_data(ids, &device);
    let pairs = Pairs {
        video: noise(3, [3, 3, 3, 12, 12]),
        token_mask: token_ids.clone().not_equal_elem(0).float(),
        token_ids,
        identity: Tensor::from_data([7i64, 3, 5], &device),
    };
    let rules = MaskRules { probability: 0.5, vocab_size: 41, mask_id: 2, never: vec![0, 1], always: Vec::new() };
    let draws = PretrainDraws::seeded(11, &ids.concat(), [3, 5], Some(&rules), &device);
    let draws = PretrainDraws { dropout_seed: None, ..draws };
    let losses = model.losses(&pairs, &draws, &Objective::default()).unwrap().losses;
    let gradients = losses.total.backward();
    let layer = &model.video.layers[0];
    vec![
        host(Tensor::cat(vec![losses.vtc, losses.vtm, losses.mlm], 0)),
        host(layer.qkv.val().grad(&gradients).unwrap()),
        host(layer.position_table.as_ref().unwrap().val().grad(&gradients).unwrap()),
        host(layer.norm_before.gamma.val().grad(&gradients).unwrap()),
        host(layer.down.weight.val().grad(&gradients).unwrap()),
        host(layer.lambda_1.as_ref().unwrap().val().grad(&gradients).unwrap()),
    ]
}

type Reference = Autodiff<burn_ndarray::NdArray>;

fn a_model_is_that_of_the_reference<B: TrainBackend>() {
    let (found, expected) = (model::<B>(), model::<Reference>());
    for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let scale = expected.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
        let worst = found.iter().zip(expected).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
        assert!(found.len() == expected.len() && worst <= 1e-4 * scale, "tensor {which}: off by {worst} of {scale}");
    }
}

/// Both stages; the difference after 10 steps is rounding, which training amplifies.
fn a_short_run_is_that_of_the_reference<B: TrainBackend>() {
    same_run(&train::<B>(10), &train::<Reference>(10));
}

fn same_run(found: &[[f64; 3]], expected: &[[f64; 3]]) {
    assert_eq!(found.len(), expected.len());
    assert!(found.len() >= 4, "steps 1 and 6 of the first stage, 1 and 4 of the second");
    for (line, (found, expected)) in found.iter().zip(expected).enumerate() {
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() <= 2e-3 * e.abs().max(0.1), "line {line}: {found:?} is not {expected:?}");
        }
    }
}

#[cfg(feature = "wgpu")]
mod wgpu;

#[cfg(feature = "cuda")]
mod cuda {
    use super::{Reference, same_run, train_on};
    use crate::backend::{BackendKind, devices};

    type B = burn::backend::Autodiff<burn_cuda::Cuda>;

    #[test]
    fn a_model_is_that_of_the_reference() {
        super::a_model_is_that_of_the_reference::<B>();
    }

    #[test]
    fn a_short_run_is_that_of_the_reference() {
        super::a_short_run_is_that_of_the_reference::<B>();
    }

    /// Gradients and losses are averaged by NCCL. Needs two devices, which the emulated driver has.
    #[test]
    fn two_devices_train_like_two_workers_of_the_reference() {
        let Ok(devices) = devices::<B>(BackendKind::Cuda, &Default::default(), 2, (0, 1)) else {
            return crate::skipped::skipped("a second CUDA device");
        };
        let expected = train_on::<Reference>(10, &[Default::default(), Default::default()]);
        same_run(&train_on::<B>(10, &devices), &expected);
    }
}
