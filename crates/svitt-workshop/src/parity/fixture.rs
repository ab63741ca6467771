//! One safetensors file of a parity directory; records which tensors were used.

use super::report::FileCheck;
use super::tolerance::TensorKind;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use svitt::weights::{HostTensor, safetensors};
use svitt::{Error, Result};

/// The tensors of a file. All numbers are `f32`: the largest id or index is far below 2²⁴.
#[derive(Debug)]
pub struct Fixture {
    path: PathBuf,
    tensors: BTreeMap<String, HostTensor>,
    used: RefCell<BTreeSet<String>>,
}

impl Fixture {
    /// Reads `path`.
    ///
    /// # Errors
    /// A missing or damaged file.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|problem| Error::io(path, &problem))?;
        let file = safetensors::read(&bytes).map_err(|problem| invalid(path, problem))?;
        let tensors = file.tensors.into_iter().map(|(name, view)| (name, view.read(&bytes))).collect();
        Ok(Self { path: path.to_path_buf(), tensors, used: RefCell::default() })
    }

    /// Names of its tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    /// The tensor called `name`, which counts as used from now on.
    pub fn find(&self, name: &str) -> Option<&HostTensor> {
        let tensor = self.tensors.get(name)?;
        self.used.borrow_mut().insert(name.to_string());
        Some(tensor)
    }

    /// The tensor called `name`, which counts as used from now on.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, name: &str) -> Result<&HostTensor> {
        self.find(name).ok_or_else(|| invalid(&self.path, format!("has no tensor `{name}`")))
    }

    /// The shape of `name`.
    ///
    /// # Errors
    /// There is none, or it has not `D` sizes.
    pub fn shape<const D: usize>(&self, name: &str) -> Result<[usize; D]> {
        let shape = &self.get(name)?.shape;
        shape.as_slice().try_into().map_err(|_| invalid(&self.path, format!("tensor `{name}` has shape {shape:?}")))
    }

    /// `name` as integers.
    ///
    /// # Errors
    /// There is no such tensor.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        Ok(self.get(name)?.values.iter().map(|&value| value as i64).collect())
    }

    /// `name` on `device`.
    ///
    /// # Errors
    /// There is none, or it has not `D` sizes.
    pub fn float<B: Backend, const D: usize>(&self, name: &str, device: &B::Device) -> Result<Tensor<B, D>> {
        let shape = self.shape::<D>(name)?;
        Ok(Tensor::from_data(TensorData::new(self.get(name)?.values.clone(), shape), device))
    }

    /// `name` on `device` as integers.
    ///
    /// # Errors
    /// There is none, or it has not `D` sizes.
    pub fn int<B: Backend, const D: usize>(&self, name: &str, device: &B::Device) -> Result<Tensor<B, D, Int>> {
        let shape = self.shape::<D>(name)?;
        Ok(Tensor::from_data(TensorData::new(self.integers(name)?, shape), device))
    }

    /// `name` on `device` as ids below `limit`; `besides` may stand among them. An id beyond its table would end the
    /// program inside the backend.
    ///
    /// # Errors
    /// There is none, it has not `D` sizes, or an id is out of range.
    pub fn ids<B: Backend, const D: usize>(
        &self,
        name: &str,
        limit: usize,
        besides: Option<i64>,
        device: &B::Device,
    ) -> Result<Tensor<B, D, Int>> {
        let known = |&id: &i64| Some(id) == besides || usize::try_from(id).is_ok_and(|id| id < limit);
        match self.integers(name)?.into_iter().find(|id| !known(id)) {
            Some(id) => Err(self.invalid(format!("`{name}` holds {id}, but ids end at {}", limit.saturating_sub(1)))),
            None => self.int(name, device),
        }
    }

    /// Checks that `name` is there in shape `shape`.
    ///
    /// # Errors
    /// It is not.
    pub fn expect(&self, name: &str, shape: &[usize]) -> Result<()> {
        let found = &self.get(name)?.shape;
        if found == shape {
            return Ok(());
        }
        Err(self.invalid(format!("tensor `{name}` has shape {found:?} instead of {shape:?}")))
    }

    /// Compares `ours` to the tensor called `name`, if there is one. Shapes must agree but for sizes of 1.
    pub fn check<B: Backend, const D: usize>(
        &self,
        name: &str,
        kind: TensorKind,
        ours: Tensor<B, D>,
        check: &mut FileCheck,
    ) {
        let Some(reference) = self.find(name) else { return };
        let real = |shape: &[usize]| shape.iter().copied().filter(|&size| size != 1).collect::<Vec<_>>();
        let same = real(&ours.dims()) == real(&reference.shape);
        let ours = if same { host(ours) } else { Vec::new() };
        check.compare(name, kind, &ours, &reference.values);
    }

    /// The file is not what it should be.
    pub fn invalid(&self, problem: impl Into<String>) -> Error {
        invalid(&self.path, problem)
    }

    /// Whether anything of it was used.
    pub fn is_used(&self) -> bool {
        !self.used.borrow().is_empty()
    }

    /// Notes every tensor that was neither used nor compared.
    pub fn note_unused(&self, check: &mut FileCheck) {
        let used = self.used.borrow();
        self.tensors.keys().filter(|name| !used.contains(*name)).for_each(|name| check.uncovered(name));
    }
}

/// The numbers of `tensor`, row-major.
pub fn host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().into_vec().unwrap_or_default()
}

/// The numbers of an integer tensor, row-major.
pub fn host_int<B: Backend, const D: usize>(tensor: Tensor<B, D, Int>) -> Vec<f64> {
    let numbers = tensor.into_data().convert::<i64>().into_vec::<i64>().unwrap_or_default();
    numbers.into_iter().map(|number| number as f64).collect()
}

/// The number that follows `prefix` in `name`, if nothing else does.
pub fn number(name: &str, prefix: &str) -> Option<usize> {
    name.strip_prefix(prefix)?.parse().ok()
}

/// An error about a file of the directory.
pub fn invalid(path: &Path, problem: impl Into<String>) -> Error {
    Error::file(path, problem, "copy the parity directory again")
}
