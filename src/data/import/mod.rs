//! Imports the original annotation files of data sets as [`Record`]s; one file per format, detected by content.

mod activitynet_qa;
mod agqa;
mod charades;
mod check;
mod detect;
mod didemo;
#[cfg(test)]
mod fuzz_tests;
mod json;
mod msrvtt;
mod msrvtt_qa;
mod shards;
mod singularity;
mod ssv2;
mod table;
mod webvid;

use std::path::{Path, PathBuf};

pub(crate) use check::{Duplicates, duplicates};
pub(crate) use detect::starts_with;
pub use detect::{AnnotationFormat, detect};
pub(crate) use json::whole as whole_json;

use super::{Benchmark, BenchmarkTask, Record, Split, SplitSize};
use crate::{Error, Result};

/// What the records are used for; decides how strict an importer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImportPurpose {
    /// Inspection: problems become warnings.
    #[default]
    Inspect,
    /// Training: records without usable text are refused.
    Train,
    /// Evaluation: everything that would change the score is refused.
    Evaluate,
}

/// How a file is imported.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnnotationOptions {
    /// The benchmark the person asked for; none takes what the file is.
    pub benchmark: Option<Benchmark>,
    /// What the records are for.
    pub purpose: ImportPurpose,
    /// Seed of the draw of twelve videos per template (SSv2).
    pub seed: u64,
}

/// The records of a file, and warnings about them.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedAnnotations {
    /// The format that was detected.
    pub format: AnnotationFormat,
    /// The benchmark the file belongs to, where that can be told.
    pub benchmark: Option<Benchmark>,
    /// Version of the release, where there are several (AGQA: `1.0`, `2.0`).
    pub version: Option<String>,
    /// The split that the file's name indicates.
    pub split: Option<Split>,
    /// The records, in file order.
    pub records: Vec<Record>,
    /// Sibling files that were read as well.
    pub joined: Vec<PathBuf>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// Published size of this split, where there is one.
    pub expected: Option<SplitSize>,
}

impl ImportedAnnotations {
    fn new(format: AnnotationFormat, path: &Path) -> Self {
        let (benchmark, split) = (None, Split::from_name(path));
        let (records, joined, warnings) = (Vec::new(), Vec::new(), Vec::new());
        Self { format, benchmark, version: None, split, records, joined, warnings, expected: None }
    }

    /// The file `name` beside `path`, if it is there; a warning that says what its absence means, if not.
    fn sibling(&mut self, path: &Path, names: &[&str], absent: &str) -> Option<PathBuf> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let found = names.iter().map(|name| folder.join(name)).find(|sibling| sibling.is_file());
        match &found {
            Some(sibling) => self.joined.push(sibling.clone()),
            None => self.warnings.push(format!("{} is not beside {}: {absent}", names.join(" or "), path.display())),
        }
        found
    }
}

/// Reads `path`, whatever known format it is in.
///
/// # Errors
/// The file cannot be read or parsed, does not belong to the benchmark asked for, or holds what its purpose forbids
/// (nothing at all, empty captions, duplicate ids, questions without answers).
pub fn import(path: &Path, options: &AnnotationOptions) -> Result<ImportedAnnotations> {
    let format = detect(path)?;
    refuse_other_benchmark(path, format, options)?;
    let mut imported = ImportedAnnotations::new(format, path);
    imported.benchmark = options.benchmark.or_else(|| format.benchmarks()?.first().copied());
    match format {
        AnnotationFormat::WebvidCsv => webvid::read(path, &mut imported)?,
        AnnotationFormat::MsrvttCsv => msrvtt::read_pairs(path, &mut imported)?,
        AnnotationFormat::MsrvttList => msrvtt::read_list(path, options.purpose, &mut imported)?,
        AnnotationFormat::MsrvttJson => msrvtt::read_data(path, options.purpose, &mut imported)?,
        AnnotationFormat::DidemoJson => didemo::read(path, &mut imported)?,
        AnnotationFormat::CharadesCsv => charades::read(path, &mut imported)?,
        AnnotationFormat::Ssv2Json => ssv2::read(path, options, &mut imported)?,
        AnnotationFormat::MsrvttQaJson => msrvtt_qa::read(path, &mut imported)?,
        AnnotationFormat::ActivitynetQaJson => activitynet_qa::read(path, options.purpose, &mut imported)?,
        AnnotationFormat::AgqaJson => agqa::read(path, &mut imported)?,
        AnnotationFormat::SingularityJson | AnnotationFormat::JsonLines => singularity::read(path, &mut imported)?,
        AnnotationFormat::Table => singularity::read_table(path, &mut imported)?,
        AnnotationFormat::Webdataset => shards::read(path, &mut imported)?,
    }
    check::check(path, options.purpose, &mut imported)?;
    Ok(imported)
}

fn refuse_other_benchmark(path: &Path, format: AnnotationFormat, options: &AnnotationOptions) -> Result<()> {
    let (Some(asked), Some(belongs)) = (options.benchmark, format.benchmarks()) else { return Ok(()) };
    if belongs.contains(&asked) {
        return Ok(());
    }
    let names: Vec<_> = belongs.iter().map(|benchmark| benchmark.name()).collect();
    let owner = if names.is_empty() { "no benchmark (it is for pretraining)".into() } else { names.join(" or ") };
    let remedy = match asked.is_generated() {
        true => format!("leave out the file: {asked} is generated"),
        false => format!("give {asked} {}", asked.files().describe()),
    };
    Err(Error::file(path, format!("is a {format} file, which belongs to {owner}, not to {asked}"), remedy))
}

