//! Whose evaluation is followed: SViTT's, Singularity's or UMT's, each as its authors published it.

use crate::config::{Family, ModelConfig};
use crate::data::{Benchmark, BenchmarkTask, Protocol};
use crate::{Error, Result};
use serde::Serialize;
use std::str::FromStr;

/// The authors of a published evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Authors {
    /// Clips of the model's length, joined by log-sum-exp of the matching scores.
    Svitt,
    /// One clip of 12 frames; the fusion encoder sees all of them beside each other.
    Singularity,
    /// One clip of 12 frames, or of 4 without fine-tuning.
    Umt,
}

impl Authors {
    /// Those of models like `model`.
    pub fn of(model: &ModelConfig) -> Self {
        match model.video.family() {
            Family::Svitt => Self::Svitt,
            Family::Singularity => Self::Singularity,
            Family::Umt => Self::Umt,
        }
    }

    /// The name on command lines and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Svitt => "svitt",
            Self::Singularity => "singularity",
            Self::Umt => "umt",
        }
    }

    /// What they do on `benchmark` with a model that was `fine_tuned` on it or not. Of benchmarks that they did not
    /// publish, and of generated ones, SViTT's settings with their frames.
    pub fn protocol(self, benchmark: Benchmark, fine_tuned: bool) -> Protocol {
        let own = benchmark.protocol();
        if self == Self::Svitt || benchmark.is_generated() {
            return own;
        }
        let max_text = match (self, benchmark) {
            (Self::Singularity | Self::Umt, Benchmark::Msrvtt) => 32,
            _ => own.max_text,
        };
        // 4 frames are what UMT's stage 2 was trained with; its question answering is always fine-tuned.
        let zero_shot = self == Self::Umt && !fine_tuned && benchmark.task() == BenchmarkTask::Retrieval;
        let frames = if zero_shot { 4 } else { 12 };
        Protocol { max_text, train_frames: frames, test_frames: frames, ..own }
    }
}

impl FromStr for Authors {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Svitt, Self::Singularity, Self::Umt];
        all.into_iter().find(|authors| authors.name() == name).ok_or_else(|| {
            Error::setting("protocol", format!("`{name}` is not known"), "use svitt, singularity or umt")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_measured_as_their_authors_did() {
        let of = |model: &ModelConfig, fine_tuned| {
            let protocol = Authors::of(model).protocol(Benchmark::Msrvtt, fine_tuned);
            (protocol.test_frames, protocol.clips(), protocol.max_text, protocol.k_test)
        };
        assert_eq!(of(&ModelConfig::base(4), true), (12, 3, 64, 128));
        assert_eq!(of(&ModelConfig::singularity_base(4), true), (12, 1, 32, 128));
        assert_eq!(of(&ModelConfig::umt_large(4), false), (4, 1, 32, 128));
        assert_eq!(of(&ModelConfig::umt_large(12), true), (12, 1, 32, 128));
        let didemo = Authors::Umt.protocol(Benchmark::Didemo, true);
        assert_eq!((didemo.max_text, didemo.paragraph), (64, true));
        assert_eq!("umt".parse::<Authors>().unwrap(), Authors::Umt);
        assert!("vindlu".parse::<Authors>().unwrap_err().to_string().contains("setting `protocol`"));
    }
}
