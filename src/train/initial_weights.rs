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
                return Err(Error::setting("--init", problem, "leave out --init-video and --init-text"));
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
