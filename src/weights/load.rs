//! A checkpoint's tensors go into the parameters of a module.

use super::checkpoint::Checkpoint;
use super::key_matching::{MatchOptions, MatchedWeights};
use super::keys::{Naming, ParamLayout, concat_columns, layout, transpose};
use super::report::LoadReport;
use super::schema::{CheckpointPart, keys};
use super::source::WeightSource;
use crate::config::ModelConfig;
use crate::{Error, Result};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use std::collections::BTreeSet;

/// Puts `part` of the weights in `source` into `model`, whose sizes are `config`. Parameters outside `part` and keys
/// that may be missing keep their values; parameters keep their ids. One tensor at a time is on the host beside the
/// model.
///
/// # Errors
/// Keys that are missing without permission or have another shape, tables for another clip length that were not to be
/// converted, or a model without a parameter for one of the keys.
pub fn load<B: Backend, M: Module<B>>(
    model: M,
    source: &WeightSource,
    config: &ModelConfig,
    part: CheckpointPart,
    options: &MatchOptions,
) -> Result<(M, LoadReport)> {
    let keys = keys(config, part);
    let matched = MatchedWeights::new(source, &keys, &config.video, options)?.complete()?;
    let wanted: BTreeSet<String> = matched.report.applied.iter().cloned().collect();
    let naming = Naming::of(&config.video);
    let mut loader = LoadMapper { matched: &matched, naming, path: Vec::new(), wanted, failed: None };
    let model = model.map(&mut loader);
    let (failed, left) = (loader.failed, loader.wanted);
    if let Some(error) = failed {
        return Err(error);
    }
    match left.first() {
        None => Ok((model, matched.report)),
        Some(name) => {
            let problem = format!("the model has no parameter for its tensor `{name}`");
            Err(Error::file(source.path(), problem, "load it into a model of the kind it was saved from"))
        }
    }
}

/// Parameters that a checkpoint may leave out: 1 GB, more than the largest published model has in all.
const MOST_ABSENT: usize = 256 << 20;

impl Checkpoint {
    /// Checks that the weights have the sizes of `config`, before a model of these sizes is made: a description may claim
    /// a model of terabytes.
    ///
    /// # Errors
    /// See [`load`]; and more parameters that are left out than a model has.
    pub(super) fn check_sizes(&self, config: &ModelConfig, options: &MatchOptions) -> Result<()> {
        let mut options = options.clone();
        options.allow_missing.extend(self.info.absent.iter().cloned());
        let keys = keys(config, self.info.part);
        let report = MatchedWeights::new(&self.weights, &keys, &config.video, &options)?.complete()?.report;
        let applied: BTreeSet<&str> = report.applied.iter().map(String::as_str).collect();
        let absent = keys.iter().filter(|key| key.is_learned() && !applied.contains(key.outline.name.as_str()));
        let elements = |shape: &[usize]| shape.iter().fold(1, |product: usize, size| product.saturating_mul(*size));
        let absent = absent.map(|key| elements(&key.outline.shape)).fold(0, usize::saturating_add);
        if absent <= MOST_ABSENT {
            return Ok(());
        }
        let problem = format!("lacks {absent} of the numbers of its model, of {MOST_ABSENT} that may be left out");
        Err(Error::file(self.weights.path(), problem, "give a checkpoint with all its weights"))
    }

    /// Puts the weights into `model`, which was made from `config`: the checkpoint's own model configuration, or that
    /// with other frames (then with [`MatchOptions::convert_tables`]). What the checkpoint leaves out may be missing.
    ///
    /// # Errors
    /// See [`load`].
    pub fn load<B: Backend, M: Module<B>>(
        &self,
        model: M,
        config: &ModelConfig,
        options: &MatchOptions,
    ) -> Result<(M, LoadReport)> {
        let mut options = options.clone();
        options.allow_missing.extend(self.info.absent.iter().cloned());
        load(model, &self.weights, config, self.info.part, &options)
    }
}

struct LoadMapper<'a> {
    matched: &'a MatchedWeights<'a>,
    naming: Naming,
    path: Vec<String>,
    /// Keys that no parameter has taken yet.
    wanted: BTreeSet<String>,
    failed: Option<Error>,
}

impl LoadMapper<'_> {
    /// The values of the parameter at the present path, of shape `shape`; none if they stay as they are.
    fn values(&mut self, shape: &[usize]) -> Result<Option<Vec<f32>>> {
        let Some(layout) = layout(&self.path.join("."), self.naming) else { return Ok(None) };
        if !layout.keys().iter().all(|key| self.wanted.contains(key)) {
            return Ok(None);
        }
        let mut parts = Vec::new();
        for key in layout.keys() {
            self.wanted.remove(key);
            parts.push(self.matched.values(key)?.unwrap_or_default());
        }
        let rows = shape.first().copied().unwrap_or(1);
        let columns = shape.iter().product::<usize>() / rows.max(1) / parts.len();
        let values = match layout {
            ParamLayout::Same(_) => parts.swap_remove(0),
            ParamLayout::Transposed(_) => transpose(&parts[0], columns),
            ParamLayout::Columns(_) => {
                let turned: Vec<Vec<f32>> = parts.iter().map(|part| transpose(part, columns)).collect();
                concat_columns(&turned, rows)
            }
        };
        if values.len() == shape.iter().product::<usize>() {
            return Ok(Some(values));
        }
        let problem = format!("{} values do not fill the shape {shape:?}", values.len());
        Err(Error::setting(self.path.join("."), problem, "make the model from the checkpoint's own configuration"))
    }
}

impl<B: Backend> ModuleMapper<B> for LoadMapper<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let shape = param.lazy_shape();
        let values = match self.values(shape.as_slice()) {
            Ok(Some(values)) if self.failed.is_none() => values,
            Ok(_) => return param,
            Err(error) => {
                self.failed.get_or_insert(error);
                return param;
            }
        };
        param.map(|old| {
            let (device, trained) = (old.device(), old.is_require_grad());
            drop(old);
            Tensor::from_data(TensorData::new(values, shape), &device).set_require_grad(trained)
        })
    }
}
