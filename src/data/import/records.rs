//! Records of anybody's making: a JSON list as Singularity's, the same records one per line or under their ids, and
//! tables with the same columns.
//!
//! A record names a video and a caption, or a video and a question with its answers, under any name of the table in
//! [`columns`](super::columns); each may be a list, and a start and an end (seconds or `h:m:s`) cut a span out of the
//! file.

use std::path::Path;

use serde_json::Value;

use super::{
    AnnotationFormat, ImportedAnnotations,
    columns::{Columns, Field, Further, listed},
    json::{self, Place},
    literal, msrvtt_qa,
    multiple_choice::MultipleChoice,
    table,
};
use crate::{
    Error, Result,
    data::{Benchmark, Record, published},
    input::shown,
};

/// Reads a list, lines or an object of records.
pub fn read(path: &Path, columns: &Columns, imported: &mut ImportedAnnotations) -> Result<()> {
    let mut rows = Rows::new(path, columns, imported)?;
    let lines = imported.format == AnnotationFormat::JsonLines;
    let mut take = |place: Place, value: std::result::Result<Value, String>| match value {
        Ok(Value::Object(object)) => rows.take(imported, &place, object.into_iter().collect()),
        Ok(_) => imported.leave_out(&place, None, "it is not an object of keys"),
        Err(problem) => imported.leave_out(&place, None, &problem),
    };
    match lines {
        true => json::each_line(path, take)?,
        false => json::each(path, |place, value: Value| {
            take(place, Ok(value));
            Ok(())
        })?,
    }
    rows.finish(path, imported)?;
    let sampled = matches!(imported.benchmark, Some(Benchmark::Ssv2Label | Benchmark::Ssv2Template));
    imported.expected = imported.benchmark.zip(imported.split).filter(|_| !sampled).and_then(|(b, s)| published(b, s));
    Ok(())
}

/// Reads a table with a column of videos and one of captions or questions.
pub fn read_table(path: &Path, columns: &Columns, imported: &mut ImportedAnnotations) -> Result<()> {
    let table = table::Table::open(path, columns)?;
    let header = table.header.clone();
    columns.check(&header)?;
    let has = |field| columns.has(field, header.iter().map(String::as_str));
    if !has(Field::Video) || !(has(Field::Caption) || has(Field::Question)) {
        let (what, option) = if has(Field::Video) { ("caption", "caption_key") } else { ("video", "video_key") };
        let problem = format!("line 1 has no column for the {what}; its columns are {}", listed(&header));
        return Err(Error::file(
            path,
            problem,
            format!("name it with option `{option}`, or the separator with option `sep`"),
        ));
    }
    let mut rows = Rows::new(path, columns, imported)?;
    table.each(path, imported, None, |imported, row| {
        let value = |cell: &String| literal::list(cell).unwrap_or_else(|| Value::String(cell.clone()));
        let cells = header.iter().cloned().zip(row.fields().iter().map(value));
        rows.take(imported, &row.place, cells.collect());
        Ok(())
    })?;
    rows.finish(path, imported)
}

/// What is known while the rows of a file become records.
struct Rows<'a> {
    columns: &'a Columns,
    /// The captions of one video are one paragraph.
    paragraph: bool,
    /// Videos whose captions were joined.
    joined: usize,
    /// Records with captions to choose from, of a benchmark that does not ask for a choice.
    choices: usize,
    multiple_choice: MultipleChoice,
    further: Further,
}

impl<'a> Rows<'a> {
    fn new(path: &Path, columns: &'a Columns, imported: &mut ImportedAnnotations) -> Result<Self> {
        settle_benchmark(path, imported)?;
        let paragraph = is_paragraph(path, imported.benchmark);
        let multiple_choice = MultipleChoice::default();
        Ok(Self { columns, paragraph, joined: 0, choices: 0, multiple_choice, further: Further::default() })
    }

