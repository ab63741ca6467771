//! Checks of every imported file: records that cannot be scored are refused, odd ones are reported.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use super::{AnnotationOptions, BenchmarkTask, ImportPurpose, ImportedAnnotations, Split};
use crate::{
    Error, Result,
    data::{Record, Unreadable, UnreadableLimit},
    input::shown,
    text::clean,
};
use svitt_ops::rng::text_key;

/// Checks the records of `path` against their purpose and the published counts.
///
/// # Errors
/// For [`ImportPurpose::Train`] and [`ImportPurpose::Evaluate`]: no records, records for the other task; unusable records, in
/// training beyond the limit; for [`ImportPurpose::Evaluate`] also duplicate ids.
pub fn check(path: &Path, options: &AnnotationOptions, imported: &mut ImportedAnnotations) -> Result<()> {
    let mut gate = RecordChecker { path, purpose: options.purpose, warnings: Vec::new() };
    gate.split(imported.split);
    gate.answers(imported)?;
    gate.unusable(options.allow_missing, imported)?;
    let records = &imported.records;
    gate.refuse(records.is_empty(), || ("holds no records".into(), "obtain the file again"))?;
    if let Some(benchmark) = imported.benchmark {
        gate.task(benchmark.task(), records)?;
    }
    gate.bare(records);
    gate.duplicates(records)?;
    gate.equal_names(records);
    let mut warnings = gate.warnings;
    warnings.extend(counts(imported));
    imported.warnings.extend(warnings);
    Ok(())
}

struct RecordChecker<'a> {
    path: &'a Path,
    purpose: ImportPurpose,
    warnings: Vec<String>,
}

impl RecordChecker<'_> {
    /// Refuses if `wrong`; with [`ImportPurpose::Inspect`] only warns.
    fn refuse(&mut self, wrong: bool, say: impl FnOnce() -> (String, &'static str)) -> Result<()> {
        if !wrong {
            return Ok(());
        }
        let (problem, remedy) = say();
        match self.purpose {
            ImportPurpose::Inspect => self.warnings.push(format!("the file {problem}")),
            ImportPurpose::Train | ImportPurpose::Evaluate => return Err(Error::file(self.path, problem, remedy)),
        }
        Ok(())
    }

    /// Refuses, counts or, where a part of the file may be missing, leaves out what cannot be used.
    fn unusable(&mut self, allow_missing: bool, imported: &ImportedAnnotations) -> Result<()> {
        let (count, used, all) = (imported.left_out_count, imported.records.len(), imported.total);
        let Some(first) = imported.left_out.first() else { return Ok(()) };
        let first = format!("such as {}: {}", shown(&first.media), first.reason);
        let allowed = match self.purpose {
            ImportPurpose::Train => UnreadableLimit::default().allowed(all),
            ImportPurpose::Evaluate if !allow_missing => 0,
            ImportPurpose::Evaluate | ImportPurpose::Inspect => all,
        };
        if count > allowed || used == 0 && self.purpose != ImportPurpose::Inspect {
            let problem = format!("{count} of {all} records cannot be used and {allowed} are allowed, {first}");
            let remedy = match self.purpose {
                ImportPurpose::Evaluate => "repair or remove them, or leave them out with option `allow_missing`",
                _ => "repair or remove them; option `video_key` and option `caption_key` name other keys or columns",
            };
            return Err(Error::file(self.path, problem, remedy));
        }
        let verb = if self.purpose == ImportPurpose::Inspect { "cannot be used" } else { "are left out" };
        self.warnings.push(format!("{count} of {all} records {verb}, {first}"));
        Ok(())
    }

    /// Leaves out questions that have no answer; refuses a file in which none has.
    fn answers(&mut self, imported: &mut ImportedAnnotations) -> Result<()> {
        let unanswered =
            |record: &Record| record.question.is_some() && record.answers.iter().all(|answer| answer.trim().is_empty());
        let open: Vec<usize> =
            imported.records.iter().enumerate().filter(|(_, r)| unanswered(r)).map(|(i, _)| i).collect();
        let Some(first) = open.first().map(|&first| label(&imported.records[first])) else { return Ok(()) };
        if open.len() == imported.records.len() || self.purpose == ImportPurpose::Inspect {
            return self.refuse(true, || {
                let problem = format!("has {} questions without an answer, first {}", open.len(), shown(&first));
                (problem, "put the file of answers beside it or remove those questions")
            });
        }
        for record in imported.records.extract_if(.., |record| unanswered(record)).collect::<Vec<_>>() {
            let reason = format!("question {} has no answer", label(&record));
            imported.note(Unreadable { media: record.media, reason });
        }
        Ok(())
    }

    fn split(&mut self, split: Option<Split>) {
        match (self.purpose, split) {
            (ImportPurpose::Evaluate, Some(Split::Train)) => {
                self.warnings.push("by its name this is a training split: scores on it mean little".into());
            }
            (ImportPurpose::Train, Some(Split::Test)) => {
                self.warnings.push("by its name this is a test split: do not report scores on what was learned".into());
            }
            _ => {}
        }
    }

    fn task(&mut self, task: BenchmarkTask, records: &[Record]) -> Result<()> {
        let questions = records.iter().filter(|record| record.question.is_some()).count();
        let choices = records.iter().filter(|record| record.choice.is_some()).count();
        match task {
            BenchmarkTask::Choice => self.refuse(choices == 0 && !records.is_empty(), || {
                ("holds nothing to choose from".into(), "give the file of captions or options to choose from")
            }),
            _ if choices > 0 => self
                .refuse(true, || ("holds texts to choose from".into(), "score it as the benchmark that it belongs to")),
            BenchmarkTask::QuestionAnswering => self.refuse(questions == 0 && !records.is_empty(), || {
                ("holds no questions, while the benchmark asks them".into(), "give the file of questions and answers")
            }),
            BenchmarkTask::Retrieval => self.refuse(questions > 0 && questions == records.len(), || {
                ("holds questions, while the benchmark retrieves captions".into(), "give the file of captions")
            }),
        }
    }

    /// Captions of which cleaning leaves nothing.
    fn bare(&mut self, records: &[Record]) {
        let bare = |record: &&Record| record.read_texts().any(|text| clean(text).is_empty() && !text.trim().is_empty());
        let mut found = records.iter().filter(bare);
        if let Some(first) = found.next() {
            let count = 1 + found.count();
            let first = shown(&first.media);
            self.warnings.push(format!("{count} captions hold nothing but punctuation, the first that of `{first}`"));
        }
    }

    fn duplicates(&mut self, records: &[Record]) -> Result<()> {
        let Duplicates { ids, repeats, first } = duplicates(records);
        let first = first.unwrap_or_default();
        if ids > 0 && self.purpose == ImportPurpose::Evaluate {
            let problem = format!("has {ids} records whose id occurs before, first {}", shown(&first));
            return Err(Error::file(self.path, problem, "keep one record per id"));
        }
        if ids > 0 {
            self.warnings.push(format!("{ids} records have an id that occurs before, first {first}"));
        }
        if repeats > 0 {
            self.warnings.push(format!("{repeats} records repeat the same video and text"));
        }
        Ok(())
    }

    fn equal_names(&mut self, records: &[Record]) {
        let mut folders: HashMap<&str, &str> = HashMap::new();
        let mut clash: Option<(String, String)> = None;
        let mut clashes = HashSet::new();
        for media in records.iter().flat_map(|record| std::iter::once(&record.media).chain(&record.also)) {
            if media.contains(".tar#") {
                continue;
            }
            let name = media.rsplit('/').next().unwrap_or(media);
            let other = *folders.entry(name).or_insert(media);
            if other != media && clashes.insert(name) && clash.is_none() {
                clash = Some((other.to_owned(), media.clone()));
            }
        }
        if let Some((one, other)) = clash.map(|(one, other)| (shown(&one), shown(&other))) {
            self.warnings.push(format!(
                "{} file names occur in several folders, such as {one} and {other}: they are taken for different videos",
                clashes.len()
            ));
        }
    }
}

