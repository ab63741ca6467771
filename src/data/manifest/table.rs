//! CSV and TSV: columns by name.

use super::{ManifestFormat, ManifestOptions, fields};
use crate::{Error, Result, data::Record};
use std::{io::BufRead, path::Path};

/// Names a video column may have, tried in this order.
const VIDEO_COLUMNS: [&str; 7] = ["video", "filepath", "path", "file", "filename", "media", "image"];
/// Names a caption column may have, tried in this order.
const CAPTION_COLUMNS: [&str; 5] = ["caption", "title", "text", "sentence", "description"];
/// Separators told apart by the header alone, the likelier first.
const SEPARATORS: [u8; 4] = [b'\t', b',', b';', b'|'];

/// Reads a header and the rows below it.
pub fn read(mut reader: impl BufRead, path: &Path, options: &ManifestOptions) -> Result<(ManifestFormat, Vec<Record>)> {
    let separator = match options.separator {
        Some(c) => u8::try_from(c).ok().filter(u8::is_ascii).ok_or_else(|| {
            Error::setting(
                "--sep",
                format!("{c:?} is not a single ASCII character"),
                "use a comma, a semicolon or a tab",
            )
        })?,
        None => detect(reader.fill_buf().map_err(|e| Error::io(path, &e))?),
    };
    let mut csv = csv::ReaderBuilder::new().delimiter(separator).from_reader(reader);
    let header = csv.headers().map_err(|e| broken(path, &e))?.clone();
    let columns = Columns::find(&header, path, options)?;
    let mut records = Vec::new();
    for row in csv.records() {
        let row = row.map_err(|e| broken(path, &e))?;
        let line = row.position().map_or(0, csv::Position::line);
        let record = columns.record(&row).and_then(fields::complete);
        records.push(record.map_err(|(problem, remedy)| Error::file(path, format!("line {line} {problem}"), remedy))?);
    }
    Ok((ManifestFormat::Table { separator: char::from(separator) }, records))
}