    /// Turns the named values of one row into records, or notes why they cannot be used.
    fn take(&mut self, imported: &mut ImportedAnnotations, place: &Place, cells: Vec<(String, Value)>) {
        let mut row = Row::sort(self.columns, cells, &mut self.further);
        if imported.benchmark == Some(Benchmark::Anet) {
            // Retrieval is by the whole video and all that is said of it.
            row.spans = None;
            row.captions.iter_mut().for_each(|caption| *caption = caption.trim().to_owned());
        }
        let media = row.media.first().cloned().or_else(|| place.key.clone());
        let textless = row.captions.is_empty() && row.question.is_none();
        let hint = if textless { format!("; its keys are {}", listed(&row.names)) } else { String::new() };
        let is_choice = imported.benchmark == Some(Benchmark::MsrvttMc);
        if is_choice && row.question.is_some() {
            return imported.leave_out(
                place,
                media.as_deref(),
                "it asks a question in place of captions to choose from",
            );
        }
        // With the empty ones, so that the number of the right one holds.
        let texts = is_choice.then(|| if row.places.is_empty() { row.captions.clone() } else { row.places.clone() });
        let records = match row.records(place) {
            Ok(records) => records,
            Err(problem) => return imported.leave_out(place, media.as_deref(), &problem),
        };
        for mut record in records {
            let told = texts.clone().map(|texts| self.multiple_choice.take(&mut record, texts));
            self.settle(imported.benchmark, &mut record);
            imported.take_with(place, record, told.as_ref().unwrap_or(&hint));
        }
    }

    /// Joins paragraphs, leaves answers that nobody asks for aside, and gives questions their type.
    fn settle(&mut self, benchmark: Option<Benchmark>, record: &mut Record) {
        if self.paragraph && record.captions.len() > 1 {
            record.join_captions();
            self.joined += 1;
        }
        if record.question.is_none() && !record.answers.is_empty() {
            record.answers.clear();
            self.choices += 1;
        }
        if benchmark == Some(Benchmark::MsrvttQa) && record.types.is_empty() {
            record.types = record.question.as_deref().map(msrvtt_qa::first_word).into_iter().collect();
        }
    }

    fn finish(self, path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
        let Self { joined, choices, multiple_choice, further, .. } = self;
        if joined > 0 {
            imported.warnings.push(format!("the captions of {joined} videos were joined into paragraphs"));
        }
        if choices > 0 {
            imported.warnings.push(format!("{choices} records are multiple-choice; their answers are left aside"));
        }
        imported.list_further(further);
        multiple_choice.require_answers(path, imported)
    }
}

/// The values of one row by what they hold.
#[derive(Default)]
struct Row {
    media: Vec<String>,
    also: Vec<String>,
    captions: Vec<String>,
    /// The captions with the empty ones, where they are a list: spans are counted against them.
    places: Vec<String>,
    span: [Option<String>; 2],
    spans: Option<Vec<Span>>,
    question: Option<String>,
    answers: Vec<String>,
    types: Vec<String>,
    id: Option<String>,
    /// Names of all keys.
    names: Vec<String>,
    /// What is wrong with a value, if anything is.
    problem: Option<String>,
}

impl Row {
    /// Sorts `cells` by their names. Of several that hold the same, the likeliest that is not empty counts; the others
    /// are further columns.
    fn sort(columns: &Columns, cells: Vec<(String, Value)>, further: &mut Further) -> Self {
        let mut row = Self::default();
        let mut known = Vec::new();
        for (name, value) in cells {
            match columns.field(&name) {
                Some((field, rank)) if !is_empty(&value) => known.push((field, rank, name.clone(), value)),
                Some(_) => {}
                None => further.count(&name),
            }
            row.names.push(name);
        }
        known.sort_by_key(|(field, rank, ..)| (*field, *rank));
        let mut last = None;
        for (field, _, name, value) in known {
            let several = matches!(field, Field::Answer | Field::Type);
            if last.replace(field) == Some(field) && !several || row.put(field, &name, value).is_none() {
                further.count(&name);
            }
        }
        row
    }

    /// Puts `value` where it belongs; nothing where it is no value of that kind and may be something else.
    fn put(&mut self, field: Field, name: &str, value: Value) -> Option<()> {
        if field == Field::Span {
            return self.put_spans(name, value);
        }
        if let (Field::Caption, Value::Array(list)) = (field, &value) {
            self.places = list.iter().map(|value| scalar(value.clone()).unwrap_or_default()).collect();
        }
        match texts(value) {
            Ok(texts) if texts.len() > 1 && matches!(field, Field::Start | Field::End) => {
                self.problem.get_or_insert(format!("`{}` is a list where one time belongs", shown(name)));
            }
            Ok(mut texts) => match field {
                Field::Video => self.media = texts,
                Field::Also => self.also = texts,
                Field::Caption => self.captions = texts,
                Field::Start => self.span[0] = texts.pop(),
                Field::End => self.span[1] = texts.pop(),
                Field::Question => self.question = texts.pop(),
                Field::Answer => self.answers.extend(texts),
                Field::Type => self.types.extend(texts),
                Field::Id | Field::Span => self.id = texts.pop(),
            },
            Err(found) => {
                self.problem
                    .get_or_insert(format!("`{}` is {found} where a text or a list of texts belongs", shown(name)));
            }
        }
        Some(())
    }

