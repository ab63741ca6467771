//! Choosing a backend: cargo feature -> backend type -> device. The only place that names concrete backends.

mod precision;
#[cfg(feature = "wgpu")]
mod wgsl;

pub use precision::{arithmetic, precision, training_precision};

use crate::{Error, Result};
use burn::tensor::backend::{Backend, Device as _, DeviceId, DeviceOps};
use std::str::FromStr;
use svitt_ops::TrainBackend;

/// The fastest CPU backend of this build, for programs that need one fixed type.
#[cfg(feature = "flex")]
pub type Cpu = burn_flex::Flex;
/// The fastest CPU backend of this build, for whoever wants one type and no choice at run time.
#[cfg(all(feature = "ndarray", not(feature = "flex")))]
pub type Cpu = burn_ndarray::NdArray;

/// The backends this program can be built with, fastest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// NVIDIA GPUs (feature `cuda`).
    Cuda,
    /// Any GPU through Vulkan, Metal, DirectX or WebGPU (feature `wgpu`).
    Wgpu,
    /// [`Self::Wgpu`] with kernels in WGSL also where Vulkan would take SPIR-V (feature `wgpu`).
    WgpuWgsl,
    /// The fast CPU backend (feature `flex`).
    Flex,
    /// The reference CPU backend (feature `ndarray`).
    NdArray,
}

impl BackendKind {
    /// Every backend, fastest first.
    pub const ALL: [Self; 5] = [Self::Cuda, Self::Wgpu, Self::WgpuWgsl, Self::Flex, Self::NdArray];

    /// Whether it computes on the processor, in the machine's own memory.
    pub fn is_cpu(self) -> bool {
        matches!(self, Self::Flex | Self::NdArray)
    }

    /// [`Self::is_cpu`] of the backend with a name; false where there is none.
    pub fn is_cpu_named(name: &str) -> bool {
        Self::ALL.into_iter().any(|kind| kind.is_cpu() && kind.name() == name)
    }

    /// The name on command lines and in features.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
            Self::WgpuWgsl => "wgpu-wgsl",
            Self::Flex => "flex",
            Self::NdArray => "ndarray",
        }
    }

    /// The cargo feature it comes with.
    pub fn feature(self) -> &'static str {
        if self == Self::WgpuWgsl { "wgpu" } else { self.name() }
    }

    /// Whether this build contains it.
    pub fn compiled(self) -> bool {
        match self {
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Wgpu | Self::WgpuWgsl => cfg!(feature = "wgpu"),
            Self::Flex => cfg!(feature = "flex"),
            Self::NdArray => cfg!(feature = "ndarray"),
        }
    }

    /// The backend `name` asks for, or the fastest of this build.
    ///
    /// # Errors
    /// An unknown name, or one that this build lacks.
    pub fn choose(name: Option<&str>) -> Result<Self> {
        let kind = match name {
            Some(name) => name.parse()?,
            None => Self::ALL.into_iter().find(|kind| kind.compiled()).ok_or_else(|| {
                Error::setting("--features", "no backend was compiled in", "build with ndarray, flex, wgpu or cuda")
            })?,
        };
        if kind.compiled() {
            return Ok(kind);
        }
        let built: Vec<&str> = Self::ALL.into_iter().filter(|k| k.compiled()).map(Self::name).collect();
        Err(Error::setting(
            "backend",
            format!("`{}` is not compiled in (this build has {})", kind.name(), built.join(", ")),
            format!("build with `--features {}`", kind.feature()),
        ))
    }
}

impl FromStr for BackendKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            Error::setting(
                "backend",
                format!("`{name}` is not a backend"),
                "use cuda, wgpu, wgpu-wgsl, flex or ndarray",
            )
        })
    }
}

