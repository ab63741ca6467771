//! The one reader of manifests: original release files, shards, lists and tables become [`Record`]s, told apart by
//! their contents.

mod activitynet_qa;
mod agqa;
mod captions_by_video;
mod charades;
mod check;
mod columns;
mod detect;
mod didemo;
pub(super) mod encoding;
#[cfg(test)]
mod fuzz_tests;
mod json;
mod literal;
mod lsmdc;
mod msrvtt;
mod msrvtt_qa;
mod multiple_choice;
mod nextqa;
mod records;
mod rtime;
mod several;
mod shards;
mod ssv2;
mod ssv2_order;
mod table;
mod tempcompass;
mod testoftime;
#[cfg(test)]
mod tests;
mod vilma;
mod vitatecs;
mod webvid;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub(crate) use check::{Duplicates, distinct_videos, duplicates};
pub use columns::Columns;
pub(crate) use columns::Further;
pub use detect::{AnnotationFormat, detect};
use json::Place;
pub(crate) use json::{text as json_text, whole as whole_json};
pub(crate) use records::{CaptionPart, ShardCaption};

use super::{Benchmark, BenchmarkTask, Choice, Record, Split, SplitSize, Unreadable, published_file};
use crate::{Error, Result};

/// What the records are used for; decides how strict an importer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImportPurpose {
    /// Inspection: problems become warnings.
    #[default]
    Inspect,
    /// Training: unusable records are left out, up to a limit.
    Train,
    /// Evaluation: everything that would change the score is refused.
    Evaluate,
}

/// How a file is imported.
#[derive(Clone, Debug, Default)]
pub struct AnnotationOptions {
    /// The benchmark the person asked for; none takes what the file is.
    pub benchmark: Option<Benchmark>,
    /// What the records are for.
    pub purpose: ImportPurpose,
    /// Seed of the draw of twelve videos per template (SSv2).
    pub seed: u64,
    /// Names of columns and the separator, as the person gave them.
    pub columns: Columns,
    /// Score what can be scored where [`ImportPurpose::Evaluate`] would refuse unusable records.
    pub allow_missing: bool,
}

/// Bytes of the longest text that is tokenised; a file with a longer one is seldom a file of captions.
pub(crate) const LONGEST_TEXT: usize = crate::text::LONGEST_TEXT;
/// Records of one file: twice as many as WebVid-10M has. One takes some 370 bytes of memory.
const MOST_RECORDS: u64 = 20_000_000;
/// Unusable records that are listed; more are counted.
const MOST_LISTED: usize = 10_000;

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
    /// What the records are for.
    pub purpose: ImportPurpose,
    /// The records, in file order.
    pub records: Vec<Record>,
    /// Records of the file, those that cannot be used among them.
    pub total: usize,
    /// Records that cannot be used, and why: without text, without video, with a span that ends before it begins.
    /// With [`ImportPurpose::Inspect`] those that name a video are among `records`, too.
    pub left_out: Vec<Unreadable>,
    /// How many there are; of a great many, only the first are listed.
    pub left_out_count: usize,
    /// Columns and keys without a meaning here, by the number of records that have them.
    pub further: BTreeMap<String, usize>,
    /// Sibling files that were read as well.
    pub joined: Vec<PathBuf>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// Published size of this file or split, where there is one.
    pub expected: Option<SplitSize>,
}

impl ImportedAnnotations {
    fn new(format: AnnotationFormat, path: &Path, purpose: ImportPurpose) -> Self {
        Self {
            format,
            benchmark: None,
            version: None,
            split: Split::from_name(path),
            purpose,
            records: Vec::new(),
            total: 0,
            left_out: Vec::new(),
            left_out_count: 0,
            further: BTreeMap::new(),
            joined: Vec::new(),
            warnings: Vec::new(),
            expected: None,
        }
    }

    /// Adds the record found at `place`, or notes why it cannot be used.
    fn take(&mut self, place: &Place, record: Record) {
        self.take_with(place, record, "");
    }

    /// The same; `hint` is what may explain a text that is missing.
    fn take_with(&mut self, place: &Place, record: Record, hint: &str) {
        self.total += 1;
        if let Some(problem) = problem(&record) {
            self.note_at(place, Some(&record.media), &(problem + hint));
            if self.purpose != ImportPurpose::Inspect {
                return;
            }
        }
        self.records.push(record);
    }

    /// Adds `records`, whose lines are not known.
    fn take_all(&mut self, records: impl IntoIterator<Item = Record>) {
        for (number, record) in (1..).zip(records) {
            self.take(&Place { number, ..Place::default() }, record);
        }
    }

    /// Counts the record at `place`, of the video `media` where that is known, which cannot be used.
    fn leave_out(&mut self, place: &Place, media: Option<&str>, problem: &str) {
        self.total += 1;
        self.note_at(place, media, problem);
    }