    /// One or several pairs of times; what is neither makes the record unusable, but for a `timestamp`, which in many
    /// files is the time of something else.
    fn put_spans(&mut self, name: &str, value: Value) -> Option<()> {
        let listed = value.as_str().and_then(literal::list).unwrap_or(value);
        self.spans = spans(&listed);
        if self.spans.is_none() && (listed.is_array() || !name.to_lowercase().contains("timestamp")) {
            self.problem.get_or_insert(format!("`{}` is no pair of start and end, and no list of pairs", shown(name)));
        } else if self.spans.is_none() {
            return None;
        }
        Some(())
    }

    /// The records of this row: one, or one for each of several spans.
    fn records(self, place: &Place) -> std::result::Result<Vec<Record>, String> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let mut media = self.media.into_iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let first = media.next().or_else(|| place.key.clone());
        let first = first.ok_or_else(|| format!("it names no video; its keys are {}", listed(&self.names)))?;
        let [start, end] = self.span;
        let record = Record {
            media: first,
            also: media.chain(self.also).collect(),
            start: seconds("start", start)?,
            end: seconds("end", end)?,
            captions: self.captions,
            question: self.question,
            answers: self.answers,
            types: self.types,
            id: self.id,
            ..Record::default()
        };
        let Some(spans) = self.spans.filter(|_| record.start.is_none() && record.end.is_none()) else {
            return Ok(vec![record]);
        };
        let spanned = |[start, end]: Span, captions: Vec<String>, record: Record| {
            Ok(Record { start: seconds("start", start)?, end: seconds("end", end)?, captions, ..record })
        };
        if let [span] = &spans[..] {
            let captions = record.captions.clone();
            return spanned(span.clone(), captions, record).map(|record| vec![record]);
        }
        let captions = if self.places.len() > record.captions.len() { self.places } else { record.captions.clone() };
        if spans.len() != captions.len() || spans.is_empty() {
            return Err(format!("it has {} spans and {} captions", spans.len(), captions.len()));
        }
        let pairs = spans.into_iter().zip(captions);
        pairs.map(|(span, caption)| spanned(span, vec![caption], Record { id: None, ..record.clone() })).collect()
    }
}

/// Captions, and the seconds where their part of the video begins and ends.
pub type CaptionPart = (Vec<String>, Option<f64>, Option<f64>);

/// What a shard's JSON member says of its video.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShardCaption {
    /// Captions by the part of the video that they belong to.
    pub parts: Vec<CaptionPart>,
    /// What is wrong with a time or span, whatever the captions are.
    pub span_problem: Option<String>,
}

impl ShardCaption {
    /// Reads the keys of a JSON member as those of a record of a list; counts those without a meaning.
    ///
    /// # Errors
    /// What is wrong with a value.
    pub fn of(fields: serde_json::Map<String, Value>, further: &mut Further) -> std::result::Result<Self, String> {
        let columns = Columns::default();
        // Which video it is the shard says.
        let used = |name: &str| {
            let field = columns.field(name).map(|(field, _)| field);
            matches!(field, Some(Field::Caption | Field::Start | Field::End | Field::Span))
        };
        let (cells, others): (Vec<_>, Vec<_>) = fields.into_iter().partition(|(name, _)| used(name));
        others.iter().for_each(|(name, _)| further.count(name));
        let is_caption = |(name, _): &&(String, Value)| columns.caption_rank(name).is_some();
        let times = cells.iter().filter(|cell| !is_caption(cell)).cloned().collect();
        let of_video = |row: Row| Row { media: vec!["the video".into()], ..row };
        let times = of_video(Row::sort(&columns, times, &mut Further::default()));
        if times.spans.as_ref().is_none_or(|spans| spans.len() == 1)
            && let Err(problem) = times.records(&Place::default())
        {
            return Ok(Self { span_problem: Some(problem), ..Self::default() });
        }
        let row = of_video(Row::sort(&columns, cells, further));
        let trimmed = |record: &Record| record.captions.iter().map(|caption| caption.trim().to_owned()).collect();
        let parts = row.records(&Place::default())?;
        Ok(Self {
            span_problem: None,
            parts: parts.iter().map(|record| (trimmed(record), record.start, record.end)).collect(),
        })
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.iter().all(is_empty),
        _ => false,
    }
}

