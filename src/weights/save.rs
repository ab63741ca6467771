//! Saves a module's parameters as a checkpoint folder under the official keys.

use super::checkpoint::{CheckpointInfo, write_checkpoint};
use super::hash::WeightsHasher;
use super::keys::{Naming, ParamLayout, columns, layout, transpose};
use super::schema::{WeightKey, keys};
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
    keys.retain(|key| key.is_present(&info.absent));
    let exported = ExportedTensors::of(model);
    write_checkpoint(folder, info, &keys, |name| exported.read(name))
}

/// The hash [`weights_hash`](super::weights_hash) gives for `model` once it is saved.
///
/// # Errors
/// See [`save`].
pub fn model_hash<B: Backend, M: Module<B>>(model: &M, info: &CheckpointInfo) -> Result<String> {
    let exported = ExportedTensors::of(model);
    let mut keys: Vec<WeightKey> = keys(&info.model, info.part).into_iter().filter(WeightKey::is_learned).collect();
    keys.retain(|key| key.is_present(&info.absent));
    keys.sort_by(|a, b| a.outline.name.cmp(&b.outline.name));
    let mut hash = WeightsHasher::default();
    for key in keys {
        hash.add(&key.outline.name, &key.outline.shape, &exported.read(&key.outline.name)?);
    }
    Ok(hash.finish())
}

/// Reads part `usize` of a parameter as the layout has it.
type Reader = Box<dyn Fn(&ParamLayout, usize) -> Result<Vec<f32>>>;

/// A module's parameters by official key; nothing is copied before it is read.
pub struct ExportedTensors {
    readers: Vec<Reader>,
    /// Per key the reader, the layout and the part of it.
    keys: BTreeMap<String, (usize, ParamLayout, usize)>,
}

impl ExportedTensors {
    /// The parameters of `model` that have official keys.
    pub fn of<B: Backend, M: Module<B>>(model: &M) -> Self {
        let mut exporter = Exporter { path: Vec::new(), found: Vec::new() };
        model.visit(&mut exporter);
        let naming = Naming::of_paths(exporter.found.iter().map(|(path, _)| path.as_str()));
        let mut exported = Self { readers: Vec::new(), keys: BTreeMap::new() };
        for (path, reader) in exporter.found {
            let Some(layout) = layout(&path, naming) else { continue };
            for (part, key) in layout.keys().iter().enumerate() {
                exported.keys.insert(key.clone(), (exported.readers.len(), layout.clone(), part));
            }
            exported.readers.push(reader);
        }
        exported
    }

    /// Their official keys, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// The values of the parameter with official key `name`, in PyTorch's order.
    ///
    /// # Errors
    /// There is none, or it cannot be read back from the device.
    pub fn read(&self, name: &str) -> Result<Vec<f32>> {
        let missing = || Error::setting(name, "the model has no such parameter", "describe the model as it is");
        let (reader, layout, part) = self.keys.get(name).ok_or_else(missing)?;
        self.readers[*reader](layout, *part)
    }
}

struct Exporter {
    path: Vec<String>,
    found: Vec<(String, Reader)>,
}

impl<B: Backend> ModuleVisitor<B> for Exporter {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let tensor = param.val();
        let reader = move |layout: &ParamLayout, part: usize| {
            let rows = tensor.dims().first().copied().unwrap_or(1);
            let values = host(tensor.clone())?;
            Ok(match layout {
                ParamLayout::Same(_) => values,
                ParamLayout::Transposed(_) => transpose(&values, rows),
                ParamLayout::Columns(keys) => transpose(&columns(&values, rows, part, keys.len()), rows),
            })
        };
        self.found.push((self.path.join("."), Box::new(reader)));
    }
}

fn host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Result<Vec<f32>> {
    let problem = |problem: &dyn std::fmt::Debug| {
        Error::backend("device", format!("a parameter could not be read back ({problem:?})"), "free some memory")
    };
    let data = tensor.try_into_data().map_err(|error| problem(&error))?;
    data.convert::<f32>().into_vec().map_err(|error| problem(&error))
}

