//! What unit tests share: one test body for every CPU backend, host values, gradients by finite differences.

use crate::config::{Compat, EdgeSparsity, ModelConfig, NodeSparsity};
use crate::rng::Rng;
use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData, backend::Backend};

/// What kernels are held against: tensor operations on a CPU, whichever backend the kernels run on.
#[cfg(feature = "ndarray")]
pub type Reference = burn_ndarray::NdArray;
#[cfg(not(feature = "ndarray"))]
pub type Reference = burn_flex::Flex;

/// Runs test functions generic over the backend on ndarray, on flex and, in builds that have them, on the default wgpu
/// and the first CUDA device: for what has kernels there. Compiling them for a GPU takes long, so nothing else does.
macro_rules! on_every_backend {
    ($($test:ident),+ $(,)?) => {
        crate::testing::on_cpu_backends!($($test),+);
        #[cfg(feature = "wgpu")]
        mod wgpu { $(#[test] fn $test() { super::$test::<burn_wgpu::Wgpu>() })+ }
        #[cfg(feature = "cuda")]
        mod cuda { $(#[test] fn $test() { super::$test::<burn_cuda::Cuda>() })+ }
    };
}
pub(crate) use on_every_backend;

/// Runs test functions generic over the backend on ndarray and on flex.
macro_rules! on_cpu_backends {
    ($($test:ident),+ $(,)?) => {
        #[cfg(feature = "ndarray")]
        mod ndarray { $(#[test] fn $test() { super::$test::<burn_ndarray::NdArray>() })+ }
        #[cfg(feature = "flex")]
        mod flex { $(#[test] fn $test() { super::$test::<burn_flex::Flex>() })+ }
    };
}
pub(crate) use on_cpu_backends;

/// A tensor of `shape` with values uniform in ±1, the same for a seed on every backend.
pub fn noise<B: Backend, const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<B, D> {
    let mut rng = Rng::new(seed, &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.between(-1.0, 1.0) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

/// The values of a tensor.
pub fn host<B: Backend, const D: usize>(x: Tensor<B, D>) -> Vec<f32> {
    x.into_data().convert::<f32>().into_vec().unwrap()
}

/// Asserts that two tensors differ by at most `tolerance` anywhere.
#[track_caller]
pub fn assert_close<B: Backend, const D: usize>(found: Tensor<B, D>, expected: Tensor<B, D>, tolerance: f32) {
    assert_eq!(found.dims(), expected.dims(), "shapes");
    let worst = host(found).iter().zip(host(expected)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "differs by {worst}, more than {tolerance}");
}

/// Asserts that the gradient of `f` at `x` is that of central differences. The step of 1e-2 leaves errors of 1e-4
/// from the third derivative and 1e-5 from rounding.
#[track_caller]
pub fn assert_gradient<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    f: impl Fn(Tensor<Autodiff<B>, D>) -> Tensor<Autodiff<B>, 1>,
) {
    const STEP: f32 = 1e-2;
    let (shape, device, values) = (x.dims(), x.device(), host(x.clone()));
    let leaf = Tensor::<Autodiff<B>, D>::from_inner(x).require_grad();
    let gradient = host(leaf.grad(&f(leaf.clone()).backward()).unwrap());
    let at = |values: &[f32]| {
        let data = TensorData::new(values.to_vec(), shape);
        host(f(Tensor::from_data(data, &device)))[0]
    };
    let scale = gradient.iter().fold(1e-2f32, |m, g| m.max(g.abs()));
    for i in 0..values.len() {
        let mut moved = values.clone();
        moved[i] = values[i] + STEP;
        let above = at(&moved);
        moved[i] = values[i] - STEP;
        let slope = (above - at(&moved)) / (2.0 * STEP);
        assert!((slope - gradient[i]).abs() < 0.01 * scale, "element {i}: {slope} by differences, {}", gradient[i]);
    }
}

/// A model of odd, pairwise different sizes: 3 frames of 12 px in patches of 4, so 27 patch tokens.
pub fn small_config(compat: Compat) -> ModelConfig {
    let mut config = ModelConfig { compat, embed_dim: 7, ..ModelConfig::tiny(3) };
    let video = &mut config.video;
    (video.image_size, video.patch_size, video.hidden, video.heads, video.layers, video.ffn) = (12, 4, 15, 3, 2, 22);
    let text = &mut config.text;
    (text.hidden, text.heads, text.layers, text.fusion_layer, text.ffn) = (20, 4, 5, 2, 26);
    (text.vocab_size, text.max_positions) = (41, 11);
    config
}

/// [`small_config`] with sparse edges and nodes.
pub fn small_sparse_config(compat: Compat) -> ModelConfig {
    let mut config = small_config(compat);
    config.video.sparsity.edge = Some(EdgeSparsity { local: 1, random: 1, block: 5 });
    config.video.sparsity.node = Some(NodeSparsity::by_class(0.6, &[0]));
    config
}

/// `model` at the published temperature: a shaken one may be so small that its gradient hides all others.
pub fn at_published_temperature<B: Backend>(mut model: crate::model::Svitt<B>) -> crate::model::Svitt<B> {
    model.temp = burn::module::Param::from_tensor(Tensor::full([1], 0.07, &model.temp.device()));
    model
}

/// `module` with every weight drawn anew from a normal distribution of deviation 0.3 around its old value: fresh
/// weights are so small that every layer is nearly the identity, and biases are 0.
pub fn shaken<B: Backend, M: burn::module::Module<B>>(module: M, seed: u64) -> M {
    struct Shake(Rng);
    impl<B: Backend> burn::module::ModuleMapper<B> for Shake {
        fn map_float<const D: usize>(
            &mut self,
            param: burn::module::Param<Tensor<B, D>>,
        ) -> burn::module::Param<Tensor<B, D>> {
            param.map(|value| {
                let (shape, device) = (value.dims(), value.device());
                let noise: Vec<f32> = (0..value.shape().num_elements()).map(|_| 0.3 * self.0.normal() as f32).collect();
                let tracked = value.is_require_grad();
                let noise = Tensor::from_data(TensorData::new(noise, shape), &device);
                (value.detach().set_require_grad(false) + noise).set_require_grad(tracked)
            })
        }
    }
    module.map(&mut Shake(Rng::new(seed, &[])))
}

/// Whether this process runs `test` alone. If not, starts one that does and fails if it fails: for what holds once per
/// process, or counts what the whole process does.
#[cfg(feature = "wgpu")]
#[track_caller]
pub fn alone(test: &str) -> bool {
    const ALONE: &str = "SVITT_TEST_ALONE";
    if std::env::var_os(ALONE).is_some_and(|name| name == test) {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new(program).args(["--exact", test]).env(ALONE, test).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}
