//! What a file of records holds, and which of its videos are missing on disk.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    Benchmark, MediaFolder, Record, Unreadable,
    import::{AnnotationOptions, Columns, Duplicates, ImportedAnnotations, distinct_videos, duplicates, import},
    media::{MediaMatch, ambiguous},
};
use crate::{Result, input::shown};

/// Tokens of pretraining captions, the limit where no benchmark sets another.
const PRETRAINING_LENGTH: usize = 32;
/// Missing videos that are named.
const EXAMPLES: usize = 5;

/// Optional inputs of an inspection beside the file.
#[derive(Clone, Default)]
pub struct InspectOptions<'a> {
    /// The benchmark the file is meant for; none takes what the file is.
    pub benchmark: Option<Benchmark>,
    /// The folder of videos.
    pub media: Option<&'a Path>,
    /// Tokens of a text, `[CLS]` included, cleaned as in training.
    pub tokens: Option<&'a dyn Fn(&str) -> usize>,
    /// Token limit; none takes the benchmark's.
    pub max_length: Option<usize>,
    /// Names of columns and the separator, as the person gave them.
    pub columns: Columns,
}

/// The result of `data inspect`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InspectReport {
    /// The format that was detected.
    pub format: String,
    /// The benchmark it belongs to; empty where that cannot be told.
    pub benchmark: String,
    /// Version of the release; empty where there is one only.
    pub version: String,
    /// train, validation or test; empty where the file's name does not say.
    pub split: String,
    /// Records of the file.
    pub records: usize,
    /// Distinct videos; one that is shown backwards is another one.
    pub videos: usize,
    /// Captions, repeated ones included.
    pub captions: usize,
    /// Captions that differ from each other.
    pub distinct_captions: usize,
    /// Questions, or choices.
    pub questions: usize,
    /// Answers, or texts to choose from, repeated ones included.
    pub answers: usize,
    /// Answers that differ from each other.
    pub distinct_answers: usize,
    /// Questions by the types that accuracy is reported by.
    pub question_types: BTreeMap<String, usize>,
    /// Records whose id occurs before, or, without ids, whose video and text do.
    pub duplicates: usize,
    /// Token limit that `too_long` was counted against.
    pub max_length: usize,
    /// Captions and questions with more tokens than that.
    pub too_long: usize,
    /// Videos that are not on disk.
    pub missing: usize,
    /// The first of them.
    pub missing_examples: Vec<String>,
    /// Records that training and evaluation cannot use: without text, without video, with an impossible span.
    pub unusable: usize,
    /// The first of them, and why.
    pub unusable_examples: Vec<Unreadable>,
    /// Columns and keys that are not used, by the number of records that have them.
    pub further_columns: BTreeMap<String, usize>,
    /// Sibling files that were read as well.
    pub joined: Vec<String>,
    /// What looked odd.
    pub warnings: Vec<String>,
}

/// Inspects a file in any known format.
///
/// # Errors
/// The file cannot be read or parsed.
pub fn inspect(path: &Path, options: &InspectOptions<'_>) -> Result<InspectReport> {
    let (benchmark, columns) = (options.benchmark, options.columns.clone());
    let imported = import(path, &AnnotationOptions { benchmark, columns, ..AnnotationOptions::default() })?;
    let mut report = count(&imported);
    lengths(&imported, options, &mut report);
    media(&imported.records, options.media, &mut report);
    Ok(report)
}

fn count(imported: &ImportedAnnotations) -> InspectReport {
    let records = &imported.records;
    let captions = || records.iter().flat_map(|record| &record.captions);
    let choices = |record: &'_ Record| record.choice.iter().flat_map(|choice| choice.texts.clone()).collect::<Vec<_>>();
    let answers = || records.iter().flat_map(|record| record.answers.iter().cloned().chain(choices(record)));
    let mut question_types = BTreeMap::new();
    for kind in records.iter().flat_map(|record| &record.types) {
        *question_types.entry(kind.clone()).or_default() += 1;
    }
    let Duplicates { ids, repeats, .. } = duplicates(records);
    InspectReport {
        format: imported.format.to_string(),
        benchmark: imported.benchmark.map(|benchmark| benchmark.to_string()).unwrap_or_default(),
        version: imported.version.clone().unwrap_or_default(),
        split: imported.split.map(|split| split.to_string()).unwrap_or_default(),
        records: imported.total,
        videos: distinct_videos(records),
        captions: captions().count(),
        distinct_captions: captions().collect::<HashSet<_>>().len(),
        questions: records.iter().filter(|record| record.question.is_some() || record.choice.is_some()).count(),
        answers: answers().count(),
        distinct_answers: answers().collect::<HashSet<_>>().len(),
        question_types,
        duplicates: if records.iter().any(|record| record.id.is_some()) { ids } else { repeats },
        unusable: imported.left_out_count,
        unusable_examples: imported.left_out.iter().take(EXAMPLES).cloned().collect(),
        further_columns: imported.further.clone(),
        joined: imported.joined.iter().map(|path| path.display().to_string()).collect(),
        warnings: imported.warnings.clone(),
        ..InspectReport::default()
    }
}