/// The separator that stands most often in the first line.
fn detect(bytes: &[u8]) -> u8 {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let count = |separator: u8| line.iter().filter(|b| **b == separator).count();
    SEPARATORS.into_iter().rev().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

fn broken(path: &Path, e: &csv::Error) -> Error {
    let line = e.position().map_or(1, csv::Position::line);
    let problem = match e.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("line {line} has {len} columns, the header {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => format!("line {line} is not UTF-8 text"),
        csv::ErrorKind::Io(io) => return Error::io(path, io),
        _ => format!("line {line} is broken: {e}"),
    };
    Error::file(path, problem, "repair that line, or name another separator with --sep")
}

/// Where in a row each field stands.
struct Columns {
    video: usize,
    caption: Option<usize>,
    start: Option<usize>,
    end: Option<usize>,
    question: Option<usize>,
    answer: Option<usize>,
    id: Option<usize>,
}

impl Columns {
    fn find(header: &csv::StringRecord, path: &Path, options: &ManifestOptions) -> Result<Self> {
        let at = |name: &str| header.iter().position(|column| column.trim() == name);
        let pick = |flag: &str, key: &Option<String>, known: &[&str]| match key {
            Some(name) => at(name).map(Some).ok_or_else(|| missing(header, path, &format!("{name:?}"), flag)),
            None => Ok(known.iter().find_map(|name| at(name))),
        };
        let video = pick("--video-key", &options.video_key, &VIDEO_COLUMNS)?;
        let caption = pick("--caption-key", &options.caption_key, &CAPTION_COLUMNS)?;
        let (question, answer) = (at("question"), at("answer"));
        let video = video.ok_or_else(|| missing(header, path, "for the video", "--video-key"))?;
        if caption.is_none() && question.is_none() {
            return Err(missing(header, path, "for the caption", "--caption-key"));
        }
        let id = at("question_id").or_else(|| at("id"));
        Ok(Self { video, caption, start: at("start"), end: at("end"), question, answer, id })
    }

    fn record(&self, row: &csv::StringRecord) -> std::result::Result<Record, fields::FieldError> {
        let text = |column: Option<usize>| row.get(column?).map(str::to_owned);
        let given = |column: Option<usize>| text(column).filter(|text| !text.trim().is_empty());
        let seconds = |column: Option<usize>, key: &str| match given(column) {
            Some(text) => fields::parse_seconds(&text).map(Some).ok_or_else(|| fields::not_seconds(key, &text)),
            None => Ok(None),
        };
        Ok(Record {
            media: text(Some(self.video)).unwrap_or_default(),
            start: seconds(self.start, "start")?,
            end: seconds(self.end, "end")?,
            captions: text(self.caption).into_iter().collect(),
            question: given(self.question),
            answers: given(self.answer).into_iter().collect(),
            id: given(self.id),
            ..Record::default()
        })
    }
}

fn missing(header: &csv::StringRecord, path: &Path, what: &str, flag: &str) -> Error {
    let columns: Vec<&str> = header.iter().collect();
    let problem = format!("line 1 has no column {what}; its columns are {}", columns.join(", "));
    Error::file(path, problem, format!("name one of them with {flag}, or the separator with --sep"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read_as, sentence};
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_quotes_respected() {
        let content = b"clip,desc,start,end\nx/a b.mp4,\"one, two\",1.5,0:09\n\"c\"\"d.mp4\",three,,\n";
        let options = ManifestOptions {
            video_key: Some("clip".into()),
            caption_key: Some("desc".into()),
            ..ManifestOptions::default()
        };
        let records = read_as("m.csv", content, &options).unwrap().records;
        assert_eq!((records[0].media.as_str(), records[0].captions[0].as_str()), ("x/a b.mp4", "one, two"));
        assert_eq!((records[0].start, records[0].end), (Some(1.5), Some(9.0)));
        assert_eq!((records[1].media.as_str(), records[1].start, records[1].end), ("c\"d.mp4", None, None));
    }

    #[test]
    fn questions_need_no_caption_column() {
        let content = b"video\tquestion\tanswer\tquestion_id\na.mp4\tis it red, blue or green?\tred\tq1\n";
        let manifest = read_as("m.tsv", content, &ManifestOptions::default()).unwrap();
        assert_eq!(manifest.format, ManifestFormat::Table { separator: '\t' });
        let record = &manifest.records[0];
        assert_eq!((record.answers[0].as_str(), record.id.as_deref()), ("red", Some("q1")));
        assert!(record.captions.is_empty());
    }

    #[test]
    fn errors_name_line_and_flag() {
        let default = ManifestOptions::default();
        let keyed = ManifestOptions { video_key: Some("clip".into()), ..default.clone() };
        let odd = ManifestOptions { separator: Some('→'), ..default.clone() };
        let cases: [(&[u8], &ManifestOptions, &str); 8] = [
            (b"a,b\n1,2\n", &default, "no column for the video; its columns are a, b"),
            (b"video,b\n1,2\n", &default, "--caption-key"),
            (b"video,caption\n1,2\n", &keyed, "no column \"clip\""),
            (b"video,caption\na,b\nc,d,e\n", &default, "line 3 has 3 columns, the header 2"),
            (b"video,caption\na,b\nc,\n", &default, "line 3 has an empty caption for `c`"),
            (b"video,caption\na,b\n,d\n", &default, "line 3 names no video"),
            (b"video,caption\na,\xff\n", &default, "line 2 is not UTF-8"),
            (b"video,caption,end\na,b,soon\n", &default, "line 2 has soon under \"end\""),
        ];
        for (content, options, expected) in cases {
            let message = sentence("m.csv", content, options);
            assert!(message.contains(expected), "{message}");
        }
        assert!(read_as("m.csv", b"video,caption\n", &odd).unwrap_err().to_string().contains("--sep"));
    }
}