    /// Notes why the record at `place` cannot be used; one without video is named by its place.
    fn note_at(&mut self, place: &Place, media: Option<&str>, problem: &str) {
        self.note(match media.filter(|media| !media.trim().is_empty()) {
            Some(media) => Unreadable { media: media.to_owned(), reason: format!("{place}: {problem}") },
            None => Unreadable { media: place.to_string(), reason: problem.to_owned() },
        });
    }

    /// What is to be said of `further` columns.
    fn list_further(&mut self, further: columns::Further) {
        self.warnings.extend(further.warning());
        self.further = further.into_counts();
    }

    fn note(&mut self, unreadable: Unreadable) {
        self.left_out_count += 1;
        if self.left_out.len() < MOST_LISTED {
            self.left_out.push(unreadable);
        }
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

/// The error of a file with more records than [`MOST_RECORDS`].
fn too_many(path: &Path) -> Error {
    let remedy = "split it, or check that it is the right file";
    Error::file(path, format!("has more than {MOST_RECORDS} records"), remedy)
}

/// Why nothing can be done with `record`, if that is so.
fn problem(record: &Record) -> Option<String> {
    let blank = |text: &String| text.trim().is_empty();
    let Record { start, end, captions, question, choice, then, .. } = record;
    let texts = record.read_texts().chain(&record.answers);
    let textless = match question {
        Some(question) => blank(question),
        None => choice.is_none() && captions.is_empty() || captions.iter().any(blank),
    };
    if record.videos().any(|video| video.trim().is_empty()) {
        Some("it names no video".into())
    } else if textless {
        Some(format!("its {} is missing or empty", if question.is_some() { "question" } else { "caption" }))
    } else if let Some(text) = texts.into_iter().find(|text| text.len() > LONGEST_TEXT) {
        Some(format!("it has a text of {} bytes, more than {LONGEST_TEXT}", text.len()))
    } else if let Some(problem) = choice.as_deref().and_then(problem_of_choice) {
        Some(problem.into())
    } else {
        let first = end.map(|end| [start.unwrap_or(0.0), end]);
        let backwards = first.into_iter().chain(then.as_deref().copied()).find(|[start, end]| end <= start);
        backwards.map(|[start, end]| format!("it ends at {end} s, not after its start at {start} s"))
    }
}

/// Why nobody can choose, if that is so.
fn problem_of_choice(choice: &Choice) -> Option<&'static str> {
    let blank = |text: &String| text.trim().is_empty();
    if choice.texts.len() < 2 {
        Some("it has fewer than two texts to choose from")
    } else if choice.texts.iter().any(blank) {
        Some("one of its texts is missing or empty")
    } else {
        (choice.right >= choice.texts.len()).then_some("its right answer is none of its texts")
    }
}

/// Reads `path`, whatever known format it is in; of a benchmark of several files, a folder of them.
///
/// # Errors
/// The file cannot be read or parsed, does not belong to the benchmark asked for, or holds what its purpose forbids:
/// nothing at all, more unusable records than training allows, any such record or a duplicate id in evaluation.
pub fn import(path: &Path, options: &AnnotationOptions) -> Result<ImportedAnnotations> {
    if let Some(benchmark) = options.benchmark.filter(|benchmark| benchmark.is_in_several_files() && path.is_dir()) {
        return several::read(path, benchmark, options);
    }
    let format = detect(path, &options.columns)?;
    refuse_other_benchmark(path, format, options)?;
    let mut imported = ImportedAnnotations::new(format, path, options.purpose);
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
        AnnotationFormat::SingularityJson | AnnotationFormat::JsonLines => {
            records::read(path, &options.columns, &mut imported)?
        }
        AnnotationFormat::Table => records::read_table(path, &options.columns, &mut imported)?,
        AnnotationFormat::Webdataset => shards::read(path, &mut imported)?,
        AnnotationFormat::RtimeJson => rtime::read(path, &mut imported)?,
        AnnotationFormat::VitatecsLines => vitatecs::read(path, &mut imported)?,
        AnnotationFormat::TempcompassJson => tempcompass::read(path, &mut imported)?,
        AnnotationFormat::TestoftimeCsv => testoftime::read(path, &mut imported)?,
        AnnotationFormat::VilmaJson => vilma::read(path, &mut imported)?,
        AnnotationFormat::NextqaCsv => nextqa::read(path, &mut imported)?,
        AnnotationFormat::MsvdJson => captions_by_video::read_msvd(path, &mut imported)?,
        AnnotationFormat::VatexJson => captions_by_video::read_vatex(path, &mut imported)?,
        AnnotationFormat::LsmdcTable => lsmdc::read(path, &mut imported)?,
    }
    let of_file = imported.benchmark.and_then(|benchmark| published_file(benchmark, path));
    imported.expected = of_file.or(imported.expected);
    check::check(path, options, &mut imported)?;
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

/// The file of the video `id`; none for none, so that a missing id is not taken for a name.
fn named(id: &str, extension: &str) -> String {
    let id = id.trim();
    if id.is_empty() { String::new() } else { format!("{id}.{extension}") }
}

/// A hand-written file in the shape of a release.
#[cfg(test)]
pub(crate) fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/samples").join(name)
}
