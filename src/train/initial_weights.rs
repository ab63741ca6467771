//! Initial weights of a run: random, from a checkpoint folder, or combined from BEiT and BERT.

use super::expand::{InitOverrides, apply_init_overrides};
use crate::config::{Family, ModelChoice, ModelConfig, Sparsity, VideoConfig};
use crate::model::Svitt;
use crate::weights::checkpoint::CONFIG;
use crate::weights::{Checkpoint, CheckpointPart, MatchOptions, initialise, read_info};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use svitt_ops::SvittBackend;

/// Where first weights come from; all absent: drawn from the seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitialWeights {
    /// A checkpoint folder of this crate (`--init`).
    pub checkpoint: Option<PathBuf>,
    /// BEiT or any checkpoint with a video encoder (`--init-video`).
    pub video: Option<PathBuf>,
    /// BERT or any checkpoint with a text encoder (`--init-text`).
    pub text: Option<PathBuf>,
}

impl InitialWeights {
    /// The model that a run from these weights trains where the preset's would not take them: an imported Singularity
    /// or UMT, as one joint encoder of one frame, which the stages make sparse and longer. None: the preset's model.
    ///
    /// # Errors
    /// The checkpoint folder cannot be read.
    pub fn base(&self) -> Result<Option<ModelConfig>> {
        let Some(folder) = &self.checkpoint else { return Ok(None) };
        let mut model = read_info(&folder.join(CONFIG))?.0.model;
        if model.video.family() == Family::Svitt {
            return Ok(None);
        }
        model.video = VideoConfig { frames: 1, sparsity: Sparsity::default(), ..model.video.joint() };
        model.text.cross = None;
        Ok(Some(model))
    }

    /// The model `config` of the first stage. What no file gives is drawn from `seed`; position tables are taken to
    /// the stage's clip length.
    ///
    /// # Errors
    /// A file that cannot be read or holds a model of other sizes, or settings that exclude each other.
    pub fn model<B: SvittBackend>(
        &self,
        config: &ModelConfig,
        choice: &ModelChoice,
        seed: u64,
        device: &B::Device,
    ) -> Result<Svitt<B>> {
        let start = InitOverrides { gain: choice.init_gain, sharpness: choice.local_positions };
        let mut model = apply_init_overrides(Svitt::<B>::new(config, seed, device)?, start, config);
        if let Some(folder) = &self.checkpoint {
            if self.video.is_some() || self.text.is_some() {
                let problem = "already gives all weights";
                return Err(Error::setting("init", problem, "leave out option `init_video` and option `init_text`"));
            }
            let checkpoint = Checkpoint::open(folder)?;
            let report;
            (model, report) = checkpoint.load(model, config, &converted())?;
            log::info!("{}: {}", folder.display(), report.summary());
        }
        for (file, part) in [(&self.video, CheckpointPart::Video), (&self.text, CheckpointPart::Text)] {
            if let Some(file) = file {
                model = part_of(model, file, config, part)?;
            }
        }
        Ok(model)
    }
}

fn converted() -> MatchOptions {
    MatchOptions { convert_tables: true, ..MatchOptions::default() }
}

fn part_of<B: SvittBackend>(
    model: Svitt<B>,
    file: &Path,
    config: &ModelConfig,
    part: CheckpointPart,
) -> Result<Svitt<B>> {
    let (model, report) = initialise(model, config, file, part)?;
    log::info!("{}: {}", file.display(), report.summary());
    Ok(model)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::config::{Compat, EdgeSparsity, NodeSparsity, TemporalConfig};
    use crate::model::VideoDraws;
    use crate::testing::{noise, randomized, small_config};
    use crate::weights::{CheckpointInfo, ExportedTensors, save};

    type B = burn_flex::Flex;

    /// A folder with random weights of `config`.
    fn saved(folder: &Path, config: &ModelConfig) -> ExportedTensors {
        let model = randomized(Svitt::<B>::new(config, 1, &Default::default()).unwrap(), 2);
        let info = CheckpointInfo {
            model: config.clone(),
            part: CheckpointPart::Pretraining,
            absent: Vec::new(),
            vocabulary: None,
            curriculum: None,
            origin: "a test".into(),
        };
        save(&model, folder, &info).unwrap();
        ExportedTensors::of(&model)
    }

    /// The model of three frames, sparse in edges and nodes, that starts from the checkpoint in `folder`.
    fn started(folder: &Path) -> (ModelConfig, Svitt<B>) {
        let first = InitialWeights { checkpoint: Some(folder.to_path_buf()), ..InitialWeights::default() };
        let mut config = first.base().unwrap().unwrap();
        config.video.frames = 3;
        config.video.sparsity =
            Sparsity { edge: Some(EdgeSparsity::new(1, 1, 5)), node: Some(NodeSparsity::by_class(0.6, &[0])) };
        let choice: ModelChoice = serde_json::from_value(serde_json::json!({ "size": "tiny" })).unwrap();
        let model = first.model::<B>(&config, &choice, 7, &Default::default()).unwrap();
        let output = model.encode_video(noise(3, [2, 3, 3, 12, 12]), &VideoDraws::evaluation(0)).unwrap();
        assert_eq!(output.feature.dims(), [2, 7]);
        (config, model)
    }

    #[test]
    fn singularity_becomes_joint_and_its_tables_are_repeated_over_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = small_config(Compat::Corrected);
        let temporal = TemporalConfig { frames: 2, layers: 1, heads: 3, ffn: 22 };
        config.video = config.video.singularity(Some(temporal));
        let before = saved(folder.path(), &config);
        let (config, model) = started(folder.path());
        assert_eq!((config.video.family(), config.video.table_rows()), (Family::Svitt, 5 * 25 + 3));
        let after = ExportedTensors::of(&model);
        let key = "vision_encoder.encoder.layer.1.attention.attention.query.weight";
        assert_eq!(after.read(key).unwrap(), before.read(key).unwrap());
        let key =
            "vision_encoder.encoder.layer.1.attention.attention.relative_position_bias.relative_position_bias_table";
        let (flat, deep) = (before.read(key).unwrap(), after.read(key).unwrap());
        assert!(deep[..5 * 25 * 3].chunks(25 * 3).all(|slice| slice == &flat[..25 * 3]));
        assert!(!after.names().any(|name| name.starts_with("temporal_")));
    }

    #[test]
    fn umt_goes_on_as_it_is_and_models_of_this_crate_keep_the_preset() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = small_config(Compat::Corrected);
        assert_eq!(InitialWeights::default().base().unwrap(), None);
        saved(folder.path(), &config);
        let first = InitialWeights { checkpoint: Some(folder.path().to_path_buf()), ..InitialWeights::default() };
        assert_eq!(first.base().unwrap(), None);
        config.video = config.video.umt();
        let before = saved(folder.path(), &config);
        let (config, model) = started(folder.path());
        assert_eq!((config.video.family(), config.video.groups(3)), (Family::Umt, 3));
        let key = "vision_encoder.encoder.blocks.1.attn.qkv.weight";
        assert_eq!(ExportedTensors::of(&model).read(key).unwrap(), before.read(key).unwrap());
    }
}