/// The devices of `workers` workers, `first` being the first one there is. On CPU backends all of them share it. Of
/// `processes` on one machine number `index` takes those after its predecessors' ones, unless its launcher shows it no
/// more than it needs.
///
/// # Errors
/// No worker, or more of them than there are devices.
pub fn devices<B: Backend>(
    kind: BackendKind,
    first: &B::Device,
    workers: usize,
    (index, processes): (usize, usize),
) -> Result<Vec<B::Device>> {
    if workers == 0 {
        return Err(Error::setting("devices", "is 0", "use 1 or more"));
    }
    if workers * processes == 1 || kind.is_cpu() {
        return Ok(vec![first.clone(); workers]);
    }
    let DeviceId { type_id, .. } = first.id();
    let found = B::device_count(type_id);
    let skipped = if found == workers { 0 } else { index * workers };
    if skipped > 0 && found < processes * workers {
        let problem =
            format!("{processes} processes with {workers} devices each share this machine, which has {found}");
        return Err(Error::backend(kind.name(), problem, "start fewer processes on it, or use fewer devices in each"));
    }
    if workers > found {
        let problem = format!("{workers} devices were asked for, and there are {found} of this kind");
        return Err(Error::backend(kind.name(), problem, format!("use option `devices` {}", found.max(1))));
    }
    let own = skipped..skipped + workers;
    Ok(own.map(|index| burn::tensor::Device::<B>::from_id(DeviceId::new(type_id, index as u16))).collect())
}

/// A computation that runs on the backend chosen at run time.
pub trait BackendTask {
    /// What it returns.
    type Output;
    /// Runs it on `device` of backend `B`.
    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output;
}

/// Runs `task` on the first device of `kind`.
///
/// # Errors
/// `kind` is not compiled in, its driver or device is missing, its memory is exhausted, or the task panics.
pub fn dispatch<T: BackendTask>(kind: BackendKind, task: T) -> Result<T::Output> {
    crate::panics::catch_backend_panic(kind.name(), || run(kind, task))?
}

fn run<T: BackendTask>(kind: BackendKind, task: T) -> Result<T::Output> {
    match kind {
        #[cfg(feature = "ndarray")]
        BackendKind::NdArray => Ok(task.run::<burn::backend::Autodiff<burn_ndarray::NdArray>>(Default::default())),
        #[cfg(feature = "flex")]
        BackendKind::Flex => Ok(task.run::<burn::backend::Autodiff<burn_flex::Flex>>(Default::default())),
        #[cfg(feature = "wgpu")]
        BackendKind::Wgpu => Ok(task.run::<burn::backend::Autodiff<burn_wgpu::Wgpu>>(Default::default())),
        #[cfg(feature = "wgpu")]
        BackendKind::WgpuWgsl => Ok(task.run::<burn::backend::Autodiff<burn_wgpu::Wgpu>>(wgsl::device())),
        #[cfg(feature = "cuda")]
        BackendKind::Cuda => Ok(task.run::<burn::backend::Autodiff<burn_cuda::Cuda>>(Default::default())),
        #[allow(unreachable_patterns, reason = "reachable in builds that lack a backend")]
        missing => {
            BackendKind::choose(Some(missing.name())).map(|_| unreachable!("choose refuses what is not compiled in"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_unknown_names_are_refused() {
        for kind in BackendKind::ALL {
            assert_eq!(kind.name().parse::<BackendKind>().unwrap(), kind);
        }
        assert!(BackendKind::choose(Some("tpu")).unwrap_err().to_string().contains("`tpu` is not a backend"));
    }

    #[test]
    #[cfg(feature = "flex")]
    fn workers_share_a_cpu_and_zero_workers_are_refused() {
        let devices = |workers| devices::<burn_flex::Flex>(BackendKind::Flex, &burn_flex::FlexDevice, workers, (0, 1));
        assert_eq!(devices(3).unwrap().len(), 3);
        assert!(devices(0).unwrap_err().to_string().contains("`devices`: is 0"));
        // As on a GPU: there is one device of this kind, and a second one cannot be made up.
        let found = super::devices::<burn_flex::Flex>(BackendKind::Cuda, &burn_flex::FlexDevice, 2, (0, 1));
        let message = found.unwrap_err().to_string();
        assert!(
            message.contains("2 devices were asked for, and there are 1") && message.contains("option `devices` 1")
        );
        // A launcher that shows each process its own device, and two processes that would need two.
        let of_two =
            |index| super::devices::<burn_flex::Flex>(BackendKind::Cuda, &burn_flex::FlexDevice, 1, (index, 2));
        assert_eq!([0, 1].map(|index| of_two(index).unwrap().len()), [1, 1]);
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_backend_left_out_names_its_feature() {
        let message = BackendKind::choose(Some("cuda")).unwrap_err().to_string();
        assert!(message.contains("--features cuda"), "{message}");
    }
}
