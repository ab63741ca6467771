//! Weight conversion between stages, and scaled initialisation for small models trained from scratch.

use crate::config::{ModelConfig, TableGrowth};
use crate::model::Svitt;
use crate::weights::position_tables::{TableResampler, TableShape};
use crate::{Error, Result};
use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};
use std::collections::HashMap;
use svitt_ops::SvittBackend;

/// The field that holds a layer's relative position table.
const TABLE: &str = "position_table";

/// Rows of a table that belong to the class token; they stand last.
const CLASS_ROWS: usize = 3;

/// Deviation of the published initial weights: .02, cut at two deviations.
const DEVIATION: f64 = 0.0176;

/// Lower bound of initial biases, so that distant patches can still be learned.
const FAR: f64 = 8.0;

/// The model of `to` with the weights of `from`, whose configuration was `before`; position tables are resampled
/// (docs/model.md, "Position tables").
///
/// # Errors
/// `to` differs from `before` in more than frames and sparsity.
pub fn expand<B: SvittBackend>(
    from: &Svitt<B>,
    before: &ModelConfig,
    to: &ModelConfig,
    growth: TableGrowth,
) -> Result<Svitt<B>> {
    let device = from.devices().into_iter().next().unwrap_or_default();
    let shape =
        |config: &ModelConfig| TableShape { frames: config.video.frames_per_sequence(), grid: config.video.grid() };
    let tables = match growth {
        TableGrowth::Rescale => TableConversion::Rescale(TableResampler::new(shape(before), shape(to))?),
        TableGrowth::Extend => TableConversion::Extend([before, to].map(|config| config.video.frames_per_sequence())),
    };
    let mut collect = Collect { path: Vec::new(), tensors: HashMap::new() };
    from.visit(&mut collect);
    let mut place = ExpandMapper { path: Vec::new(), tensors: collect.tensors, tables, device: &device, wrong: None };
    let model = Svitt::new(to, 0, &device)?.map(&mut place);
    match place.wrong {
        None => Ok(model),
        Some(error) => Err(error),
    }
}

/// How tables are converted.
enum TableConversion {
    Rescale(TableResampler),
    /// Frames before and after.
    Extend([usize; 2]),
}

impl TableConversion {
    fn converted(&self, table: &[f32], heads: usize) -> Result<Vec<f32>> {
        match self {
            Self::Rescale(resampler) => resampler.resample(table, heads),
            Self::Extend(frames) => Ok(extended(table, heads, *frames)),
        }
    }
}

/// `table` `[(2·before − 1)·area + 3, heads]` for clips of `after` frames: every known time offset keeps its rows.
fn extended(table: &[f32], heads: usize, [before, after]: [usize; 2]) -> Vec<f32> {
    let class = table.len() - CLASS_ROWS * heads;
    let area = class / (2 * before - 1);
    let reach = before as i64 - 1;
    let offsets = (1 - after as i64)..(after as i64);
    let rows = offsets.flat_map(|dt| {
        let source = (dt.clamp(-reach, reach) + reach) as usize;
        &table[source * area..(source + 1) * area]
    });
    rows.chain(&table[class..]).copied().collect()
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

struct ExpandMapper<'a, B: Backend> {
    path: Vec<String>,
    tensors: HashMap<String, TensorData>,
    tables: TableConversion,
    device: &'a B::Device,
    wrong: Option<Error>,
}

impl<B: Backend> ExpandMapper<'_, B> {
    fn value(&mut self, shape: Vec<usize>) -> Result<TensorData> {
        let name = self.path.join(".");
        let problem =
            |what: &str| Error::setting("stages", format!("`{name}` {what}"), "keep all sizes but the frames");
        let data = self.tensors.remove(&name).ok_or_else(|| problem("is new in this stage"))?;
        let data = match (name.ends_with(TABLE), data.shape.as_slice()) {
            (true, &[_, heads]) => {
                let table = data.convert::<f32>().to_vec::<f32>().map_err(|_| problem("is not f32"))?;
                TensorData::new(self.tables.converted(&table, heads)?, shape.clone())
            }
            _ => data,
        };
        if data.shape.as_slice() == shape { Ok(data) } else { Err(problem("has another shape in this stage")) }
    }
}

impl<B: Backend> ModuleMapper<B> for ExpandMapper<'_, B> {
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

/// `module` with every parameter a leaf that requires gradients. Parameters mapped on a backend without autodiff
/// (loaded, converted, scaled) have lost `require_grad`.
pub fn trainable<B: AutodiffBackend, M: AutodiffModule<B>>(module: M) -> M {
    module.map(&mut RequireGradMapper)
}

struct RequireGradMapper;

impl<B: AutodiffBackend> ModuleMapper<B> for RequireGradMapper {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, Tensor::from_inner(tensor.inner()).require_grad(), mapper)
    }
}

