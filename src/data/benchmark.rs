//! The benchmarks and their published protocols: one place for every number that differs between them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A benchmark that `eval` and `finetune` know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Benchmark {
    /// MSR-VTT 1k-A retrieval.
    Msrvtt,
    /// DiDeMo paragraph retrieval.
    Didemo,
    /// Charades script retrieval.
    Charades,
    /// Something-Something v2 retrieval by label.
    Ssv2Label,
    /// Something-Something v2 retrieval by template, twelve videos per text.
    Ssv2Template,
    /// MSRVTT-QA.
    MsrvttQa,
    /// ActivityNet-QA.
    AnetQa,
    /// AGQA balanced, 1.0 or 2.0.
    Agqa,
    /// ActivityNet Captions, paragraph retrieval on val1.
    Anet,
    /// MSVD retrieval.
    Msvd,
    /// VATEX retrieval.
    Vatex,
    /// LSMDC retrieval.
    Lsmdc,
    /// MSR-VTT multiple choice: five captions.
    MsrvttMc,
    /// RTime: a clip and the same frames backwards, each with a caption.
    Rtime,
    /// VITATECS: a caption against one that differs in one aspect.
    Vitatecs,
    /// TempCompass, caption matching.
    Tempcompass,
    /// Test of Time: before and after, two parts of a video shown one after the other.
    Testoftime,
    /// ViLMA: changes of state, and relations.
    Vilma,
    /// NExT-QA multiple choice, and its part ATP-hard.
    Nextqa,
    /// Something-Something v2, opposite templates.
    Ssv2Chiral,
    /// Something-Something v2, the 18 templates that need time.
    Ssv2Temporal,
    /// Retrieval on our generated clips.
    Shapes,
    /// Retrieval on our generated clips of 32 frames, whose captions need long clips.
    ShapesLong,
    /// Question answering on our generated clips.
    ShapesQa,
}

/// What a benchmark asks of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BenchmarkTask {
    /// Rank videos by text and texts by video.
    Retrieval,
    /// Rank a list of answers to a question about a video.
    QuestionAnswering,
    /// Choose the text of a video among a few.
    Choice,
}

/// The settings of a benchmark (docs/model.md, "Published settings"; the `shapes` rows are ours).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// What is asked.
    pub task: BenchmarkTask,
    /// Tokens a caption or question is cut to, `[CLS]` included.
    pub max_text: usize,
    /// Tokens an answer is cut to, `[SEP]` included; 0 for retrieval.
    pub max_answer: usize,
    /// Frames per clip in training, T.
    pub train_frames: usize,
    /// Frames per video in evaluation, a multiple of `train_frames`.
    pub test_frames: usize,
    /// Candidates that are re-ranked, and answers that are scored in full.
    pub k_test: usize,
    /// How the scores of several clips are combined: `lse`, `mean` or `max`.
    pub ensemble: String,
    /// Epochs of fine-tuning.
    pub epochs: usize,
    /// Peak learning rate of fine-tuning.
    pub learning_rate: f64,
    /// Epochs of linear warm-up.
    pub warmup_epochs: f64,
    /// Pairs per step (per GPU in the paper).
    pub batch_size: usize,
    /// Share of video tokens kept at each pruning layer, q_v.
    pub keep_rate: f64,
    /// Share of video tokens kept in the fusion layers, q_m.
    pub fusion_keep_rate: f64,
    /// Whether clips may be mirrored in training: not where texts speak of left and right.
    pub flips: bool,
    /// Whether all captions of a video are joined into one paragraph.
    pub paragraph: bool,
    /// Whether equal captions make two pairs positives of each other, instead of equal videos.
    pub identity_by_caption: bool,
}

impl Protocol {
    /// Clips a video is cut into for evaluation: `test_frames / train_frames`.
    pub fn clips(&self) -> usize {
        (self.test_frames / self.train_frames.max(1)).max(1)
    }
}

