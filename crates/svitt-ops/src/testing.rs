//! For tests of ops and of what is built on them: one test body for every backend, host values, gradients by finite
//! differences.

use crate::rng::Rng;
use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData, backend::Backend};

pub use crate::{on_cpu_backends, on_every_backend};

/// What kernels are held against: tensor operations on a CPU, whichever backend the kernels run on.
#[cfg(feature = "ndarray")]
pub type Reference = burn_ndarray::NdArray;
/// The same in builds without ndarray.
#[cfg(all(feature = "flex", not(feature = "ndarray")))]
pub type Reference = burn_flex::Flex;

/// Runs test functions generic over the backend on ndarray, on flex and, in builds that have them, on the default wgpu
/// and the first CUDA device: for what has kernels there. Compiling them for a GPU takes long, so nothing else does.
#[macro_export]
macro_rules! on_every_backend {
    ($($test:ident),+ $(,)?) => {
        $crate::on_cpu_backends!($($test),+);
        #[cfg(feature = "wgpu")]
        mod wgpu { $(#[test] fn $test() { super::$test::<burn_wgpu::Wgpu>() })+ }
        #[cfg(feature = "cuda")]
        mod cuda { $(#[test] fn $test() { super::$test::<burn_cuda::Cuda>() })+ }
    };
}

/// Runs test functions generic over the backend on ndarray and on flex.
#[macro_export]
macro_rules! on_cpu_backends {
    ($($test:ident),+ $(,)?) => {
        #[cfg(feature = "ndarray")]
        mod ndarray { $(#[test] fn $test() { super::$test::<burn_ndarray::NdArray>() })+ }
        #[cfg(feature = "flex")]
        mod flex { $(#[test] fn $test() { super::$test::<burn_flex::Flex>() })+ }
    };
}

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

/// Whether this process runs only `test`. If not, starts such a process and fails if it fails: for things that hold
/// once per process.
#[track_caller]
pub fn run_alone(test: &str) -> bool {
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
