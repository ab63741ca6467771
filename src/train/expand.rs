//! Weights on their way: scaled for a small model trained from scratch, and taken to the next clip length.

use crate::backend::SvittBackend;
use crate::config::ModelConfig;
use crate::model::Svitt;
use crate::rng::{Rng, text_key};
use crate::weights::position::{TableResampler, TableShape};
use crate::{Error, Result};
use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};
use std::collections::HashMap;

/// The field that holds a layer's relative position table.
const TABLE: &str = "position_table";

/// The model of `to` with the weights of `from`, whose configuration was `before`; position tables are resampled
/// (SPEC §2).
///
/// # Errors
/// `to` differs from `before` in more than frames and sparsity.
pub fn expand<B: SvittBackend>(from: &Svitt<B>, before: &ModelConfig, to: &ModelConfig) -> Result<Svitt<B>> {
    let device = from.devices().into_iter().next().unwrap_or_default();
    let shape = |config: &ModelConfig| TableShape { frames: config.video.frames, grid: config.video.grid() };
    let resampler = TableResampler::new(shape(before), shape(to))?;
    let mut collect = Collect { path: Vec::new(), tensors: HashMap::new() };
    from.visit(&mut collect);
    let mut place = Place { path: Vec::new(), tensors: collect.tensors, resampler, device: &device, wrong: None };
    let model = Svitt::new(to, 0, &device)?.map(&mut place);
    match place.wrong {
        None => Ok(model),
        Some(error) => Err(error),
    }
}

struct Collect {
    path: Vec<String>,
    tensors: HashMap<String, TensorData>,
}

impl<B: Backend> ModuleVisitor<B> for Collect {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.tensors.insert(self.path.join("."), param.val().into_data());
    }
}

struct Place<'a, B: Backend> {
    path: Vec<String>,
    tensors: HashMap<String, TensorData>,
    resampler: TableResampler,
    device: &'a B::Device,
    wrong: Option<Error>,
}

impl<B: Backend> Place<'_, B> {
    fn value(&mut self, shape: Vec<usize>) -> Result<TensorData> {
        let name = self.path.join(".");
        let problem =
            |what: &str| Error::setting("stages", format!("`{name}` {what}"), "keep all sizes but the frames");
        let data = self.tensors.remove(&name).ok_or_else(|| problem("is new in this stage"))?;
        let data = match (name.ends_with(TABLE), data.shape.as_slice()) {
            (true, &[_, heads]) => {
                let table = data.convert::<f32>().to_vec::<f32>().map_err(|_| problem("is not f32"))?;
                TensorData::new(self.resampler.resample(&table, heads)?, shape.clone())
            }
            _ => data,
        };
        if data.shape.as_slice() == shape { Ok(data) } else { Err(problem("has another shape in this stage")) }
    }
}

impl<B: Backend> ModuleMapper<B> for Place<'_, B> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let tensor = match self.value(tensor.dims().to_vec()) {
            Ok(data) => Tensor::from_data(data, self.device),
            Err(error) => {
                self.wrong.get_or_insert(error);
                tensor
            }
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// `module` with every parameter a leaf that gradients are computed for. Weights that were mapped on a backend without
/// gradients, as loaded, converted and scaled ones are, have lost that mark.
pub fn trainable<B: AutodiffBackend, M: AutodiffModule<B>>(module: M) -> M {
    module.map(&mut Leaves)
}

struct Leaves;

impl<B: AutodiffBackend> ModuleMapper<B> for Leaves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, Tensor::from_inner(tensor.inner()).require_grad(), mapper)
    }
}

/// How fresh weights differ from the published initialisation, which is meant for a width of 768 and for pretrained
/// encoders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FreshStart {
    /// What every weight matrix is multiplied with.
    pub gain: f64,
    /// Standard deviation of the position tables.
    pub position_std: f64,
}

/// Applies `start` to fresh weights; the tables are drawn under `seed`.
pub fn fresh_start<B: SvittBackend>(model: Svitt<B>, start: FreshStart, seed: u64) -> Svitt<B> {
    model.map(&mut Fresh { path: Vec::new(), start, seed })
}

struct Fresh {
    path: Vec<String>,
    start: FreshStart,
    seed: u64,
}

impl<B: Backend> ModuleMapper<B> for Fresh {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let (start, device, shape) = (self.start, tensor.device(), tensor.dims());
        let tensor = if self.path.last().is_some_and(|name| name == TABLE) {
            let mut rng = Rng::new(self.seed, &[text_key(&self.path.join("."))]);
            let values = (0..shape.iter().product()).map(|_| (start.position_std * rng.normal()) as f32);
            Tensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), shape), &device)
        } else if D > 1 {
            tensor.mul_scalar(start.gain)
        } else {
            tensor
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}