impl Benchmark {
    /// Every benchmark, in the order the help prints them.
    pub const ALL: [Self; 24] = [
        Self::Msrvtt,
        Self::Didemo,
        Self::Charades,
        Self::Ssv2Label,
        Self::Ssv2Template,
        Self::MsrvttQa,
        Self::AnetQa,
        Self::Agqa,
        Self::Anet,
        Self::Msvd,
        Self::Vatex,
        Self::Lsmdc,
        Self::MsrvttMc,
        Self::Rtime,
        Self::Vitatecs,
        Self::Tempcompass,
        Self::Testoftime,
        Self::Vilma,
        Self::Nextqa,
        Self::Ssv2Chiral,
        Self::Ssv2Temporal,
        Self::Shapes,
        Self::ShapesLong,
        Self::ShapesQa,
    ];

    /// The name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Msrvtt => "msrvtt",
            Self::Didemo => "didemo",
            Self::Charades => "charades",
            Self::Ssv2Label => "ssv2-label",
            Self::Ssv2Template => "ssv2-template",
            Self::MsrvttQa => "msrvtt-qa",
            Self::AnetQa => "anet-qa",
            Self::Agqa => "agqa",
            Self::Anet => "anet",
            Self::Msvd => "msvd",
            Self::Vatex => "vatex",
            Self::Lsmdc => "lsmdc",
            Self::MsrvttMc => "msrvtt-mc",
            Self::Rtime => "rtime",
            Self::Vitatecs => "vitatecs",
            Self::Tempcompass => "tempcompass",
            Self::Testoftime => "testoftime",
            Self::Vilma => "vilma",
            Self::Nextqa => "nextqa",
            Self::Ssv2Chiral => "ssv2-chiral",
            Self::Ssv2Temporal => "ssv2-temporal",
            Self::Shapes => "shapes",
            Self::ShapesLong => "shapes-long",
            Self::ShapesQa => "shapes-qa",
        }
    }

    /// What is asked of the model.
    pub const fn task(self) -> BenchmarkTask {
        match self {
            Self::MsrvttQa | Self::AnetQa | Self::Agqa | Self::ShapesQa => BenchmarkTask::QuestionAnswering,
            Self::MsrvttMc
            | Self::Rtime
            | Self::Vitatecs
            | Self::Tempcompass
            | Self::Testoftime
            | Self::Vilma
            | Self::Nextqa
            | Self::Ssv2Chiral
            | Self::Ssv2Temporal => BenchmarkTask::Choice,
            _ => BenchmarkTask::Retrieval,
        }
    }

    /// Whether there is anything to learn from: the tests of order are for scoring alone.
    pub const fn is_trainable(self) -> bool {
        !matches!(self.task(), BenchmarkTask::Choice)
    }

    /// Whether it is scored on several files together, each with records of its own.
    pub const fn is_in_several_files(self) -> bool {
        matches!(self, Self::Vitatecs | Self::Testoftime | Self::Vilma)
    }

    /// Refuses what has nothing to learn from.
    ///
    /// # Errors
    /// It is for scoring alone.
    pub fn require_trainable(self) -> Result<()> {
        if self.is_trainable() {
            return Ok(());
        }
        let problem = format!("{self} is for scoring alone: it has no training split");
        Err(Error::setting("BENCHMARK", problem, "fine-tune on another one, such as msrvtt"))
    }

    /// Whether the clips are rendered in process, so that no file is needed.
    pub const fn is_generated(self) -> bool {
        matches!(self, Self::Shapes | Self::ShapesLong | Self::ShapesQa)
    }

    /// The published settings.
    pub fn protocol(self) -> Protocol {
        let shared = match (self.is_generated(), self.task()) {
            (true, task) => generated(task),
            (false, BenchmarkTask::Retrieval) => retrieval(),
            (false, BenchmarkTask::QuestionAnswering) => question_answering(),
            (false, BenchmarkTask::Choice) => choice(),
        };
        match self {
            Self::Didemo | Self::Anet => Protocol { paragraph: true, ..shared },
            Self::Charades => Protocol { max_text: 48, ..shared },
            Self::Ssv2Label | Self::Ssv2Template => {
                Protocol { max_text: 25, flips: false, identity_by_caption: true, ..shared }
            }
            Self::Agqa => Protocol { epochs: 5, warmup_epochs: 0.25, ..shared },
            _ => shared,
        }
    }
}

