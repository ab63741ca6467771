//! Detects the format of a file by its extension and its first keys.

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use serde::{Deserialize, Serialize, de::Deserializer as _};
use serde_json::Value;

use super::table;
use crate::{
    Error, Result,
    data::{Benchmark, webdataset},
};

/// A format that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnnotationFormat {
    /// WebVid's `videoid,name,page_dir,…`.
    WebvidCsv,
    /// MSR-VTT test pairs, `key,vid_key,video_id,sentence`.
    MsrvttCsv,
    /// MSR-VTT list of training videos, `video_id`.
    MsrvttList,
    /// MSR-VTT's `MSRVTT_data.json` with `videos` and `sentences`.
    MsrvttJson,
    /// DiDeMo's `test_data.json`.
    DidemoJson,
    /// `Charades_v1_test.csv`.
    CharadesCsv,
    /// Something-Something v2 records.
    Ssv2Json,
    /// MSRVTT-QA's `test_qa.json`.
    MsrvttQaJson,
    /// ActivityNet-QA's `test_q.json`, or the `test_a.json` beside it.
    ActivitynetQaJson,
    /// AGQA's `test_balanced.txt`, an object of questions.
    AgqaJson,
    /// The JSON list of Singularity and of SViTT.
    SingularityJson,
    /// The same records, one per line.
    JsonLines,
    /// Any table with a column of videos and one of captions.
    Table,
    /// Tar shards of `.mp4`, `.txt` and `.json` members.
    Webdataset,
}

impl AnnotationFormat {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebvidCsv => "webvid-csv",
            Self::MsrvttCsv => "msrvtt-csv",
            Self::MsrvttList => "msrvtt-list",
            Self::MsrvttJson => "msrvtt-json",
            Self::DidemoJson => "didemo-json",
            Self::CharadesCsv => "charades-csv",
            Self::Ssv2Json => "ssv2-json",
            Self::MsrvttQaJson => "msrvtt-qa-json",
            Self::ActivitynetQaJson => "activitynet-qa-json",
            Self::AgqaJson => "agqa-json",
            Self::SingularityJson => "singularity-json",
            Self::JsonLines => "json-lines",
            Self::Table => "table",
            Self::Webdataset => "webdataset",
        }
    }

    /// The benchmarks whose original files look like this, the likeliest first; `None` where any may.
    pub const fn benchmarks(self) -> Option<&'static [Benchmark]> {
        Some(match self {
            Self::WebvidCsv => &[],
            Self::MsrvttCsv | Self::MsrvttList | Self::MsrvttJson => &[Benchmark::Msrvtt],
            Self::DidemoJson => &[Benchmark::Didemo],
            Self::CharadesCsv => &[Benchmark::Charades],
            Self::Ssv2Json => &[Benchmark::Ssv2Label, Benchmark::Ssv2Template],
            Self::MsrvttQaJson => &[Benchmark::MsrvttQa],
            Self::ActivitynetQaJson => &[Benchmark::AnetQa],
            Self::AgqaJson => &[Benchmark::Agqa],
            Self::SingularityJson | Self::JsonLines | Self::Table | Self::Webdataset => return None,
        })
    }
}

impl fmt::Display for AnnotationFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The format of a file, of a folder of tar shards, or of a list of shards (`{00000..00009}.tar`, joined by `::`).
///
/// # Errors
/// The file cannot be read or is in no format we know.
pub fn detect(path: &Path) -> Result<AnnotationFormat> {
    if webdataset::is_shards(path) {
        return Ok(AnnotationFormat::Webdataset);
    }
    let mut reader = BufReader::new(File::open(path).map_err(|e| Error::io(path, &e))?);
    let start = reader.fill_buf().map_err(|e| Error::io(path, &e))?;
    let start = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start);
    let skipped = start.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    match start.get(skipped) {
        None => Err(Error::file(path, "is empty", "obtain the file again")),
        Some(b'[' | b'{') => detect_json(path),
        Some(_) => detect_table(path, start),
    }
}

