//! Shared state of the checks: settings, tensors, models with the directory's weights.

use super::cases::{Case, Cases};
use super::fixture::{Fixture, invalid};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use svitt::Result;
use svitt::config::{ModelConfig, TextConfig, VideoConfig};
use svitt::model::{Svitt, SvittQa};
use svitt::weights::{CheckpointPart, LoadReport, MatchOptions, WeightSource, load};
use svitt_ops::TrainBackend;

/// A parity directory, opened.
pub struct ParityContext<B: TrainBackend> {
    /// The directory.
    pub folder: PathBuf,
    /// Its settings.
    pub cases: Cases,
    /// Where models run.
    pub device: B::Device,
    /// How clearly pruning layers decided, by the names of `misc.json`; one per keep rate that is in question.
    pub margins: RefCell<BTreeMap<String, Vec<Margin>>>,
    fixtures: BTreeMap<String, Fixture>,
    config: OnceCell<ModelConfig>,
    models: RefCell<BTreeMap<usize, Svitt<B>>>,
}

/// How clearly a pruning layer separated kept from dropped tokens.
#[derive(Clone, Copy, Debug)]
pub struct Margin {
    /// The smallest over samples of (s_k − s_{k+1}) / s_k.
    pub value: f64,
    /// s_k there.
    pub score: f64,
}

impl<B: TrainBackend> ParityContext<B> {
    /// Reads settings and tensors of `folder`; checkpoints stay closed.
    ///
    /// # Errors
    /// Settings that are missing, or a damaged file.
    pub fn open(folder: &Path, files: &[String], device: B::Device) -> Result<Self> {
        let cases = Cases::read(folder)?;
        let mut fixtures = BTreeMap::new();
        for file in files.iter().filter(|file| !file.starts_with("checkpoint_")) {
            if let Some(stem) = file.strip_suffix(".safetensors") {
                fixtures.insert(stem.to_string(), Fixture::open(&folder.join(file))?);
            }
        }
        let (margins, config, models) = Default::default();
        Ok(Self { folder: folder.to_path_buf(), cases, device, margins, fixtures, config, models })
    }

    /// The tensors of `stem.safetensors`.
    ///
    /// # Errors
    /// It is not there.
    pub fn fixture(&self, stem: &str) -> Result<&Fixture> {
        let missing = || invalid(&self.folder, format!("has no {stem}.safetensors, which other files need"));
        self.fixtures.get(stem).ok_or_else(missing)
    }

    /// Whether `stem.safetensors` is there.
    pub fn has(&self, stem: &str) -> bool {
        self.fixtures.contains_key(stem)
    }