fn retrieval() -> Protocol {
    Protocol {
        task: BenchmarkTask::Retrieval,
        max_text: 64,
        max_answer: 0,
        train_frames: 4,
        test_frames: 12,
        k_test: 128,
        ensemble: "lse".into(),
        epochs: 10,
        learning_rate: 1e-5,
        warmup_epochs: 0.0,
        batch_size: 32,
        keep_rate: 0.7,
        fusion_keep_rate: 0.1,
        flips: true,
        paragraph: false,
        identity_by_caption: false,
    }
}

fn question_answering() -> Protocol {
    Protocol {
        task: BenchmarkTask::QuestionAnswering,
        max_text: 25,
        max_answer: 5,
        train_frames: 8,
        test_frames: 24,
        warmup_epochs: 0.5,
        keep_rate: 0.6,
        fusion_keep_rate: 0.5,
        ..retrieval()
    }
}

/// One clip per video: an ensemble over clips forgets their order. 64 tokens leave every pair of texts different (32
/// make five pairs of VITATECS equal).
fn choice() -> Protocol {
    Protocol { task: BenchmarkTask::Choice, train_frames: 8, test_frames: 8, k_test: 0, flips: false, ..retrieval() }
}

/// `shapes`: eight rendered frames are one clip, and captions name directions, so nothing is mirrored.
fn generated(task: BenchmarkTask) -> Protocol {
    let max_answer = if task == BenchmarkTask::QuestionAnswering { 5 } else { 0 };
    Protocol { task, max_text: 25, max_answer, train_frames: 8, test_frames: 8, flips: false, ..retrieval() }
}

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Benchmark {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|benchmark| benchmark.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|benchmark| benchmark.name()).collect();
            Error::setting("BENCHMARK", format!("`{name}` is not known"), format!("choose one of {}", names.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_settings_are_kept() {
        let row = |b: Benchmark| {
            let p = b.protocol();
            (p.max_text, p.train_frames, p.test_frames, p.clips(), p.epochs, p.keep_rate)
        };
        assert_eq!(row(Benchmark::Msrvtt), (64, 4, 12, 3, 10, 0.7));
        assert_eq!(row(Benchmark::Didemo), (64, 4, 12, 3, 10, 0.7));
        assert_eq!(row(Benchmark::Charades), (48, 4, 12, 3, 10, 0.7));
        assert_eq!(row(Benchmark::Ssv2Template), (25, 4, 12, 3, 10, 0.7));
        assert_eq!(row(Benchmark::AnetQa), (25, 8, 24, 3, 10, 0.6));
        assert_eq!(row(Benchmark::Agqa), (25, 8, 24, 3, 5, 0.6));
        let choices: Vec<_> = Benchmark::ALL.into_iter().filter(|b| b.task() == BenchmarkTask::Choice).collect();
        assert_eq!(choices.len(), 9);
        assert!(choices.iter().all(|b| b.protocol().clips() == 1 && b.protocol().max_text == 64), "order is kept");
        assert!(Benchmark::Didemo.protocol().paragraph && !Benchmark::Ssv2Label.protocol().flips);
    }

    #[test]
    fn names_go_there_and_back() {
        for benchmark in Benchmark::ALL {
            assert_eq!(benchmark.name().parse::<Benchmark>().unwrap(), benchmark);
            assert_eq!(serde_json::to_value(benchmark).unwrap(), benchmark.name());
        }
        let message = "msvtt".parse::<Benchmark>().unwrap_err().to_string();
        assert!(message.contains("`msvtt` is not known; choose one of msrvtt, didemo"), "{message}");
    }
}
