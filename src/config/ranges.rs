//! The largest and smallest values of every key of presets and model descriptions. They are far beyond what anybody
//! trains, and small enough that products of them neither overflow nor fill the memory before a size is compared.

use super::{ModelChoice, ModelConfig, PretrainPreset, Stage, StepsOrEpochs};
use crate::limits::{self, check};
use crate::{Error, Result};

/// Layers, heads, or stages.
const PARTS: usize = 1_024;
/// Widths of layers, and positions of texts.
const WIDTH: usize = 1 << 20;
/// Entries of a vocabulary: 80 times BERT's multilingual one.
const VOCABULARY: usize = 10_000_000;
/// Pixels along one side.
const SIDE: usize = 8_192;
/// Parts of a `shapes` program; a part is a frame at least.
const SEGMENTS: usize = 64;
/// Learning rates, decays, gains and loss weights.
const FACTOR: f64 = 1e6;
/// Passes over the data.
const EPOCHS: f64 = 1e6;
/// Characters of a name.
const NAME: usize = 100;

/// Checks that no `(key, value, largest)` is above its largest.
fn at_most(values: &[(&str, usize, usize)]) -> Result<()> {
    match values.iter().find(|(_, value, largest)| value > largest) {
        None => Ok(()),
        Some((key, value, largest)) => {
            Err(Error::setting(*key, format!("{value} is too much"), format!("use {largest} at most")))
        }
    }
}

/// Ranges of a model's sizes.
pub(super) fn model(model: &ModelConfig) -> Result<()> {
    let (video, text) = (&model.video, &model.text);
    at_most(&[
        ("video.image_size", video.image_size, SIDE),
        ("video.patch_size", video.patch_size, SIDE),
        ("video.frames", video.frames, limits::FRAMES),
        ("video.hidden", video.hidden, WIDTH),
        ("video.layers", video.layers, PARTS),
        ("video.heads", video.heads, PARTS),
        ("video.ffn", video.ffn, WIDTH),
        ("text.vocab_size", text.vocab_size, VOCABULARY),
        ("text.hidden", text.hidden, WIDTH),
        ("text.layers", text.layers, PARTS),
        ("text.heads", text.heads, PARTS),
        ("text.ffn", text.ffn, WIDTH),
        ("text.max_positions", text.max_positions, WIDTH),
        ("text.type_vocab_size", text.type_vocab_size, PARTS),
        ("embed_dim", model.embed_dim, WIDTH),
    ])?;
    check("video.layer_scale", video.layer_scale.unwrap_or(1.0), -FACTOR, FACTOR)?;
    check("video.drop_path", video.drop_path, 0.0, 1.0)?;
    check("video.layer_norm_eps", video.layer_norm_eps, 0.0, 1.0)?;
    check("text.layer_norm_eps", text.layer_norm_eps, 0.0, 1.0)?;
    check("text.dropout", text.dropout, 0.0, 1.0)?;
    check("temperature", model.temperature, f64::MIN_POSITIVE, FACTOR)
}

/// Ranges of a choice of a model, before its sizes are made of it.
fn choice(choice: &ModelChoice) -> Result<()> {
    let given = |value: Option<usize>| value.unwrap_or(0);
    at_most(&[
        ("model.image_size", given(choice.image_size), SIDE),
        ("model.patch_size", given(choice.patch_size), SIDE),
        ("model.hidden", given(choice.hidden), WIDTH / 4),
        ("model.video_layers", given(choice.video_layers), PARTS),
        ("model.video_heads", given(choice.video_heads), PARTS),
        ("model.text_layers", given(choice.text_layers), PARTS),
        ("model.fusion_layer", given(choice.fusion_layer), PARTS),
    ])?;
    check("model.init_gain", choice.init_gain.unwrap_or(1.0), f64::MIN_POSITIVE, FACTOR)?;
    check("model.local_positions", choice.local_positions, -FACTOR, FACTOR)
}

/// Ranges of a stage.
pub(super) fn stage(stage: &Stage) -> Result<()> {
    name("stages.name", &stage.name)?;
    let key = |key: &str| format!("stages.{}.{key}", stage.name);
    let edge = stage.edge.map_or([0; 3], |edge| [edge.local, edge.random, edge.block]);
    let counts = [
        ("frames", stage.frames, limits::FRAMES),
        ("batch", stage.batch, limits::BATCH),
        ("accumulate", stage.accumulate, limits::BATCH),
        ("clips_per_object", stage.clips_per_object, limits::BATCH),
        ("edge.local", edge[0], limits::ITEMS),
        ("edge.random", edge[1], limits::ITEMS),
        ("edge.block", edge[2], limits::ITEMS),
    ];
    for (name, value, largest) in counts {
        at_most(&[(&key(name), value, largest)])?;
    }
    for (name, length) in [("length", stage.length), ("warmup", stage.warmup)] {
        duration(&key(name), length)?;
    }
    for (name, value) in [
        ("learning_rate", stage.learning_rate),
        ("weight_decay", stage.weight_decay),
        ("max_norm", stage.max_norm.unwrap_or(0.0)),
    ] {
        check(key(name), value, 0.0, FACTOR)?;
    }
    match stage.segments.iter().find(|count| !(1..=SEGMENTS).contains(*count)) {
        None => Ok(()),
        Some(count) => {
            let remedy = format!("use lengths from 1 to {SEGMENTS}");
            Err(Error::setting(key("segments"), format!("{count} is no length of a program"), remedy))
        }
    }
}