fn lengths(imported: &ImportedAnnotations, options: &InspectOptions<'_>, report: &mut InspectReport) {
    let published = imported.benchmark.map_or(PRETRAINING_LENGTH, |benchmark| benchmark.protocol().max_text);
    report.max_length = options.max_length.unwrap_or(published);
    let Some(tokens) = options.tokens else {
        report.warnings.push("without --vocab, texts longer than the token limit could not be counted".into());
        return;
    };
    let texts = imported.records.iter().flat_map(Record::read_texts);
    report.too_long = texts.filter(|text| tokens(text) > report.max_length).count();
    if report.too_long > 0 {
        let (count, limit) = (report.too_long, report.max_length);
        report.warnings.push(format!("{count} texts have more than {limit} tokens and will be cut"));
    }
}

fn media(records: &[Record], folder: Option<&Path>, report: &mut InspectReport) {
    if records.iter().all(|record| record.media.contains(".tar#")) {
        return;
    }
    let Some(folder) = folder else {
        report.warnings.push("without --media, missing videos could not be counted".into());
        return;
    };
    let listed = MediaFolder::open(folder).map_err(|e| report.warnings.push(e.to_string())).ok();
    let (mut seen, mut missing) = (HashSet::new(), Vec::new());
    let (mut ambiguities, mut first_ambiguity) = (0, None);
    for name in records.iter().flat_map(Record::videos).filter(|name| seen.insert(*name)) {
        match listed.as_ref().map_or(MediaMatch::Missing, |folder| folder.find(name)) {
            MediaMatch::File(_) | MediaMatch::ShardMember(_) => {}
            MediaMatch::Missing => missing.push(name.to_owned()),
            MediaMatch::Ambiguous(paths) => {
                ambiguities += 1;
                first_ambiguity.get_or_insert_with(|| ambiguous(name, &paths).to_string());
            }
        }
    }
    if let Some(first) = first_ambiguity {
        report.warnings.push(format!("{ambiguities} names mean several files, the first: {first}"));
    }
    report.missing = missing.len();
    missing.truncate(EXAMPLES);
    if let Some(first) = missing.first() {
        let (missing, videos) = (report.missing, seen.len());
        let first = shown(first);
        report.warnings.push(format!("{missing} of {videos} videos are not in {}, first {first}", folder.display()));
    }
    report.missing_examples = missing;
}

impl fmt::Display for InspectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let distinct = |all: usize, distinct: usize| format!("{all} ({distinct} distinct)");
        let mut row = |name: &str, value: String| writeln!(f, "{name:<21} {value}");
        row("format", self.format.clone())?;
        row("benchmark", none(format!("{} {}", self.benchmark, self.version).trim()))?;
        row("split", none(&self.split))?;
        row("records", self.records.to_string())?;
        row("videos", self.videos.to_string())?;
        row("captions", distinct(self.captions, self.distinct_captions))?;
        row("questions", self.questions.to_string())?;
        row("answers", distinct(self.answers, self.distinct_answers))?;
        for (kind, count) in &self.question_types {
            row(&format!("  {}", shown(kind)), count.to_string())?;
        }
        row("duplicates", self.duplicates.to_string())?;
        row(&format!("longer than {}", self.max_length), self.too_long.to_string())?;
        row("missing on disk", self.missing.to_string())?;
        row("unusable records", self.unusable.to_string())?;
        for joined in &self.joined {
            row("read as well", joined.clone())?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::import::sample;

    #[test]
    fn a_retrieval_file_is_counted_against_the_disk_and_the_token_limit() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("video10001.webm"), b"x").unwrap();
        let words = |text: &str| 1 + text.split_whitespace().count();
        let options = InspectOptions {
            media: Some(folder.path()),
            tokens: Some(&words),
            max_length: Some(6),
            ..InspectOptions::default()
        };
        let report = inspect(&sample("msrvtt/MSRVTT_JSFUSION_test.csv"), &options).unwrap();
        assert_eq!((report.format.as_str(), report.benchmark.as_str()), ("msrvtt-csv", "msrvtt"));
        assert_eq!((report.videos, report.captions, report.distinct_captions, report.questions), (3, 3, 2, 0));
        assert_eq!((report.too_long, report.missing, report.duplicates), (1, 2, 0));
        assert_eq!(report.missing_examples, ["video10000.mp4", "video10002.mp4"]);
        assert_eq!(report.warnings.len(), 3, "{:?}", report.warnings);
    }

    #[test]
    fn a_question_file_is_counted_by_type_and_missing_options_are_reported() {
        let report = inspect(&sample("anet_qa/test_q.json"), &InspectOptions::default()).unwrap();
        assert_eq!((report.videos, report.captions, report.questions, report.answers), (2, 0, 4, 4));
        assert_eq!((report.distinct_answers, report.question_types["Yes/No"], report.question_types.len()), (3, 2, 3));
        let warnings = report.warnings.join("\n");
        assert!(warnings.contains("without --vocab") && warnings.contains("without --media"), "{warnings}");
        assert!(report.to_string().contains("questions             4\n"), "{report}");
        let json = serde_json::to_value(&report).unwrap();
        for field in ["videos", "captions", "questions", "answers", "duplicates", "too_long", "missing"] {
            assert!(json[field].is_u64(), "{field} is no integer");
        }
    }
}