fn detect_table(path: &Path, start: &[u8]) -> Result<AnnotationFormat> {
    let line = start.split(|&b| b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let columns = table::header(line.trim(), table::separator(&line));
    let has = |name: &str| columns.iter().any(|column| column == name);
    if has("videoid") && has("page_dir") && has("name") {
        Ok(AnnotationFormat::WebvidCsv)
    } else if has("video_id") && has("sentence") {
        Ok(AnnotationFormat::MsrvttCsv)
    } else if columns == ["video_id"] {
        Ok(AnnotationFormat::MsrvttList)
    } else if has("id") && has("script") {
        Ok(AnnotationFormat::CharadesCsv)
    } else if super::singularity::MEDIA.iter().any(|name| has(name)) {
        Ok(AnnotationFormat::Table)
    } else {
        let shown: String = line.trim().chars().take(80).collect();
        Err(unknown(path, &format!("its first line, `{shown}`, is not the header of a table we know")))
    }
}

/// The keys a JSON file begins with.
enum JsonStart {
    /// A list whose first record has these keys.
    List(BTreeSet<String>),
    /// An object with this first key, and the keys of the record under it.
    Object(String, BTreeSet<String>),
    /// Anything else.
    Other(&'static str),
}

fn detect_json(path: &Path) -> Result<AnnotationFormat> {
    let bytes = super::json::bytes(path)?;
    match first_keys(path, &bytes)? {
        JsonStart::List(keys) => by_keys(&keys),
        JsonStart::Object(key, _) if matches!(key.as_str(), "info" | "videos" | "sentences") => {
            Some(AnnotationFormat::MsrvttJson)
        }
        JsonStart::Object(_, keys) if by_keys(&keys).is_some() => by_keys(&keys),
        JsonStart::Object(key, _) if RECORD_KEYS.contains(&key.as_str()) => Some(AnnotationFormat::JsonLines),
        JsonStart::Object(..) => None,
        JsonStart::Other("[]") => Some(AnnotationFormat::SingularityJson),
        JsonStart::Other(what) => return Err(unknown(path, what)),
    }
    .ok_or_else(|| unknown(path, "the keys of its first record are those of no format we know"))
}

/// First keys by which a line of JSON is taken for a record of ours.
const RECORD_KEYS: [&str; 12] =
    ["video", "image", "media", "filepath", "path", "file", "caption", "captions", "text", "title", "question", "id"];

fn by_keys(keys: &BTreeSet<String>) -> Option<AnnotationFormat> {
    let has = |name: &str| keys.contains(name);
    let agqa = ["structural", "semantic", "ans_type", "sg_grounding", "novel_comp"];
    if has("question") && has("video_id") && agqa.iter().any(|key| has(key)) {
        Some(AnnotationFormat::AgqaJson)
    } else if has("question") && has("video_id") {
        Some(AnnotationFormat::MsrvttQaJson)
    } else if has("video_name") && has("question") {
        Some(AnnotationFormat::ActivitynetQaJson)
    } else if has("description") && has("video") {
        Some(AnnotationFormat::DidemoJson)
    } else if super::singularity::MEDIA.iter().any(|key| has(key)) {
        Some(AnnotationFormat::SingularityJson)
    } else if has("answer") && has("question_id") {
        Some(AnnotationFormat::ActivitynetQaJson)
    } else if has("id") && (has("template") || has("label") || keys.len() == 1) {
        Some(AnnotationFormat::Ssv2Json)
    } else {
        None
    }
}

fn first_keys(path: &Path, bytes: &[u8]) -> Result<JsonStart> {
    let mut start = None;
    let outcome = serde_json::Deserializer::from_slice(bytes).deserialize_any(FirstRecord(&mut start));
    match (start, outcome) {
        (Some(start), _) => Ok(start),
        (None, Err(e)) => Err(Error::file(
            path,
            format!("cannot be parsed as JSON: {e}"),
            "repair that place or obtain the file again",
        )),
        (None, Ok(())) => Ok(JsonStart::Other("it holds no records")),
    }
}

/// Reads no further than the first record.
struct FirstRecord<'a>(&'a mut Option<JsonStart>);

impl<'de> serde::de::Visitor<'de> for FirstRecord<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object of records")
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> std::result::Result<(), A::Error> {
        *self.0 = Some(match list.next_element::<Value>()? {
            Some(Value::Object(record)) => JsonStart::List(record.into_iter().map(|(key, _)| key).collect()),
            Some(Value::String(_)) => JsonStart::Other("it is a list of texts (an answer list or a list of videos)"),
            Some(_) => JsonStart::Other("it is a list, but not of records"),
            None => JsonStart::Other("[]"),
        });
        Ok(())
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut object: A) -> std::result::Result<(), A::Error> {
        let Some(key) = object.next_key::<String>()? else { return Ok(()) };
        if matches!(key.as_str(), "info" | "videos" | "sentences") {
            *self.0 = Some(JsonStart::Object(key, BTreeSet::new()));
            return Ok(());
        }
        let keys = match object.next_value::<Value>()? {
            Value::Object(record) => record.into_iter().map(|(key, _)| key).collect(),
            _ => BTreeSet::new(),
        };
        *self.0 = Some(JsonStart::Object(key, keys));
        Ok(())
    }
}

fn unknown(path: &Path, problem: &str) -> Error {
    Error::file(
        path,
        format!("cannot be told from its contents: {problem}"),
        "give an original release file (MSR-VTT, DiDeMo, Charades, SSv2, MSRVTT-QA, ActivityNet-QA, AGQA, WebVid), \
         a list of records with `video` and `caption`, or tar shards",
    )
}

/// Whether a file starts with `magic`.
pub(crate) fn starts_with(path: &Path, magic: &[u8]) -> bool {
    let mut start = vec![0; magic.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == magic
}