/// The range of a duration, which may be 0.
pub(crate) fn duration(key: &str, length: StepsOrEpochs) -> Result<()> {
    match length {
        StepsOrEpochs::Steps(steps) => at_most(&[(&format!("{key}.steps"), steps, limits::STEPS)]),
        StepsOrEpochs::Epochs(epochs) => check(format!("{key}.epochs"), epochs, 0.0, EPOCHS),
    }
}

/// Ranges of a preset, its stages included: all that does not depend on other keys.
pub(super) fn preset(preset: &PretrainPreset) -> Result<()> {
    name("name", &preset.name)?;
    at_most(&[
        ("text_tokens", preset.text_tokens, limits::TOKENS),
        ("rerank_k", preset.rerank_k, limits::ITEMS),
        ("gallery_programs", preset.gallery_programs.unwrap_or(0), limits::ITEMS),
        ("stages", preset.stages.len(), PARTS),
    ])?;
    let weights = preset.loss_weights;
    for (key, weight) in [("vtc", weights.vtc), ("vtm", weights.vtm), ("mlm", weights.mlm)] {
        check(format!("loss_weights.{key}"), weight, 0.0, FACTOR)?;
    }
    check("mask_probability", preset.mask_probability, 0.0, 1.0)?;
    choice(&preset.model)?;
    if let Some(alone) =
        preset.stages.iter().find(|stage| stage.matching_only && (weights.vtm == 0.0 || stage.batch < 2))
    {
        let problem = "trains by the matching loss alone, which has a weight of 0 or one pair and no wrong ones";
        let key = format!("stages.{}.matching_only", alone.name);
        return Err(Error::setting(
            key,
            problem,
            "give `loss_weights.vtm` a weight and the stage a batch of 2 or more",
        ));
    }
    preset.stages.iter().try_for_each(stage)
}

/// Names go into file names, tables and pages.
fn name(key: &str, name: &str) -> Result<()> {
    let length = name.chars().count();
    if length > NAME || name.chars().any(char::is_control) {
        let problem = format!("`{}` has {length} characters or control characters", crate::printable::quoted(name));
        return Err(Error::setting(key, problem, format!("use a line of {NAME} characters at most")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESET: &str = include_str!("../../data/presets/shapes-default.toml");

    /// What the shapes preset with `to` in place of `from` is refused with.
    fn refused(from: &str, to: &str) -> String {
        assert!(PRESET.contains(from), "{from}");
        let preset: PretrainPreset = toml::from_str(&PRESET.replacen(from, to, 1)).unwrap();
        super::preset(&preset).unwrap_err().to_string()
    }

    #[test]
    fn every_key_has_a_range() {
        let preset: PretrainPreset = toml::from_str(PRESET).unwrap();
        assert!(super::preset(&preset).is_ok());
        let line = |key: &str| PRESET.lines().find(|line| line.starts_with(key)).unwrap();
        for (key, value, named) in [
            ("text_tokens =", "1000000000000000000", "`text_tokens`"),
            ("rerank_k =", "1000000000000", "`rerank_k`"),
            ("frames =", "1000000000000000000", ".frames`"),
            ("segments =", "[0]", ".segments`"),
            ("length =", "{ steps = 1000000000000000000 }", ".length.steps`"),
            ("length =", "{ epochs = nan }", ".length.epochs`"),
            ("learning_rate =", "nan", ".learning_rate`"),
            ("batch =", "1000000000", ".batch`"),
        ] {
            let message = refused(line(key), &format!("{key} {value}"));
            assert!(message.contains(named), "{key} {value}: {message}");
        }
        let model = line("size =");
        for (key, value) in [("init_gain", "inf"), ("local_positions", "nan"), ("hidden", "9000000000000000000")] {
            let mut changed: toml::Table = toml::from_str(PRESET).unwrap();
            let table = changed["model"].as_table_mut().unwrap();
            table.insert(key.into(), format!("x = {value}").parse::<toml::Table>().unwrap()["x"].clone());
            let preset: PretrainPreset = changed.try_into().unwrap();
            let message = super::preset(&preset).unwrap_err().to_string();
            assert!(message.contains(&format!("`model.{key}`")), "{model}: {message}");
        }
        let mut weights = preset.clone();
        let mut alone = weights.clone();
        alone.stages[0].matching_only = true;
        assert!(super::preset(&alone).is_ok());
        for (vtm, batch) in [(0.0, 2), (1.0, 1)] {
            (alone.loss_weights.vtm, alone.stages[0].batch) = (vtm, batch);
            assert!(super::preset(&alone).unwrap_err().to_string().contains("matching_only"), "{vtm} {batch}");
        }
        weights.loss_weights.vtc = f64::NAN;
        assert!(super::preset(&weights).unwrap_err().to_string().contains("`loss_weights.vtc`: is NaN"));
        let mut named = preset;
        named.stages[0].name = "x".repeat(5_000_000);
        let message = super::preset(&named).unwrap_err().to_string();
        assert!(message.contains("`stages.name`") && message.len() < 500, "{}", message.len());
    }

    #[test]
    fn every_size_of_a_model_has_a_range() {
        let changed = |change: fn(&mut ModelConfig)| {
            let mut config = ModelConfig::tiny(4);
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(changed(|config| config.text.vocab_size = 1_000_000_000_000).contains("`text.vocab_size`"));
        assert!(changed(|config| config.video.layers = 1_000_000_000).contains("`video.layers`"));
        assert!(changed(|config| config.video.frames = usize::MAX).contains("`video.frames`"));
        assert!(changed(|config| config.video.drop_path = f64::NAN).contains("`video.drop_path`: is NaN"));
        assert!(changed(|config| config.temperature = 0.0).contains("`temperature`"));
    }
}
