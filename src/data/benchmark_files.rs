//! Where each benchmark's files are looked for below `data/`, and what to obtain when they are not there.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use super::{Benchmark, BenchmarkTask, Split, order_files as order, split::published};

/// The files of a benchmark, by the names of their release.
#[derive(Clone, Copy, Debug)]
pub struct BenchmarkFiles {
    pub(super) benchmark: Benchmark,
    /// Folder below `data/`.
    pub folder: &'static str,
    /// File to score, the first that exists.
    pub test: &'static [&'static str],
    /// File to choose a checkpoint by; none: part of the training file is held out.
    pub validation: &'static [&'static str],
    /// File to learn from.
    pub train: &'static [&'static str],
    /// Files that are joined to those above.
    pub beside: &'static [&'static str],
    /// How the videos are named.
    pub media: &'static str,
    /// Who gives them out.
    pub source: &'static str,
}

/// Files that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatedFiles {
    /// The annotations of the split asked for.
    pub annotations: PathBuf,
    /// The folder of videos.
    pub media: PathBuf,
}

/// What the rows below leave out.
pub(super) const NOTHING: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Shapes,
    folder: "shapes",
    test: &[],
    validation: &[],
    train: &[],
    beside: &[],
    media: "rendered in process",
    source: "generated, nothing to obtain",
};

const MSRVTT: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Msrvtt,
    folder: "msrvtt",
    test: &["MSRVTT_JSFUSION_test.csv", "msrvtt_ret_test1k.json"],
    train: &["MSRVTT_train.9k.csv", "msrvtt_ret_train9k.json"],
    beside: &["MSRVTT_data.json"],
    media: "video<number>.mp4",
    source: "lists and data file: CLIP4Clip's MSR-VTT package; videos: Microsoft's MSR-VTT release",
    ..NOTHING
};

const DIDEMO: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Didemo,
    folder: "didemo",
    test: &["test_data.json", "didemo_ret_test.json"],
    validation: &["val_data.json", "didemo_ret_val.json"],
    train: &["train_data.json", "didemo_ret_train.json"],
    beside: &["ce_test_list.txt", "ce_val_list.txt", "ce_train_list.txt"],
    media: "<user>@N<number>_<id>_<hash>, any extension",
    source: "annotations and videos: github.com/LisaAnne/LocalizingMoments; lists: the collaborative-experts repository",
};

const CHARADES: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Charades,
    folder: "charades",
    test: &["Charades_v1_test.csv", "charades-script_test.json"],
    train: &["Charades_v1_train.csv", "charades-script_train.json"],
    media: "<id>.mp4",
    source: "prior.allenai.org/projects/charades",
    ..NOTHING
};

pub(super) const SSV2: BenchmarkFiles = BenchmarkFiles {
    folder: "ssv2",
    test: &["something-something-v2-validation.json", "validation.json"],
    train: &["something-something-v2-train.json", "train.json"],
    beside: &["something-something-v2-labels.json"],
    media: "<id>.webm",
    source: "Qualcomm's site for developers, after registration",
    ..NOTHING
};

const MSRVTT_QA: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::MsrvttQa,
    folder: "msrvtt_qa",
    test: &["test_qa.json", "msrvtt_qa_test.json"],
    validation: &["val_qa.json", "msrvtt_qa_val.json"],
    train: &["train_qa.json", "msrvtt_qa_train.json"],
    beside: &[],
    media: "video<number>.mp4",
    source: "github.com/xudejing/video-question-answering; videos: Microsoft's MSR-VTT release",
};

const ANET_QA: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::AnetQa,
    folder: "anet_qa",
    test: &["test_q.json", "anet_qa_test.json"],
    validation: &["val_q.json", "anet_qa_val.json"],
    train: &["train_q.json", "anet_qa_train.json"],
    beside: &["test_a.json", "val_a.json", "train_a.json"],
    media: "v_<name>.mp4 or .mkv",
    source: "github.com/MILVLG/activitynet-qa; videos: activity-net.org",
};