/// A hand-written file in the shape of a release.
#[cfg(test)]
pub(crate) fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/samples").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(benchmark: Benchmark, purpose: ImportPurpose) -> AnnotationOptions {
        AnnotationOptions { benchmark: Some(benchmark), purpose, seed: 0 }
    }

    #[test]
    fn every_format_is_detected_by_its_content() {
        for (name, format) in [
            ("webvid/results_2M_train.csv", AnnotationFormat::WebvidCsv),
            ("msrvtt/MSRVTT_JSFUSION_test.csv", AnnotationFormat::MsrvttCsv),
            ("msrvtt/MSRVTT_train.9k.csv", AnnotationFormat::MsrvttList),
            ("msrvtt/MSRVTT_data.json", AnnotationFormat::MsrvttJson),
            ("didemo/test_data.json", AnnotationFormat::DidemoJson),
            ("charades/Charades_v1_test.csv", AnnotationFormat::CharadesCsv),
            ("ssv2/something-something-v2-validation.json", AnnotationFormat::Ssv2Json),
            ("msrvtt_qa/test_qa.json", AnnotationFormat::MsrvttQaJson),
            ("anet_qa/test_q.json", AnnotationFormat::ActivitynetQaJson),
            ("anet_qa/test_a.json", AnnotationFormat::ActivitynetQaJson),
            ("agqa/test_balanced.txt", AnnotationFormat::AgqaJson),
            ("singularity/clips_train.json", AnnotationFormat::SingularityJson),
            ("singularity/didemo_ret_test.json", AnnotationFormat::SingularityJson),
            ("singularity/clips.jsonl", AnnotationFormat::JsonLines),
            ("singularity/clips.tsv", AnnotationFormat::Table),
        ] {
            assert_eq!(detect(&sample(name)).unwrap(), format, "{name}");
        }
    }

    #[test]
    fn a_file_of_another_benchmark_is_refused_with_the_right_one_named() {
        let refused = |name: &str, benchmark| {
            import(&sample(name), &options(benchmark, ImportPurpose::Evaluate)).unwrap_err().to_string()
        };
        let message = refused("didemo/test_data.json", Benchmark::Msrvtt);
        assert!(message.contains("belongs to didemo, not to msrvtt") && message.contains("MSRVTT_JSFUSION_test.csv"));
        let message = refused("webvid/results_2M_train.csv", Benchmark::Charades);
        assert!(message.contains("it is for pretraining"), "{message}");
        let message = refused("singularity/didemo_ret_test.json", Benchmark::Charades);
        assert!(message.contains("is named after didemo, not charades"), "{message}");
        let message = refused("singularity/clips_train.json", Benchmark::AnetQa);
        assert!(message.contains("holds no questions"), "{message}");
        let message = refused("singularity/clips_qa.json", Benchmark::Msrvtt);
        assert!(message.contains("holds questions"), "{message}");
    }

    #[test]
    fn unusable_records_are_refused_for_scoring_and_warned_about_on_inspection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clips.json");
        for (text, problem) in [
            ("[]", "no records"),
            (r#"[{"video":"a.mp4","caption":" "}]"#, "empty or missing caption, first record 1 (a.mp4)"),
            (r#"[{"video":"a.mp4","caption":"x"},{"video":"b.mp4"}]"#, "first record 2 (b.mp4)"),
            (r#"[{"video":"a.mp4","caption":"x","id":7},{"video":"b.mp4","caption":"y","id":7}]"#, "first 7"),
            (r#"[{"video":"a.mp4","question":"who","question_id":3}]"#, "without an answer, first 3"),
        ] {
            std::fs::write(&path, text).unwrap();
            let refused =
                import(&path, &AnnotationOptions { purpose: ImportPurpose::Evaluate, ..AnnotationOptions::default() });
            assert!(refused.unwrap_err().to_string().contains(problem), "{text}");
            let warnings = import(&path, &AnnotationOptions::default()).unwrap().warnings.join("\n");
            assert!(warnings.contains(problem.trim_start_matches("no ")), "{text}: {warnings}");
        }
        std::fs::write(&path, r#"[{"video":"a/1.mp4","caption":"x"},{"video":"b/1.mp4","caption":"y"}]"#).unwrap();
        let warnings = import(&path, &AnnotationOptions::default()).unwrap().warnings.join("\n");
        assert!(warnings.contains("such as a/1.mp4 and b/1.mp4"), "{warnings}");
    }

    #[test]
    fn counts_that_differ_from_the_published_split_are_both_stated() {
        let imported = import(&sample("charades/Charades_v1_test.csv"), &AnnotationOptions::default()).unwrap();
        let expected = "3 videos and 3 texts were found, while the published split has 1863 and 1863";
        assert!(imported.warnings.iter().any(|warning| warning == expected), "{:?}", imported.warnings);
    }

    #[test]
    fn a_broken_file_is_named_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clips.json");
        std::fs::write(&path, "[{\"video\": \"a.mp4\", \"caption\": \"x\"},\n {\"video\": }]").unwrap();
        let message = import(&path, &AnnotationOptions::default()).unwrap_err().to_string();
        assert!(message.contains("clips.json") && message.contains("line 2 column 12"), "{message}");
    }
}