    /// The sizes of the main model.
    ///
    /// # Errors
    /// See [`Cases::model`].
    pub fn config(&self) -> Result<&ModelConfig> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = self.cases.model(&self.folder)?;
        Ok(self.config.get_or_init(|| config))
    }

    /// The weights of the main model.
    ///
    /// # Errors
    /// There is no main checkpoint, or it cannot be read.
    pub fn source(&self) -> Result<WeightSource> {
        let name = format!("checkpoint_{}f", self.cases.num_frames_of_checkpoint);
        let files = ["safetensors", "pth"].map(|extension| self.folder.join(format!("{name}.{extension}")));
        let file = files.iter().find(|file| file.exists());
        WeightSource::open(file.ok_or_else(|| invalid(&self.folder, format!("has no {name}.safetensors or .pth")))?)
    }

    /// The main model under the settings of `case`, position tables taken to its clip length.
    ///
    /// # Errors
    /// Weights that do not fit, or settings that cannot work.
    pub fn model(&self, case: &Case) -> Result<Svitt<B>> {
        let config = case.configure(self.config()?);
        config.validate()?;
        let plain = self.of_length(config.video.frames)?;
        configured(plain, &config)
    }

    fn of_length(&self, frames: usize) -> Result<Svitt<B>> {
        if let Some(model) = self.models.borrow().get(&frames) {
            return Ok(model.clone());
        }
        let mut config = self.config()?.clone();
        config.video.frames = frames;
        let (model, _) = loaded(&self.source()?, &config, &self.device)?;
        self.models.borrow_mut().insert(frames, model.clone());
        Ok(model)
    }

    /// The question-answering model of the main weights under the settings of `case`, and what became of every key.
    ///
    /// # Errors
    /// Weights that do not fit, or settings that cannot work.
    pub fn question_model(&self, case: &Case) -> Result<(SvittQa<B>, LoadReport)> {
        let config = case.configure(self.config()?);
        let mut source = self.source()?;
        source.add_decoder(config.text.fusion_layer);
        let fresh = SvittQa::new(&config, 0, &self.device)?;
        load(fresh, &source, &config, CheckpointPart::QuestionAnswering, &OPTIONS)
    }

    /// The texts `name` of `fixture`, `[texts, tokens]`, whose ids the vocabulary has and whose length the model takes.
    ///
    /// # Errors
    /// `fixture` has no such tensor, or it holds other ids or too long texts.
    pub fn captions<I: Backend<Device = B::Device>>(&self, fixture: &Fixture, name: &str) -> Result<Tensor<I, 2, Int>> {
        let text = &self.config()?.text;
        let ids = fixture.ids(name, text.vocab_size, None, &self.device)?;
        let [_, tokens] = ids.dims();
        if (1..=text.max_positions).contains(&tokens) {
            return Ok(ids);
        }
        Err(fixture
            .invalid(format!("`{name}` has texts of {tokens} tokens, but the model takes 1 to {}", text.max_positions)))
    }

    /// The clips `case` names, out of `fixture`: `[clips, frames, 3, size, size]`, normalised.
    ///
    /// # Errors
    /// `fixture` has no such tensor.
    pub fn clips<I: Backend<Device = B::Device>>(&self, case: &Case, fixture: &Fixture) -> Result<Tensor<I, 5>> {
        let Some((name, range)) = case.input() else {
            return Err(invalid(&self.folder.join(super::cases::CASES), "has a case without `input`"));
        };
        pixels(fixture, name, range, &self.device)
    }

    /// All samples of the tensor `case` takes its clips from.
    ///
    /// # Errors
    /// `fixture` has no such tensor.
    pub fn all_clips<I: Backend<Device = B::Device>>(&self, case: &Case, fixture: &Fixture) -> Result<Tensor<I, 5>> {
        pixels(fixture, case.input().map_or("", |(name, _)| name), None, &self.device)
    }

    /// Records the margin between the `kept` best of each row of `scores` `[samples, tokens]` and the rest.
    pub fn note_margin(&self, name: &str, scores: &[f32], tokens: usize, kept: usize) {
        let rows = scores.chunks(tokens.max(1)).filter_map(|row| {
            let mut row = row.to_vec();
            row.sort_unstable_by(|a, b| b.total_cmp(a));
            let (last, first) = (f64::from(*row.get(kept.checked_sub(1)?)?), f64::from(*row.get(kept)?));
            Some(Margin { value: (last - first) / last, score: last })
        });
        if let Some(margin) = rows.min_by(|a, b| a.value.total_cmp(&b.value)) {
            self.margins.borrow_mut().entry(name.to_string()).or_default().push(margin);
        }
    }
}

/// Tables may be for another clip length; nothing may be missing.
const OPTIONS: MatchOptions = MatchOptions { allow_missing: Vec::new(), convert_tables: true };

/// A model of sizes `config` with the weights of `source`, and what became of every key.
///
/// # Errors
/// Weights that do not fit.
pub fn loaded<B: TrainBackend>(
    source: &WeightSource,
    config: &ModelConfig,
    device: &B::Device,
) -> Result<(Svitt<B>, LoadReport)> {
    load(Svitt::new(config, 0, device)?, source, config, CheckpointPart::Pretraining, &OPTIONS)
}

fn configured<B: TrainBackend>(model: Svitt<B>, config: &ModelConfig) -> Result<Svitt<B>> {
    let VideoConfig { sparsity, order, .. } = config.video.clone();
    let TextConfig { cross, .. } = config.text.clone();
    Ok(Svitt {
        video: model.video.with_sparsity(sparsity)?.with_order(order),
        text: model.text.with_cross(cross)?,
        ..model
    })
}

/// The `u8` pixels `name` of `fixture`, or samples `range` of them, as the model takes them: (x / 255 − 0.5) / 0.5.
///
/// # Errors
/// There is no such tensor, or it has not so many samples.
pub fn pixels<B: Backend>(
    fixture: &Fixture,
    name: &str,
    range: Option<Range<usize>>,
    device: &B::Device,
) -> Result<Tensor<B, 5>> {
    let shape = fixture.shape::<5>(name)?;
    if shape.contains(&0) {
        return Err(fixture.invalid(format!("tensor `{name}` of shape {shape:?} holds no pixels")));
    }
    let values: Vec<f32> = fixture.get(name)?.values.iter().map(|value| (value / 255.0 - 0.5) / 0.5).collect();
    let all = Tensor::from_data(TensorData::new(values, shape), device);
    match range {
        None => Ok(all),
        Some(range) if range.start < range.end && range.end <= shape[0] => Ok(all.slice([range])),
        Some(range) => Err(fixture.invalid(format!("tensor `{name}` has no samples {range:?}"))),
    }
}