/// How fresh weights differ from the published initialisation, which is meant for a width of 768 and for pretrained
/// encoders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InitOverrides {
    /// Deviation of weight matrices times the root of their inputs; none: as published.
    pub gain: Option<f64>,
    /// How fast a head's bias falls with the squared distance from the neighbour it looks at; 0: all tables are 0.
    pub sharpness: f64,
}

/// Applies `start` to the fresh weights of a model of sizes `config`.
pub fn apply_init_overrides<B: SvittBackend>(model: Svitt<B>, start: InitOverrides, config: &ModelConfig) -> Svitt<B> {
    model.map(&mut InitMapper { path: Vec::new(), start, frames: config.video.frames, grid: config.video.grid() })
}

/// Initial table `[rows, heads]`: head h of layer l attends to one spatial neighbour in the next or previous frame,
/// like a convolution, so that motion is visible from the first step. Heads cycle through four neighbours; the time
/// direction alternates every four heads and every layer.
fn local_table(layer: usize, heads: usize, frames: usize, grid: usize, sharpness: f64) -> Vec<f32> {
    const NEIGHBOURS: [[f64; 2]; 4] = [[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0]];
    let (side, depth) = (2 * grid - 1, 2 * frames - 1);
    let centre = [frames, grid, grid].map(|size| size as f64 - 1.0);
    let bias = |row: usize, head: usize| {
        let next = if (layer + head / NEIGHBOURS.len()).is_multiple_of(2) { 1.0 } else { -1.0 };
        let at = [row / (side * side), row / side % side, row % side];
        let [t, y, x] = [0, 1, 2].map(|axis| centre[axis] - at[axis] as f64);
        let [dy, dx] = NEIGHBOURS[head % NEIGHBOURS.len()];
        let distance = (t - next).powi(2) + (y - dy).powi(2) + (x - dx).powi(2);
        -(sharpness * distance).min(FAR)
    };
    let patches = (0..depth * side * side).flat_map(|row| (0..heads).map(move |head| (row, head)));
    let class = [0.0, -2.0 * sharpness, 0.0].into_iter().flat_map(|value| vec![value; heads]);
    patches.map(|(row, head)| bias(row, head)).chain(class).map(|value| value as f32).collect()
}

struct InitMapper {
    path: Vec<String>,
    start: InitOverrides,
    frames: usize,
    grid: usize,
}

impl<B: Backend> ModuleMapper<B> for InitMapper {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let (start, device, shape) = (self.start, tensor.device(), tensor.dims());
        let is_table = self.path.last().is_some_and(|name| name == TABLE);
        let tensor = if is_table && start.sharpness > 0.0 {
            let layer = self.path.iter().rev().find_map(|name| name.parse().ok()).unwrap_or(0);
            let values = local_table(layer, shape[D - 1], self.frames, self.grid, start.sharpness);
            Tensor::from_data(TensorData::new(values, shape), &device)
        } else if D == 2 && self.is_matrix() {
            let gain = start.gain.map_or(1.0, |gain| gain / (DEVIATION * (shape[0] as f64).sqrt()));
            tensor.mul_scalar(gain)
        } else {
            tensor
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

impl InitMapper {
    /// Weights that multiply features, in contrast to tables of embeddings.
    fn is_matrix(&self) -> bool {
        let within = |name: &str| self.path.iter().any(|part| part == name);
        !within("embeddings") || within("projection")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_tables_keep_the_meaning_of_offsets() {
        // two frames, area 3, one head: offsets -1, 0, 1, then the class rows
        let table = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
        let long = extended(&table, 1, [2, 3]);
        let expected = [1., 2., 3., 1., 2., 3., 4., 5., 6., 7., 8., 9., 7., 8., 9., 10., 11., 12.];
        assert_eq!(long, expected);
        assert_eq!(extended(&table, 1, [2, 2]), table);
    }

    /// Row of (query − key) offsets: the key a head prefers lies one frame on and one patch beside the query.
    #[test]
    fn a_local_head_prefers_its_neighbour() {
        let (frames, grid, heads) = (3, 4, 8);
        let table = local_table(0, heads, frames, grid, 1.5);
        assert_eq!(table.len(), (5 * 49 + CLASS_ROWS) * heads);
        let row = |dt: i64, dy: i64, dx: i64| (((dt + 2) * 7 + dy + 3) * 7 + dx + 3) as usize;
        for (head, [dy, dx]) in [[0, 1], [0, -1], [1, 0], [-1, 0]].into_iter().enumerate() {
            let key = row(-1, -dy, -dx);
            assert_eq!(table[key * heads + head], 0.0, "query minus key is minus the neighbour's direction");
            assert_eq!(table[row(1, -dy, -dx) * heads + head + 4], 0.0, "the other four heads look back");
            assert_eq!(table[row(0, 0, 0) * heads + head], -3.0);
        }
    }
}
