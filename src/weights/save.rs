//! A module's parameters become a checkpoint folder under the official keys.

use super::checkpoint::{CheckpointInfo, write_checkpoint};
use super::hash::WeightsHasher;
use super::keys::{Layout, columns, layout, transpose};
use super::schema::{Key, keys};
use crate::{Error, Result};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, backend::Backend};
use std::collections::BTreeMap;
use std::path::Path;

/// Saves `model` into `folder`, described by `info`: `model.safetensors` under the official keys, with copies of tied
/// parameters and `position_ids`, so that PyTorch loads it strictly once the `relative_position_index` buffers are
/// rebuilt, and `config.json`. One tensor at a time is copied to the host. Returns the hash of the weights.
///
/// # Errors
/// A parameter that `info` says the model has is not there, or a failed write; nothing is left behind then.
pub fn save<B: Backend, M: Module<B>>(model: &M, folder: &Path, info: &CheckpointInfo) -> Result<String> {
    let mut keys = keys(&info.model, info.part);
    let absent = |name: &str| info.absent.iter().any(|absent| absent == name);
    keys.retain(|key| !absent(&key.outline.name) && !key.tied.as_deref().is_some_and(absent));
    let exported = ExportedTensors::of(model);
    write_checkpoint(folder, info, &keys, |name| exported.read(name))
}

/// The hash [`weights_hash`](super::weights_hash) gives for `model` once it is saved.
///
/// # Errors
/// See [`save`].
pub fn model_hash<B: Backend, M: Module<B>>(model: &M, info: &CheckpointInfo) -> Result<String> {
    let exported = ExportedTensors::of(model);
    let mut keys: Vec<Key> = keys(&info.model, info.part).into_iter().filter(Key::is_learned).collect();
    keys.retain(|key| !info.absent.contains(&key.outline.name));
    keys.sort_by(|a, b| a.outline.name.cmp(&b.outline.name));
    let mut hash = WeightsHasher::default();
    for key in keys {
        hash.add(&key.outline.name, &key.outline.shape, &exported.read(&key.outline.name)?);
    }
    Ok(hash.finish())
}

type Reader = Box<dyn Fn() -> Result<Vec<f32>>>;

/// A module's parameters by official key; nothing is copied before it is read.
pub struct ExportedTensors {
    readers: BTreeMap<String, Reader>,
}

impl ExportedTensors {
    /// The parameters of `model` that have official keys.
    pub fn of<B: Backend, M: Module<B>>(model: &M) -> Self {
        let mut exporter = Exporter { path: Vec::new(), readers: BTreeMap::new() };
        model.visit(&mut exporter);
        Self { readers: exporter.readers }
    }

    /// Their official keys, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.readers.keys().map(String::as_str)
    }

    /// The values of the parameter with official key `name`, in PyTorch's order.
    ///
    /// # Errors
    /// There is none, or it cannot be read back from the device.
    pub fn read(&self, name: &str) -> Result<Vec<f32>> {
        let missing = || Error::setting(name, "the model has no such parameter", "describe the model as it is");
        self.readers.get(name).ok_or_else(missing)?()
    }
}

struct Exporter {
    path: Vec<String>,
    readers: BTreeMap<String, Reader>,
}

impl<B: Backend> ModuleVisitor<B> for Exporter {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let Some(layout) = layout(&self.path.join(".")) else { return };
        let parts = layout.keys().len();
        for (part, key) in layout.keys().iter().enumerate() {
            let (tensor, layout) = (param.val(), layout.clone());
            let reader = move || {
                let rows = tensor.dims().first().copied().unwrap_or(1);
                let values = host(tensor.clone())?;
                Ok(match layout {
                    Layout::Same(_) => values,
                    Layout::Transposed(_) => transpose(&values, rows),
                    Layout::Columns(_) => transpose(&columns(&values, rows, part, parts), rows),
                })
            };
            self.readers.insert(key.clone(), Box::new(reader));
        }
    }
}

fn host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Result<Vec<f32>> {
    let problem = |problem: &dyn std::fmt::Debug| {
        Error::backend("device", format!("a parameter could not be read back ({problem:?})"), "free some memory")
    };
    let data = tensor.try_into_data().map_err(|error| problem(&error))?;
    data.convert::<f32>().into_vec().map_err(|error| problem(&error))
}