const AGQA: BenchmarkFiles = BenchmarkFiles {
    benchmark: Benchmark::Agqa,
    folder: "agqa",
    test: &["test_balanced.txt", "test_balanced.json", "agqa_test_balanced.json"],
    train: &["train_balanced.txt", "train_balanced.json", "agqa_train_balanced.json"],
    media: "<id>.mp4, those of Charades",
    source: "cs.stanford.edu/people/ranjaykrishna/agqa, 1.0 or 2.0; videos: prior.allenai.org/projects/charades",
    ..NOTHING
};

impl Benchmark {
    /// The files of this benchmark.
    pub const fn files(self) -> BenchmarkFiles {
        match self {
            Self::Msrvtt => MSRVTT,
            Self::Didemo => DIDEMO,
            Self::Charades => CHARADES,
            Self::Ssv2Label | Self::Ssv2Template => BenchmarkFiles { benchmark: self, ..SSV2 },
            Self::MsrvttQa => MSRVTT_QA,
            Self::AnetQa => ANET_QA,
            Self::Agqa => AGQA,
            Self::Anet => order::ANET,
            Self::Msvd => order::MSVD,
            Self::Vatex => order::VATEX,
            Self::Lsmdc => order::LSMDC,
            Self::MsrvttMc => order::MSRVTT_MC,
            Self::Rtime => order::RTIME,
            Self::Vitatecs => order::VITATECS,
            Self::Tempcompass => order::TEMPCOMPASS,
            Self::Testoftime => order::TESTOFTIME,
            Self::Vilma => order::VILMA,
            Self::Nextqa => order::NEXTQA,
            Self::Ssv2Chiral => order::SSV2_CHIRAL,
            Self::Ssv2Temporal => order::SSV2_TEMPORAL,
            Self::Shapes | Self::ShapesLong | Self::ShapesQa => BenchmarkFiles { benchmark: self, ..NOTHING },
        }
    }
}

