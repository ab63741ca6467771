//! Detects the format of a file by its extension and its first keys.

use std::{
    collections::BTreeSet,
    fmt,
    io::{BufRead, BufReader},
    path::Path,
};

use serde::{
    Deserialize, Serialize,
    de::{Deserializer as _, IgnoredAny},
};
use serde_json::Value;

use super::{
    columns::{Columns, Field},
    encoding, json, lsmdc, table,
};
use crate::{
    Error, Result,
    data::{Benchmark, webdataset},
    input,
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
    /// RTime's `test.json`.
    RtimeJson,
    /// VITATECS' lines, a file per aspect.
    VitatecsLines,
    /// TempCompass' `caption_matching.json`.
    TempcompassJson,
    /// Test of Time's pairs of events.
    TestoftimeCsv,
    /// ViLMA's captions and foils.
    VilmaJson,
    /// NExT-QA's multiple choice, or its options as statements.
    NextqaCsv,
    /// MSVD's captions by video.
    MsvdJson,
    /// VATEX' `vatex_validation_v1.0.json`.
    VatexJson,
    /// LSMDC's lines, without a header.
    LsmdcTable,
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
            Self::RtimeJson => "rtime-json",
            Self::VitatecsLines => "vitatecs-lines",
            Self::TempcompassJson => "tempcompass-json",
            Self::TestoftimeCsv => "testoftime-csv",
            Self::VilmaJson => "vilma-json",
            Self::NextqaCsv => "nextqa-csv",
            Self::MsvdJson => "msvd-json",
            Self::VatexJson => "vatex-json",
            Self::LsmdcTable => "lsmdc-table",
        }
    }

    /// The benchmarks whose original files look like this, the likeliest first; `None` where any may.
    pub const fn benchmarks(self) -> Option<&'static [Benchmark]> {
        Some(match self {
            Self::WebvidCsv => &[],
            Self::MsrvttCsv | Self::MsrvttList | Self::MsrvttJson => &[Benchmark::Msrvtt],
            Self::DidemoJson => &[Benchmark::Didemo],
            Self::CharadesCsv => &[Benchmark::Charades],
            Self::Ssv2Json => {
                &[Benchmark::Ssv2Label, Benchmark::Ssv2Template, Benchmark::Ssv2Chiral, Benchmark::Ssv2Temporal]
            }
            Self::RtimeJson => &[Benchmark::Rtime],
            Self::VitatecsLines => &[Benchmark::Vitatecs],
            Self::TempcompassJson => &[Benchmark::Tempcompass],
            Self::TestoftimeCsv => &[Benchmark::Testoftime],
            Self::VilmaJson => &[Benchmark::Vilma],
            Self::NextqaCsv => &[Benchmark::Nextqa],
            Self::MsvdJson => &[Benchmark::Msvd],
            Self::VatexJson => &[Benchmark::Vatex],
            Self::LsmdcTable => &[Benchmark::Lsmdc],
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

/// The format of a file, of a folder of tar shards, or of a list of shards (`{00000..00009}.tar`, joined by `::`). Where
/// the person named `columns` or their separator, a file is a list or a table of records, whatever else it looks like.
///
/// # Errors
/// The file cannot be read or is in no format we know.
pub fn detect(path: &Path, columns: &Columns) -> Result<AnnotationFormat> {
    if webdataset::is_shards(path) {
        return Ok(AnnotationFormat::Webdataset);
    }
    if path.is_dir() {
        let problem = "is a folder without tar shards";
        return Err(Error::file(path, problem, "give the file of annotations, or a folder of .tar shards"));
    }
    let mut reader = BufReader::new(input::open(path)?);
    encoding::check_start(path, &mut reader)?;
    match first_byte(&mut reader).map_err(|e| Error::io(path, &e))? {
        None => Err(Error::file(path, "is empty", "obtain the file again")),
        Some(b'[' | b'{') => detect_json(path, columns),
        Some(_) if columns.are_named() => Ok(AnnotationFormat::Table),
        Some(_) => detect_table(path, columns),
    }
}

/// The first byte that is not white space.
fn first_byte(reader: &mut impl BufRead) -> std::io::Result<Option<u8>> {
    loop {
        let bytes = reader.fill_buf()?;
        let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        match bytes.get(blank) {
            Some(byte) => return Ok(Some(*byte)),
            None if bytes.is_empty() => return Ok(None),
            None => reader.consume(blank),
        }
    }
}

fn detect_table(path: &Path, columns: &Columns) -> Result<AnnotationFormat> {
    let table = table::Table::open(path, columns)?;
    let names = table.names();
    let has = |name: &str| names.iter().any(|column| column == name);
    let header = || table.header.iter().map(String::as_str);
    if lsmdc::is_line(&table.header) {
        Ok(AnnotationFormat::LsmdcTable)
    } else if has("caption") && has("distractor_caption") && has("event2_start") {
        Ok(AnnotationFormat::TestoftimeCsv)
    } else if has("question") && has("answer") && (has("a4") && has("video") || has("s4") && has("vid_id")) {
        Ok(AnnotationFormat::NextqaCsv)
    } else if has_span(columns, header) && columns.has(Field::Video, header()) {
        // No release has spans: their readers would not look for any.
        Ok(AnnotationFormat::Table)
    } else if has("videoid") && has("page_dir") && has("name") {
        Ok(AnnotationFormat::WebvidCsv)
    } else if has("video_id") && has("sentence") {
        Ok(AnnotationFormat::MsrvttCsv)
    } else if names == ["video_id"] {
        Ok(AnnotationFormat::MsrvttList)
    } else if has("id") && has("script") {
        Ok(AnnotationFormat::CharadesCsv)
    } else if columns.has(Field::Video, header()) {
        Ok(AnnotationFormat::Table)
    } else {
        let header = super::columns::listed(&table.header);
        Err(unknown(path, &format!("its first line has no column for the video; its columns are {header}")))
    }
}

/// Whether any of `names` holds the start or the end of a clip.
fn has_span<'a, N: Iterator<Item = &'a str>>(columns: &Columns, names: impl Fn() -> N) -> bool {
    [Field::Start, Field::End, Field::Span].into_iter().any(|field| columns.has(field, names()))
}

/// The keys a JSON file begins with.
enum JsonStart {
    /// A list whose first record has these keys.
    List(BTreeSet<String>),
    /// An object with this first key, and the keys of the record under it.
    Object(String, BTreeSet<String>),
    /// A record with these keys.
    Line(BTreeSet<String>),
    /// An object of lists.
    Lists,
    /// Anything else.
    Other(&'static str),
}

fn detect_json(path: &Path, columns: &Columns) -> Result<AnnotationFormat> {
    let named = columns.are_named();
    let lines = path.extension().is_some_and(|extension| extension == "jsonl" || extension == "ndjson");
    let start = match first_keys(path, columns) {
        // A broken first line is one record among others.
        Err(_) if lines => return Ok(AnnotationFormat::JsonLines),
        start => start?,
    };
    match start {
        JsonStart::List(_) if named => Some(AnnotationFormat::SingularityJson),
        JsonStart::List(keys) => by_keys(&keys, columns),
        JsonStart::Line(_) if named => Some(AnnotationFormat::JsonLines),
        JsonStart::Line(keys) => by_keys(&keys, columns).map(|format| match format {
            AnnotationFormat::VitatecsLines => format,
            _ => AnnotationFormat::JsonLines,
        }),
        JsonStart::Lists if !named => Some(AnnotationFormat::MsvdJson),
        JsonStart::Lists => None,
        JsonStart::Object(key, _) if matches!(key.as_str(), "info" | "videos" | "sentences") => {
            Some(AnnotationFormat::MsrvttJson)
        }
        JsonStart::Object(..) if named => Some(AnnotationFormat::SingularityJson),
        JsonStart::Object(_, keys) => by_keys(&keys, columns).or_else(|| {
            // The keys of the records are the videos, as in ActivityNet Captions.
            columns.has(Field::Caption, keys.iter().map(String::as_str)).then_some(AnnotationFormat::SingularityJson)
        }),
        JsonStart::Other("[]") => Some(AnnotationFormat::SingularityJson),
        JsonStart::Other(what) => return Err(unknown(path, what)),
    }
    .ok_or_else(|| unknown(path, "the keys of its first record are those of no format we know"))
}

/// The formats of the tests of order, and of VATEX, which have keys that nothing else has. A first record that lacks one
/// of them is told by the others, so that it is refused as what it is.
fn by_own_keys(keys: &BTreeSet<String>) -> Option<AnnotationFormat> {
    let has = |name: &str| keys.contains(name);
    let dimensions = ["action", "direction", "speed", "order", "attribute_change"];
    if has("forward_captions") || has("reverse_captions") {
        Some(AnnotationFormat::RtimeJson)
    } else if has("video_name") && (has("counterfactual") || has("caption") && has("aspect")) {
        Some(AnnotationFormat::VitatecsLines)
    } else if has("foils") && (has("proficiency") || has("mturk")) {
        Some(AnnotationFormat::VilmaJson)
    } else if has("videoID") && has("enCap") {
        Some(AnnotationFormat::VatexJson)
    } else {
        let tempcompass = !keys.is_empty() && keys.iter().all(|key| dimensions.contains(&key.as_str()));
        tempcompass.then_some(AnnotationFormat::TempcompassJson)
    }
}

fn by_keys(keys: &BTreeSet<String>, columns: &Columns) -> Option<AnnotationFormat> {
    let has = |name: &str| keys.contains(name);
    if let Some(format) = by_own_keys(keys).filter(|_| !columns.are_named()) {
        return Some(format);
    }
    let names = || keys.iter().map(String::as_str);
    if has_span(columns, names) && columns.has(Field::Video, names()) {
        return Some(AnnotationFormat::SingularityJson);
    }
    let agqa = ["structural", "semantic", "ans_type", "sg_grounding", "novel_comp"];
    let didemo = ["times", "num_segments", "annotation_id", "dl_link"];
    if has("question") && has("video_id") && agqa.iter().any(|key| has(key)) {
        Some(AnnotationFormat::AgqaJson)
    } else if has("question") && has("video_id") {
        Some(AnnotationFormat::MsrvttQaJson)
    } else if has("video_name") && has("question") {
        Some(AnnotationFormat::ActivitynetQaJson)
    } else if has("description") && has("video") && didemo.iter().any(|key| has(key)) {
        Some(AnnotationFormat::DidemoJson)
    } else if columns.has(Field::Video, names()) {
        Some(AnnotationFormat::SingularityJson)
    } else if has("answer") && has("question_id") {
        Some(AnnotationFormat::ActivitynetQaJson)
    } else if has("id") && (has("template") || has("label") || keys.len() == 1) {
        Some(AnnotationFormat::Ssv2Json)
    } else {
        None
    }
}

fn first_keys(path: &Path, columns: &Columns) -> Result<JsonStart> {
    let (mut start, position) = (None, json::Position::new(json::LONGEST_RECORD));
    let reader = json::open(path, &position)?;
    let outcome = serde_json::Deserializer::from_reader(reader).deserialize_any(FirstRecord(&mut start, columns));
    match (start, outcome) {
        (Some(start), _) => Ok(start),
        (None, Err(e)) => Err(json::parse_error(path, &e)),
        (None, Ok(())) => Ok(JsonStart::Other("it holds no records")),
    }
}

/// Reads no further than the first record.
struct FirstRecord<'a>(&'a mut Option<JsonStart>, &'a Columns);

impl FirstRecord<'_> {
    /// Whether `keys` are those of a record.
    fn is_record(&self, keys: &BTreeSet<String>) -> bool {
        let has = |field| self.1.has(field, keys.iter().map(String::as_str));
        by_keys(keys, self.1).is_some() || has(Field::Caption) || self.1.are_named()
    }
}

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
        let first = object.next_value::<Value>()?;
        if let Value::Object(record) = &first {
            let keys = record.keys().cloned().collect();
            if self.is_record(&keys) {
                *self.0 = Some(JsonStart::Object(key, keys));
                return Ok(());
            }
        }
        if self.1.field(&key).is_none() && is_list_of_lists(&first) {
            *self.0 = Some(JsonStart::Lists);
            return Ok(());
        }
        let mut keys = BTreeSet::from([key]);
        while let Some((key, IgnoredAny)) = object.next_entry::<String, IgnoredAny>()? {
            keys.insert(key);
        }
        *self.0 = Some(JsonStart::Line(keys));
        Ok(())
    }
}

/// Captions as lists of words. Texts alone would be one record with a list.
fn is_list_of_lists(value: &Value) -> bool {
    let words = |caption: &Value| caption.as_array().is_some_and(|words| words.iter().all(Value::is_string));
    value.as_array().is_some_and(|captions| !captions.is_empty() && captions.iter().all(words))
}

fn unknown(path: &Path, problem: &str) -> Error {
    Error::file(
        path,
        format!("cannot be told from its contents: {problem}"),
        "give an original release file (MSR-VTT, DiDeMo, Charades, SSv2, MSRVTT-QA, ActivityNet-QA, AGQA, WebVid, MSVD, \
         VATEX, LSMDC, RTime, VITATECS, TempCompass, Test of Time, ViLMA, NExT-QA), \
         a list or table of records with `video` and `caption` (option `video_key` and option `caption_key` name other columns), or \
         tar shards",
    )
}
