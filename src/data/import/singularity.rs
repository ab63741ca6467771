//! Singularity's JSON list, the same records one per line, and tables with the same columns.
//!
//! A record is `{"video", "caption"}` for retrieval and `{"video", "question", "question_id", "answer"}` for
//! questions; any of them may be a list, and `start` and `end` (seconds or `h:m:s`) cut a span out of the file.

use std::path::Path;

use serde::Deserialize;

use super::{
    AnnotationFormat, ImportedAnnotations,
    json::{self, Text, Texts},
    msrvtt_qa, table,
};
use crate::{
    Error, Result,
    data::{Benchmark, Record, published},
};

/// Keys and columns that name the media file.
pub const MEDIA: [&str; 7] = ["video", "image", "media", "filepath", "video_path", "path", "file"];
/// Columns that hold the caption.
const CAPTION: [&str; 5] = ["caption", "captions", "text", "title", "sentence"];

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    settle_benchmark(path, imported)?;
    let paragraph = is_paragraph(path, imported.benchmark);
    let (mut joined, mut choices, mut number) = (0, 0, 0);
    json::each(path, imported.format == AnnotationFormat::JsonLines, |_, entry: Entry| {
        number += 1;
        let choice = entry.question.is_none() && entry.answer.is_some();
        let mut record = entry.record(path, number)?;
        if paragraph && record.captions.len() > 1 {
            record.captions = vec![record.captions.join(" ")];
            joined += 1;
        }
        if choice {
            choices += 1;
            record.answers.clear();
        }
        if imported.benchmark == Some(Benchmark::MsrvttQa) && record.types.is_empty() {
            record.types = record.question.as_deref().map(msrvtt_qa::first_word).into_iter().collect();
        }
        imported.records.push(record);
        Ok(())
    })?;
    if joined > 0 {
        imported.warnings.push(format!("the captions of {joined} videos were joined into paragraphs"));
    }
    if choices > 0 {
        imported.warnings.push(format!("{choices} records are multiple-choice; their answers are left aside"));
    }
    imported.expected = expected(imported);
    Ok(())
}

/// Published counts hold for Singularity's files too, except where it sampled (SSv2) or listed captions (MSR-VTT).
fn expected(imported: &ImportedAnnotations) -> Option<crate::data::SplitSize> {
    let benchmark = imported.benchmark.filter(|b| !matches!(b, Benchmark::Ssv2Label | Benchmark::Ssv2Template))?;
    published(benchmark, imported.split?)
}

/// A table with a column of videos and perhaps one of captions or questions.
pub fn read_table(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    settle_benchmark(path, imported)?;
    table::Table::open(path)?.each(path, |row| {
        let text = |names: &[&str]| Some(Text(row.get(names).to_owned())).filter(|text| !text.0.is_empty());
        let list = |names: &[&str]| Texts(text(names).map(|text| text.0).into_iter().collect());
        let entry = Entry {
            video: list(&MEDIA),
            caption: list(&CAPTION),
            question: text(&["question"]),
            answer: text(&["answer"]).map(|answer| Texts(vec![answer.0])),
            question_id: text(&["question_id", "id", "key"]),
            start: text(&["start", "start_time"]),
            end: text(&["end", "end_time"]),
            ..Entry::default()
        };
        imported.records.push(entry.record(path, row.line)?);
        Ok(())
    })
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
        ("anet_qa", Benchmark::AnetQa),
        ("agqa", Benchmark::Agqa),
        ("msrvtt", Benchmark::Msrvtt),
        ("didemo", Benchmark::Didemo),
        ("charades", Benchmark::Charades),
        ("ssv2_ret_template", Benchmark::Ssv2Template),
        ("ssv2_template", Benchmark::Ssv2Template),
        ("ssv2", Benchmark::Ssv2Label),
    ];
    marks.into_iter().find(|(mark, _)| name.contains(mark)).map(|(_, benchmark)| benchmark)
}

/// Whether a list of captions is one paragraph: the file itself does not say (Singularity sets it in its config).
fn is_paragraph(path: &Path, benchmark: Option<Benchmark>) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    benchmark == Some(Benchmark::Didemo) || name.contains("anet_ret") || name.contains("paragraph")
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    video: Texts,
    image: Texts,
    media: Texts,
    filepath: Texts,
    video_path: Texts,
    path: Texts,
    file: Texts,
    also: Texts,
    caption: Texts,
    captions: Texts,
    text: Texts,
    title: Texts,
    question: Option<Text>,
    answer: Option<Texts>,
    answers: Texts,
    #[serde(rename = "type")]
    kind: Texts,
    types: Texts,
    question_id: Option<Text>,
    id: Option<Text>,
    start: Option<Text>,
    end: Option<Text>,
}

impl Entry {
    fn record(self, path: &Path, number: u64) -> Result<Record> {
        let wrong = |problem: String, remedy: &str| Error::file(path, format!("record {number} {problem}"), remedy);
        let media = [self.video, self.image, self.media, self.filepath, self.video_path, self.path, self.file];
        let mut media = media.into_iter().find(|Texts(names)| !names.is_empty()).unwrap_or_default().0.into_iter();
        let first = media.next().filter(|name| !name.trim().is_empty());
        let first = first.ok_or_else(|| wrong("names no video".into(), "give it a key `video`"))?;
        let span = |name: &str, text: Option<Text>| match text.filter(|text| !text.0.is_empty()) {
            None => Ok(None),
            Some(Text(text)) => seconds(&text)
                .map(Some)
                .ok_or_else(|| wrong(format!("has `{name}` = `{text}`"), "give seconds or h:m:s, not negative")),
        };
        let (start, end) = (span("start", self.start)?, span("end", self.end)?);
        if end.is_some_and(|end| end <= start.unwrap_or(0.0)) {
            return Err(wrong("ends before it starts".into(), "swap or remove `start` and `end`"));
        }
        let captions = [self.caption, self.captions, self.text, self.title];
        Ok(Record {
            media: first,
            also: media.chain(self.also.0).collect(),
            start,
            end,
            captions: captions.into_iter().find(|Texts(texts)| !texts.is_empty()).unwrap_or_default().0,
            question: self.question.map(|question| question.0),
            answers: self.answer.unwrap_or_default().0.into_iter().chain(self.answers.0).collect(),
            types: self.types.0.into_iter().chain(self.kind.0).collect(),
            id: self.question_id.or(self.id).map(|id| id.0).filter(|id| !id.is_empty()),
        })
    }
}

/// `12.5`, `1:02.5` or `00:01:02.5` in seconds.
fn seconds(text: &str) -> Option<f64> {
    let mut total = 0.0;
    for part in text.trim().split(':') {
        total = total * 60.0 + part.parse::<f64>().ok().filter(|part| part.is_finite() && *part >= 0.0)?;
    }
    Some(total)
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
        assert_eq!(seconds("12.5"), Some(12.5));
        assert_eq!(seconds("00:01:02.500"), Some(62.5));
        assert_eq!(seconds("1:30"), Some(90.0));
        assert!(seconds("-1").is_none() && seconds("nan").is_none() && seconds("1:").is_none());
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