impl BenchmarkFiles {
    /// The names of a split's file.
    pub const fn of(&self, split: Split) -> &'static [&'static str] {
        match split {
            Split::Train => self.train,
            Split::Validation => self.validation,
            Split::Test => self.test,
        }
    }

    /// Looks below `data` for the annotations of `split` and the folder `videos` beside them. Of a benchmark of several
    /// files, the annotations are the folder where more than one is there.
    pub fn locate(&self, data: &Path, split: Split) -> Option<LocatedFiles> {
        let folder = data.join(self.folder);
        let files: Vec<PathBuf> =
            self.of(split).iter().map(|name| folder.join(name)).filter(|path| path.is_file()).collect();
        let together = self.benchmark.is_in_several_files() && files.len() > 1;
        let annotations = if together { folder.clone() } else { files.into_iter().next()? };
        let media = folder.join("videos");
        media.is_dir().then_some(LocatedFiles { annotations, media })
    }

    /// The file to score, in a phrase.
    pub fn describe(&self) -> String {
        let first = self.test.first().unwrap_or(&"generated clips");
        match self.benchmark.task() {
            BenchmarkTask::Choice => format!("one of {}", self.test.join(", ")),
            _ => format!("its {first} (or Singularity's JSON list)"),
        }
    }

    /// What to obtain, where to put it and what to run, for a person who has nothing yet.
    pub fn instructions(&self, data: &Path) -> String {
        let (name, folder) = (self.benchmark, data.join(self.folder));
        let Some(test) = self.test.first() else {
            return format!("{name} is generated: run `cargo xtask eval {name} --checkpoint DIR`\n");
        };
        let mut rows = Vec::new();
        for (split, use_) in [
            (Split::Test, "to score"),
            (Split::Validation, "to choose a checkpoint by"),
            (Split::Train, "to fine-tune"),
        ] {
            if let [original, others @ ..] = self.of(split) {
                let word = if self.benchmark.is_in_several_files() { "and" } else { "or" };
                let also = if others.is_empty() { String::new() } else { format!("; {word} {}", others.join(", ")) };
                let what = format!("{use_}{}{also}", self.size(split));
                match rows.iter_mut().find(|(name, _)| name == original) {
                    Some((_, uses)) => *uses = format!("{uses}; {what}"),
                    None => rows.push((*original, what)),
                }
            }
        }
        rows.extend(self.beside.iter().map(|name| (*name, "read together with the files above".to_owned())));
        rows.push(("videos/", format!("the videos, named {}", self.media)));
        let mut text = format!("{name}: not all of its files are in {}. Put there:\n", folder.display());
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, what) in rows {
            let found = if folder.join(name).exists() { " (already there)" } else { "" };
            let _ = writeln!(text, "  {name:<width$}  {what}{found}");
        }
        let _ = writeln!(text, "Where from: {}.", self.source);
        let _ = writeln!(text, "Then:       cargo xtask data inspect {}", folder.join(test).display());
        let _ = writeln!(text, "            cargo xtask eval {name} --checkpoint DIR");
        let _ =
            writeln!(text, "Or from elsewhere: cargo xtask eval {name} --annotations F --media DIR --checkpoint DIR");
        text
    }

    fn size(&self, split: Split) -> String {
        match (self.benchmark, split) {
            (Benchmark::Ssv2Label | Benchmark::Ssv2Template, Split::Test) => {
                return " (24777 clips with public labels, of which 12 per template are drawn)".into();
            }
            (Benchmark::Ssv2Chiral, Split::Test) => return " (4457 clips of 11 opposite pairs)".into(),
            (Benchmark::Ssv2Temporal, Split::Test) => return " (3371 clips of 18 templates)".into(),
            _ => {}
        }
        let what = match self.benchmark.task() {
            BenchmarkTask::Retrieval => "captions",
            BenchmarkTask::QuestionAnswering | BenchmarkTask::Choice => "questions",
        };
        published(self.benchmark, split)
            .map_or(String::new(), |n| format!(" ({} {what}, {} videos)", n.texts, n.videos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_evaluation_says_what_to_obtain() {
        for benchmark in Benchmark::ALL.into_iter().filter(|b| !b.is_generated()) {
            let files = benchmark.files();
            let text = files.instructions(Path::new("data"));
            for name in [files.test, files.validation, files.train, files.beside].concat() {
                assert!(text.contains(name), "{benchmark} does not name {name}");
            }
            assert!(text.contains(&format!("cargo xtask eval {benchmark}")) && text.contains("videos"), "{text}");
        }
        let text = Benchmark::Msvd.files().instructions(Path::new("data"));
        let rows: Vec<_> = text.lines().filter(|line| line.trim_start().starts_with("raw-captions.json")).collect();
        assert!(rows.len() == 1 && rows[0].contains("to score") && rows[0].contains("to fine-tune"), "{text}");
        let text = Benchmark::Msrvtt.files().instructions(Path::new("data"));
        assert!(
            text.contains("data/msrvtt/MSRVTT_JSFUSION_test.csv") && text.contains("(1000 captions, 1000 videos)"),
            "{text}"
        );
        assert!(text.contains("cargo xtask data inspect data/msrvtt/"), "{text}");
    }

    #[test]
    fn files_are_located_when_annotations_and_videos_are_there() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("anet_qa");
        std::fs::create_dir_all(folder.join("videos")).unwrap();
        assert_eq!(Benchmark::AnetQa.files().locate(data.path(), Split::Test), None);
        std::fs::write(folder.join("test_q.json"), "[]").unwrap();
        for (name, annotations) in [("Type.jsonl", "vitatecs/Type.jsonl"), ("Sequence.jsonl", "vitatecs")] {
            std::fs::create_dir_all(data.path().join("vitatecs/videos")).unwrap();
            std::fs::write(data.path().join("vitatecs").join(name), "{}").unwrap();
            let located = Benchmark::Vitatecs.files().locate(data.path(), Split::Test).unwrap();
            assert_eq!(located.annotations, data.path().join(annotations), "one file, or the folder of several");
        }
        let located = Benchmark::AnetQa.files().locate(data.path(), Split::Test).unwrap();
        assert_eq!(located, LocatedFiles { annotations: folder.join("test_q.json"), media: folder.join("videos") });
    }
}
