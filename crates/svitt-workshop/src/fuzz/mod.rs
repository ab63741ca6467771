//! Damaged input for every file reader: it must return a value or an error with a remedy. `cargo xtask fuzz` runs it in
//! processes with bounded time and memory; the tests run a short part.

mod archives;
mod corpus;
mod extreme;
mod mutate;
mod readers;

pub use mutate::{Dictionary, mutate};

use corpus::CorpusFile;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use svitt::{Error, Result};
use svitt_ops::rng::Rng;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Annotations of every format there is an importer for.
    Manifests,
    /// Demuxers and decoders of the built-in reader.
    Videos,
    /// PyTorch and safetensors checkpoints, and checkpoint folders.
    Checkpoints,
    /// Presets of pretraining and fine-tuning.
    Presets,
    /// The directories that search reads.
    Index,
    /// Vocabularies and tokenizers.
    Vocabularies,
    /// Tar files of videos and captions.
    Shards,
    /// Descriptions of models beside their weights.
    Configs,
    /// SubRip and WebVTT beside videos.
    Subtitles,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 9] = [
        Self::Manifests,
        Self::Videos,
        Self::Checkpoints,
        Self::Presets,
        Self::Index,
        Self::Vocabularies,
        Self::Shards,
        Self::Configs,
        Self::Subtitles,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manifests => "manifests",
            Self::Videos => "videos",
            Self::Checkpoints => "checkpoints",
            Self::Presets => "presets",
            Self::Index => "index",
            Self::Vocabularies => "vocabularies",
            Self::Shards => "shards",
            Self::Configs => "configs",
            Self::Subtitles => "subtitles",
        }
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::setting("TARGET", format!("`{name}` is nothing to fuzz"), format!("use one of {names}"))
        })
    }
}

/// What became of a damaged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FuzzOutcome {
    /// It was read: the damage did not matter, or only cost a part.
    Read,
    /// It was refused with an error.
    Refused,
}

/// Reads one damaged file after another.
#[derive(Debug)]
pub struct Fuzzer {
    target: Target,
    samples: Vec<CorpusFile>,
    scratch: PathBuf,
}

impl Fuzzer {
    /// Damages the samples of `repository` and writes them below `scratch`.
    ///
    /// # Errors
    /// The samples are not there, or `scratch` cannot be written.
    pub fn new(target: Target, repository: &Path, scratch: &Path) -> Result<Self> {
        let samples = corpus::of(target, repository, scratch)?;
        Ok(Self { target, samples, scratch: scratch.to_path_buf() })
    }

    /// Reads input number `number` of the sequence `seed`.
    ///
    /// # Errors
    /// `scratch` cannot be written, or a reader's error has no remedy.
    pub fn round(&self, seed: u64, number: u64) -> Result<FuzzOutcome> {
        let mut rng = Rng::new(seed, &[number]);
        let sample = &self.samples[rng.below(self.samples.len())];
        let mut bytes = sample.bytes.clone();
        mutate(&mut bytes, sample.vocabulary, &mut rng);
        match sample.vocabulary {
            Dictionary::Segment if rng.chance(0.5) => mutate::fix_checksums(&mut bytes),
            Dictionary::Tar if rng.chance(0.8) => archives::mend_headers(&mut bytes),
            _ => {}
        }
        let file = self.scratch.join(&sample.name);
        std::fs::write(&file, bytes).map_err(|e| Error::io(&file, &e))?;
        let read = readers::read(self.target, &file, &mut rng);
        if matches!(self.target, Target::Index | Target::Configs) {
            std::fs::write(&file, &sample.bytes).map_err(|e| Error::io(&file, &e))?;
        }
        match read {
            Ok(()) => Ok(FuzzOutcome::Read),
            Err(error) => {
                let sentence = error.to_string();
                let explained = sentence.contains("; ") || sentence.contains("fix:");
                if explained && !matches!(error, Error::Fault(_)) {
                    Ok(FuzzOutcome::Refused)
                } else {
                    Err(Error::Fault(format!("no refusal: {sentence}")))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 60 files for each reader; `cargo xtask fuzz` reads 10 000.
    #[test]
    fn damaged_files_are_read_or_refused() {
        let repository = &Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for target in Target::ALL {
            let scratch = tempfile::tempdir().unwrap();
            let fuzzer = Fuzzer::new(target, repository, scratch.path()).unwrap();
            let verdicts: Vec<FuzzOutcome> = (0..60).map(|number| fuzzer.round(1, number).unwrap()).collect();
            let refused = verdicts.iter().filter(|verdict| **verdict == FuzzOutcome::Refused).count();
            assert!((1..60).contains(&refused), "{}: {refused} of 60 refused", target.name());
        }
    }

    #[test]
    fn targets_have_names() {
        assert!(Target::ALL.iter().all(|target| target.name().parse::<Target>().unwrap() == *target));
        assert!("audio".parse::<Target>().unwrap_err().to_string().contains("checkpoints"));
    }
}