/// The text or list of texts that `value` holds, without empty ones; numbers count as texts.
fn texts(value: Value) -> std::result::Result<Vec<String>, &'static str> {
    match value {
        _ if is_empty(&value) => Ok(Vec::new()),
        Value::Array(list) => {
            let texts = list.into_iter().filter(|value| !is_empty(value)).map(scalar);
            texts.collect::<Option<_>>().ok_or("a list of other things")
        }
        Value::Object(_) => Err("an object"),
        value => Ok(scalar(value).into_iter().collect()),
    }
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Start and end as they are written; null is open.
type Span = [Option<String>; 2];

/// `[start, end]`, or several of them; none where `value` is something else.
fn spans(value: &Value) -> Option<Vec<Span>> {
    let time = |value: &Value| match value {
        Value::Null => Some(None),
        value => scalar(value.clone()).map(Some),
    };
    let pair = |value: &Value| -> Option<Span> {
        let [start, end] = &value.as_array()?[..] else { return None };
        Some([time(start)?, time(end)?])
    };
    let list = value.as_array()?;
    pair(value).map(|pair| vec![pair]).or_else(|| list.iter().map(pair).collect())
}

/// The greatest second that is taken for a place in a video: three years.
const LAST_SECOND: f64 = 1e8;

/// `12.5`, `1:02.5` or `00:01:02.5` in seconds; nothing for an empty text.
fn seconds(name: &str, text: Option<String>) -> std::result::Result<Option<f64>, String> {
    let Some(text) = text else { return Ok(None) };
    if text.trim().is_empty() {
        return Ok(None);
    }
    let parts = text.trim().split(':').map(|part| part.trim().parse::<f64>().ok().filter(|part| *part >= 0.0));
    let parts: Option<Vec<f64>> = parts.collect();
    let total =
        parts.filter(|parts| parts.len() <= 3).map(|parts| parts.iter().fold(0.0, |sum, part| sum * 60.0 + part));
    total
        .filter(|total| *total <= LAST_SECOND)
        .map(Some)
        .ok_or_else(|| format!("its {name} is `{}` and not seconds or h:m:s", shown(&text)))
}

/// Takes the benchmark from the file's name where none was asked for; refuses a file named after another one.
fn settle_benchmark(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    use Benchmark::{Ssv2Label, Ssv2Template};
    let named = benchmark_from_name(path);
    let (Some(asked), Some(other)) = (imported.benchmark, named) else {
        imported.benchmark = imported.benchmark.or(named);
        return Ok(());
    };
    let related = asked == other || [asked, other].iter().all(|b| matches!(b, Ssv2Label | Ssv2Template));
    if related {
        return Ok(());
    }
    let remedy = format!("give {asked} {}, or rename the file if its name misleads", asked.files().describe());
    Err(Error::file(path, format!("is named after {other}, not {asked}"), remedy))
}

/// The benchmark a file of Singularity's naming belongs to, such as `anet_qa_test.json`.
fn benchmark_from_name(path: &Path) -> Option<Benchmark> {
    let name = path.file_stem()?.to_string_lossy().to_lowercase().replace('-', "_");
    let marks = [
        ("msrvtt_qa", Benchmark::MsrvttQa),
        ("msrvtt_mc", Benchmark::MsrvttMc),
        ("anet_qa", Benchmark::AnetQa),
        ("anet_ret", Benchmark::Anet),
        ("agqa", Benchmark::Agqa),
        ("msrvtt", Benchmark::Msrvtt),
        ("didemo", Benchmark::Didemo),
        ("charades", Benchmark::Charades),
        ("ssv2_ret_template", Benchmark::Ssv2Template),
        ("ssv2_template", Benchmark::Ssv2Template),
        ("ssv2", Benchmark::Ssv2Label),
        ("msvd", Benchmark::Msvd),
        ("vatex", Benchmark::Vatex),
        ("lsmdc", Benchmark::Lsmdc),
    ];
    marks.into_iter().find(|(mark, _)| name.contains(mark)).map(|(_, benchmark)| benchmark)
}

