//! Where each benchmark's files are looked for below `data/`, and what to obtain when they are not there.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use super::{Benchmark, Split, Task, split::published};

/// The files of a benchmark, by the names of their release.
#[derive(Clone, Copy, Debug)]
pub struct Files {
    benchmark: Benchmark,
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
pub struct Located {
    /// The annotations of the split asked for.
    pub annotations: PathBuf,
    /// The folder of videos.
    pub media: PathBuf,
}

const DIDEMO: &str = "annotations: github.com/LisaAnne/LocalizingMoments; lists: the collaborative-experts repository; \
                      videos: Flickr, by the download scripts of the former";
const SSV2: &str = "Qualcomm's site, free after registration";

impl Benchmark {
    /// The files of this benchmark.
    pub const fn files(self) -> Files {
        let (folder, test, validation, train, beside, media, source): (_, &[_], &[_], &[_], &[_], _, _) = match self {
            Self::Msrvtt => (
                "msrvtt",
                &["MSRVTT_JSFUSION_test.csv", "msrvtt_ret_test1k.json"],
                &[],
                &["MSRVTT_train.9k.csv", "msrvtt_ret_train9k.json"],
                &["MSRVTT_data.json"],
                "video<number>.mp4",
                "the lists and data file of CLIP4Clip's MSR-VTT package; videos: Microsoft's MSR-VTT release",
            ),
            Self::Didemo => (
                "didemo",
                &["test_data.json", "didemo_ret_test.json"],
                &["val_data.json", "didemo_ret_val.json"],
                &["train_data.json", "didemo_ret_train.json"],
                &["ce_test_list.txt", "ce_val_list.txt", "ce_train_list.txt"],
                "<user>@N<number>_<id>_<hash>, any extension",
                DIDEMO,
            ),
            Self::Charades => (
                "charades",
                &["Charades_v1_test.csv", "charades-script_test.json"],
                &[],
                &["Charades_v1_train.csv", "charades-script_train.json"],
                &[],
                "<id>.mp4",
                "prior.allenai.org/projects/charades",
            ),
            Self::Ssv2Label | Self::Ssv2Template => (
                "ssv2",
                &["something-something-v2-validation.json", "validation.json"],
                &[],
                &["something-something-v2-train.json", "train.json"],
                &["something-something-v2-labels.json"],
                "<id>.webm",
                SSV2,
            ),
            Self::MsrvttQa => (
                "msrvtt_qa",
                &["test_qa.json", "msrvtt_qa_test.json"],
                &["val_qa.json", "msrvtt_qa_val.json"],
                &["train_qa.json", "msrvtt_qa_train.json"],
                &[],
                "video<number>.mp4",
                "github.com/xudejing/video-question-answering; videos: Microsoft's MSR-VTT release",
            ),
            Self::AnetQa => (
                "anet_qa",
                &["test_q.json", "anet_qa_test.json"],
                &["val_q.json", "anet_qa_val.json"],
                &["train_q.json", "anet_qa_train.json"],
                &["test_a.json", "val_a.json", "train_a.json"],
                "v_<name>.mp4 or .mkv",
                "github.com/MILVLG/activitynet-qa; videos: activity-net.org",
            ),
            Self::Agqa => (
                "agqa",
                &["test_balanced.txt", "test_balanced.json", "agqa_test_balanced.json"],
                &[],
                &["train_balanced.txt", "train_balanced.json", "agqa_train_balanced.json"],
                &[],
                "<id>.mp4, the videos of Charades",
                "cs.stanford.edu/people/ranjaykrishna/agqa (1.0 and 2.0); videos: prior.allenai.org/projects/charades",
            ),
            Self::Shapes | Self::ShapesQa => ("shapes", &[], &[], &[], &[], "none", "generated, nothing to obtain"),
        };
        Files { benchmark: self, folder, test, validation, train, beside, media, source }
    }
}

impl Files {
    /// The names of a split's file.
    pub const fn of(&self, split: Split) -> &'static [&'static str] {
        match split {
            Split::Train => self.train,
            Split::Validation => self.validation,
            Split::Test => self.test,
        }
    }

    /// Looks below `data` for the annotations of `split` and the folder `videos` beside them.
    pub fn locate(&self, data: &Path, split: Split) -> Option<Located> {
        let folder = data.join(self.folder);
        let annotations = self.of(split).iter().map(|name| folder.join(name)).find(|path| path.is_file())?;
        let media = folder.join("videos");
        media.is_dir().then_some(Located { annotations, media })
    }

    /// The file to score, in a phrase.
    pub fn describe(&self) -> String {
        format!("its {} (or Singularity's JSON list)", self.test.first().unwrap_or(&"generated clips"))
    }

    /// What to obtain, where to put it and what to run, for a person who has nothing yet.
    pub fn instructions(&self, data: &Path) -> String {
        let (name, folder) = (self.benchmark, data.join(self.folder));
        if self.benchmark.is_generated() {
            return format!("{name} is generated: run `cargo xtask eval {name} --checkpoint DIR`\n");
        }
        let mut text = format!("{name}: nothing was found in {}. To score it, obtain:\n", folder.display());
        let mut line = |names: &[&str], what: String| {
            if !names.is_empty() {
                let _ = writeln!(text, "  {}  {what}", folder.join(names.join(" or ")).display());
            }
        };
        line(self.test, format!("to score{}", self.size(Split::Test)));
        line(self.validation, format!("to choose a checkpoint by{}", self.size(Split::Validation)));
        line(self.train, format!("to fine-tune{}", self.size(Split::Train)));
        self.beside.iter().for_each(|name| line(&[name], "read together with the file above of the same split".into()));
        line(&["videos/"], format!("the videos, named {}", self.media));
        let _ = writeln!(text, "Source: {}.", self.source);
        let _ = writeln!(text, "Then run: cargo xtask data inspect {}", folder.join(self.test[0]).display());
        let _ = writeln!(text, "          cargo xtask eval {name} --checkpoint DIR");
        let _ =
            writeln!(text, "Files elsewhere: cargo xtask eval {name} --annotations FILE --media DIR --checkpoint DIR");
        text
    }

    fn size(&self, split: Split) -> String {
        // Something-Something v2 is scored on its validation split, whose labels are public.
        let split = if self.folder == "ssv2" && split == Split::Test { Split::Validation } else { split };
        let what = if self.benchmark.task() == Task::Retrieval { "captions" } else { "questions" };
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
        let text = Benchmark::Msrvtt.files().instructions(Path::new("data"));
        assert!(text.contains("data/msrvtt/MSRVTT_JSFUSION_test.csv") && text.contains("1000 captions"), "{text}");
    }

    #[test]
    fn files_are_located_when_annotations_and_videos_are_there() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("anet_qa");
        std::fs::create_dir_all(folder.join("videos")).unwrap();
        assert_eq!(Benchmark::AnetQa.files().locate(data.path(), Split::Test), None);
        std::fs::write(folder.join("test_q.json"), "[]").unwrap();
        let located = Benchmark::AnetQa.files().locate(data.path(), Split::Test).unwrap();
        assert_eq!(located, Located { annotations: folder.join("test_q.json"), media: folder.join("videos") });
    }
}
