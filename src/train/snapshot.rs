//! A module's tensors by path, bit for bit, and the optimizer's moments: the files of a step checkpoint. They are not
//! meant to outlive a run (portable weights are written by [`crate::weights`]).

use super::optimizer::{AdamWState, Moments};
use super::{NonFiniteCheck, SkippedSteps};
use crate::{Error, Result, input};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::fs;
use std::path::Path;

/// Bytes of one tensor file: twenty times what the largest preset's optimizer takes.
const LARGEST: u64 = 64 << 30;

/// Names and f32 values of all float parameters of `module`, in visiting order.
pub fn tensors<B: Backend, M: Module<B>>(module: &M) -> Vec<(String, TensorData)> {
    let mut collect = Collect { path: Vec::new(), tensors: Vec::new() };
    module.visit(&mut collect);
    collect.tensors
}

/// `module` with every float parameter replaced by the tensor of its name in `file`.
///
/// # Errors
/// The file cannot be read, or lacks a parameter, or holds it in another shape.
pub fn restore<B: Backend, M: Module<B>>(module: M, file: &Path, device: &B::Device) -> Result<M> {
    restore_from(module, file, &input::read(file, LARGEST)?, device)
}

/// The same from the bytes of `file`.
///
/// # Errors
/// As [`restore`].
pub fn restore_from<B: Backend, M: Module<B>>(module: M, file: &Path, bytes: &[u8], device: &B::Device) -> Result<M> {
    let stored = parse(file, bytes)?;
    let mut restore = Restore::<B> { path: Vec::new(), stored: &stored, device, wrong: None };
    let module = module.map(&mut restore);
    match restore.wrong {
        None => Ok(module),
        Some(problem) => Err(damaged(file, &problem)),
    }
}

/// Writes `tensors` to `file` and waits until they are on the disk.
///
/// # Errors
/// The disk is full or the folder cannot be written.
pub fn write(file: &Path, tensors: &[(String, TensorData)]) -> Result<()> {
    safetensors::serialize_to_file(views(file, tensors)?, None, file).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(e) => Error::io(file, &e),
        other => Error::file(file, other.to_string(), "free some space or choose another folder"),
    })?;
    fs::File::open(file).and_then(|f| f.sync_all()).map_err(|e| Error::io(file, &e))
}

/// What [`write`] would write.
///
/// # Errors
/// None for tensors of a module.
pub fn to_bytes(tensors: &[(String, TensorData)]) -> Result<Vec<u8>> {
    safetensors::serialize(views(Path::new("message"), tensors)?, None).map_err(|e| Error::Fault(e.to_string()))
}

fn views<'a>(file: &Path, tensors: &'a [(String, TensorData)]) -> Result<Vec<(&'a str, TensorView<'a>)>> {
    let view = |(name, data): &'a (String, TensorData)| {
        let view = TensorView::new(Dtype::F32, data.shape.to_vec(), data.as_bytes())
            .map_err(|e| Error::file(file, format!("cannot hold `{name}`: {e}"), "report this as a bug"))?;
        Ok((name.as_str(), view))
    };
    tensors.iter().map(view).collect()
}

/// The optimizer's state under the names of `module`'s parameters.
pub fn optimizer_tensors<B: Backend, M: Module<B>>(module: &M, state: &AdamWState<B>) -> Vec<(String, TensorData)> {
    let corrections = Tensor::cat(state.corrections.to_vec(), 0).into_data();
    let mut all = vec![("corrections".to_string(), corrections)];
    for ((name, _), moments) in tensors(module).into_iter().zip(&state.moments) {
        if let Some(Moments { first, second }) = moments {
            all.push((format!("{name}.first"), first.to_data()));
            all.push((format!("{name}.second"), second.to_data()));
        }
    }
    all
}

/// Reads back what [`optimizer_tensors`] gave, for a module of the same structure.
///
/// # Errors
/// The file cannot be read or is damaged.
pub fn read_optimizer<B: Backend, M: Module<B>>(
    module: &M,
    file: &Path,
    (steps, skipped): (usize, SkippedSteps),
    device: &B::Device,
) -> Result<AdamWState<B>> {
    read_optimizer_from(module, file, &input::read(file, LARGEST)?, (steps, skipped), device)
}

/// The same from the bytes of `file`.
///
/// # Errors
/// As [`read_optimizer`].
pub fn read_optimizer_from<B: Backend, M: Module<B>>(
    module: &M,
    file: &Path,
    bytes: &[u8],
    (steps, skipped): (usize, SkippedSteps),
    device: &B::Device,
) -> Result<AdamWState<B>> {
    let stored = parse(file, bytes)?;
    let vector = |name: &str| -> Option<Tensor<B, 1>> {
        let values = floats(&stored.tensor(name).ok()?)?;
        let length = values.len();
        Some(Tensor::from_data(TensorData::new(values, [length]), device))
    };
    let both = vector("corrections").ok_or_else(|| damaged(file, "`corrections` is missing"))?;
    let moments = |(name, _): (String, TensorData)| {
        let (first, second) = (vector(&format!("{name}.first"))?, vector(&format!("{name}.second"))?);
        Some(Moments { first, second })
    };
    Ok(AdamWState {
        moments: tensors(module).into_iter().map(moments).collect(),
        corrections: [both.clone().narrow(0, 0, 1), both.narrow(0, 1, 1)],
        nonfinite: NonFiniteCheck::resume(steps, skipped, device),
    })
}

fn parse<'a>(file: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|error| damaged(file, &error.to_string()))
}

fn damaged(file: &Path, problem: &str) -> Error {
    Error::file(file, format!("is no usable checkpoint: {problem}"), "start afresh without option `resume`")
}

fn floats(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let float = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    (view.dtype() == Dtype::F32).then(|| view.data().chunks_exact(4).map(float).collect())
}

struct Collect {
    path: Vec<String>,
    tensors: Vec<(String, TensorData)>,
}

impl<B: Backend> ModuleVisitor<B> for Collect {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.tensors.push((self.path.join("."), param.val().into_data().convert::<f32>()));
    }
}

struct Restore<'a, B: Backend> {
    path: Vec<String>,
    stored: &'a SafeTensors<'a>,
    device: &'a B::Device,
    wrong: Option<String>,
}

impl<B: Backend> Restore<'_, B> {
    fn stored<const D: usize>(&self, shape: [usize; D]) -> std::result::Result<Tensor<B, D>, String> {
        let name = self.path.join(".");
        let view = self.stored.tensor(&name).map_err(|_| format!("`{name}` is missing"))?;
        if view.shape() != shape {
            return Err(format!("`{name}` is {:?} there and {shape:?} here", view.shape()));
        }
        let values = floats(&view).ok_or_else(|| format!("`{name}` is not f32"))?;
        Ok(Tensor::from_data(TensorData::new(values, shape), self.device))
    }
}

impl<B: Backend> ModuleMapper<B> for Restore<'_, B> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let tracked = tensor.is_require_grad();
        let tensor = match self.stored(tensor.dims()) {
            Ok(stored) => stored.set_require_grad(tracked),
            Err(problem) => {
                self.wrong.get_or_insert(problem);
                tensor
            }
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}