/// Whether a list of captions is one paragraph: the file itself does not say (Singularity sets it in its config).
fn is_paragraph(path: &Path, benchmark: Option<Benchmark>) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    matches!(benchmark, Some(Benchmark::Didemo | Benchmark::Anet))
        || name.contains("anet_ret")
        || name.contains("paragraph")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::import::{AnnotationOptions, import, sample};

    fn records(name: &str) -> Vec<Record> {
        import(&sample(name), &AnnotationOptions::default()).unwrap().records
    }

    #[test]
    fn captions_paragraphs_and_several_videos() {
        let clips = records("singularity/clips_train.json");
        assert_eq!((clips.len(), clips[1].media.as_str()), (3, "a/2.mp4"));
        assert_eq!((clips[2].captions.len(), clips[2].start, clips[2].end), (2, Some(2.0), Some(6.5)));
        let paragraphs = records("singularity/didemo_ret_test.json");
        assert_eq!(paragraphs[0].captions, ["a kite rises. the kite falls into a tree."]);
        let templates = records("singularity/ssv2_ret_template_val_small.json");
        assert_eq!((templates[0].media.as_str(), templates[0].also.len()), ("1.webm", 2));
    }

    #[test]
    fn questions_keep_every_annotators_answer() {
        let questions = records("singularity/clips_qa.json");
        assert_eq!((questions[0].id.as_deref(), questions[0].answers.len()), (Some("1"), 1));
        assert_eq!(questions[1].answers, ["snow", "snow", "flakes"]);
    }

    #[test]
    fn lines_and_tables_hold_the_same_records() {
        let (lines, rows) = (records("singularity/clips.jsonl"), records("singularity/clips.tsv"));
        assert_eq!((lines.len(), lines[1].id.as_deref()), (2, Some("9")));
        assert_eq!((rows.len(), &rows[0]), (2, &lines[0]));
        assert_eq!((rows[1].start, rows[1].end), (Some(1.5), Some(4.0)));
    }

    #[test]
    fn our_own_records_are_read_back() {
        let record = Record {
            media: "x.mp4".into(),
            also: vec!["y.mp4".into()],
            captions: vec!["one".into(), "two".into()],
            end: Some(3.5),
            ..Record::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.jsonl");
        let line = serde_json::to_string(&record).unwrap();
        std::fs::write(&path, format!("{line}\n{}\n", line.replace("x.mp4", "z.mp4"))).unwrap();
        let read = import(&path, &AnnotationOptions::default()).unwrap();
        assert_eq!((read.format, &read.records[0], read.records.len()), (AnnotationFormat::JsonLines, &record, 2));
    }

    #[test]
    fn spans_are_read_in_seconds_or_clock_time() {
        let seconds = |text: &str| seconds("start", Some(text.to_owned()));
        for (text, expected) in [("12.5", 12.5), ("00:01:02.500", 62.5), (" 1:30 ", 90.0), ("1e1", 10.0), ("0", 0.0)] {
            assert_eq!(seconds(text), Ok(Some(expected)), "{text}");
        }
        assert_eq!(seconds(" "), Ok(None));
        for wrong in ["NaN", "None", "null", "-1", "1:", "soon", "inf", "1e300", "1:2:3:4", "1:-2", "PT17S"] {
            assert!(seconds(wrong).unwrap_err().contains("its start is"), "{wrong}");
        }
    }

    #[test]
    fn names_tell_the_benchmark() {
        let told = |name: &str| benchmark_from_name(Path::new(name));
        assert_eq!(told("anno/msrvtt_qa_test.json"), Some(Benchmark::MsrvttQa));
        assert_eq!(told("msrvtt_ret_test1k.json"), Some(Benchmark::Msrvtt));
        assert_eq!(told("ssv2_ret_template_val_small.json"), Some(Benchmark::Ssv2Template));
        assert_eq!(told("my_clips.json"), None);
    }
}