#[cfg(test)]
mod tests {
    use super::super::infer::model_config;
    use super::super::{Checkpoint, CheckpointPart, MatchOptions, WeightSource, load, weights_hash};
    use super::*;
    use crate::config::ModelConfig;
    use crate::model::Svitt;
    use svitt_ops::SvittBackend;

    fn micro() -> (WeightSource, ModelConfig) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity/checkpoint_micro_full.pth");
        let source = WeightSource::open(path).unwrap();
        let config = model_config(&source, None).unwrap();
        (source, config)
    }

    fn described(model: ModelConfig, part: CheckpointPart) -> CheckpointInfo {
        CheckpointInfo { model, part, absent: vec![], vocabulary: None, curriculum: None, origin: "a test".into() }
    }

    /// An official checkpoint goes into a model and out again without a changed bit.
    fn round_trip<B: SvittBackend>() {
        let (device, folder) = (B::Device::default(), tempfile::tempdir().unwrap());
        let (source, config) = micro();
        let fresh = Svitt::<B>::new(&config, 1, &device).unwrap();
        let before = (fresh.temp.id, fresh.video.layers[1].qkv.id);
        let (model, report) =
            load(fresh, &source, &config, CheckpointPart::Pretraining, &MatchOptions::default()).unwrap();
        assert!(report.is_complete() && report.unused.is_empty());
        assert_eq!((model.temp.id, model.video.layers[1].qkv.id), before);
        let exported = ExportedTensors::of(&model);
        assert!(exported.names().eq(source.names()), "every key has a parameter and the other way round");
        for name in exported.names() {
            let (ours, theirs) = (exported.read(name).unwrap(), source.read(name).unwrap().values);
            assert!(ours.iter().map(|v| v.to_bits()).eq(theirs.iter().map(|v| v.to_bits())), "{name}");
        }
        let info = described(config.clone(), CheckpointPart::Pretraining);
        let hash = save(&model, folder.path(), &info).unwrap();
        assert_eq!((&hash, &hash), (&weights_hash(&source), &model_hash(&model, &info).unwrap()));
        let saved = Checkpoint::open(folder.path()).unwrap();
        let other = Svitt::<B>::new(&saved.info.model, 2, &device).unwrap();
        let (other, _) = saved.load(other, &saved.info.model, &MatchOptions::default()).unwrap();
        assert_eq!(model_hash(&other, &info).unwrap(), hash);
    }

    #[test]
    #[cfg(feature = "ndarray")]
    fn weights_survive_a_round_trip_on_ndarray() {
        round_trip::<burn_ndarray::NdArray>();
    }

    #[test]
    #[cfg(feature = "flex")]
    fn weights_survive_a_round_trip_on_flex() {
        round_trip::<burn_flex::Flex>();
    }

    #[test]
    #[cfg(feature = "ndarray")]
    fn one_encoder_can_be_saved_and_put_into_a_longer_model() {
        type B = burn::backend::Autodiff<burn_ndarray::NdArray>;
        let (device, folder) = (Default::default(), tempfile::tempdir().unwrap());
        let (source, mut config) = micro();
        let model = Svitt::<B>::new(&config, 1, &device).unwrap();
        let (model, _) = load(model, &source, &config, CheckpointPart::Pretraining, &MatchOptions::default()).unwrap();
        save(&model, folder.path(), &described(config.clone(), CheckpointPart::Video)).unwrap();
        config.video.frames = 7;
        let fresh = Svitt::<B>::new(&config, 5, &device).unwrap();
        let text = fresh.text.embeddings.word.weight.val().into_data();
        let saved = Checkpoint::open(folder.path()).unwrap();
        let options = MatchOptions { convert_tables: true, ..MatchOptions::default() };
        let (longer, report) = saved.load(fresh, &config, &options).unwrap();
        assert_eq!(report.converted.len(), 2);
        assert!(
            longer.video.layers[0].qkv.is_require_grad()
                && longer.video.layers[0].position_table.as_ref().unwrap().is_require_grad()
        );
        assert_eq!(longer.text.embeddings.word.weight.val().into_data(), text, "the other encoder is as it was");
        let (ours, theirs) = (longer.video.layers[1].lambda_2.as_ref(), model.video.layers[1].lambda_2.as_ref());
        assert_eq!(ours.unwrap().val().into_data(), theirs.unwrap().val().into_data());
    }
}