/// Warns where the numbers of videos and texts are not the published ones.
fn counts(imported: &ImportedAnnotations) -> Option<String> {
    let expected = imported.expected?;
    // Clips beside the choices, which a text is to retrieve, are no part of the split.
    let choices = imported.benchmark.is_some_and(|benchmark| benchmark.task() == BenchmarkTask::Choice);
    let counted = || imported.records.iter().filter(|record| !choices || record.choice.is_some());
    let videos = distinct_videos(counted());
    let texts: usize = counted().map(Record::texts).sum();
    let texts_differ = texts > 0 && texts != expected.texts;
    (videos != expected.videos || texts_differ).then(|| {
        format!(
            "{videos} videos and {texts} texts were found, while the published split has {} and {}",
            expected.videos, expected.texts
        )
    })
}

/// Videos of `records`; one that is shown backwards is another one.
pub fn distinct_videos<'a>(records: impl IntoIterator<Item = &'a Record>) -> usize {
    let shown = records.into_iter().flat_map(|record| record.videos().map(|video| (video, record.reversed)));
    shown.collect::<HashSet<_>>().len()
}

/// Records that occur twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Duplicates {
    /// Records whose id was seen before.
    pub ids: usize,
    /// Records whose video and text were seen before.
    pub repeats: usize,
    /// The first repeated id.
    pub first: Option<String>,
}

/// Counts repeated ids and repeated pairs of video and text.
pub fn duplicates(records: &[Record]) -> Duplicates {
    let (mut ids, mut pairs, mut found) = (HashSet::new(), HashSet::new(), Duplicates::default());
    for record in records {
        if record.id.as_ref().is_some_and(|id| !ids.insert(text_key(id))) {
            found.ids += 1;
            found.first = found.first.or_else(|| record.id.clone());
        }
        let texts = record.captions.join("\n");
        let mut pair =
            format!("{}\n{:?}\n{:?}\n{:?}\n{texts}", record.media, record.start, record.end, record.question);
        if let Some(choice) = &record.choice {
            pair.push_str(&format!("\n{}\n{:?}\n{}", record.clip_name(), choice.texts, choice.right));
        }
        found.repeats += usize::from(!pairs.insert(text_key(&pair)));
    }
    found
}

/// How a record is named in a message: its id or media.
fn label(record: &Record) -> String {
    record.id.clone().unwrap_or_else(|| record.media.clone())
}
