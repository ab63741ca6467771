//! One JSON object becomes one record: which keys there may be, and what they may hold.

use crate::data::Record;
use serde_json::{Map, Value};

/// Keys with a meaning; the last line of them is accepted and ignored: what Singularity's own files and common
/// corpora carry besides.
pub const KEYS: [&str; 23] = [
    "video",
    "image",
    "caption",
    "start",
    "end",
    "question",
    "question_id",
    "answer",
    "type",
    "id",
    "video_id",
    "image_id",
    "dataset",
    "split",
    "category",
    "category_id",
    "duration",
    "fps",
    "url",
    "width",
    "height",
    "answer_type",
    "question_type",
];

/// What is wrong with a record, and the remedy.
pub type FieldError = (String, String);

/// Turns the object of one record into a [`Record`].
pub fn record(object: Value) -> Result<Record, FieldError> {
    let Value::Object(object) = object else {
        let problem = format!("is {}, not an object", kind(&object));
        return Err((problem, "write each record as {\"video\": …, \"caption\": …}".into()));
    };
    if let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let problem = format!("has the unknown key {key:?}");
        return Err((problem, format!("remove or rename it; accepted are {}", KEYS.join(", "))));
    }
    let (media, also) = media(&object)?;
    let record = Record {
        media,
        also,
        start: seconds(&object, "start")?,
        end: seconds(&object, "end")?,
        captions: texts(&object, "caption")?,
        question: texts(&object, "question")?.pop(),
        answers: texts(&object, "answer")?,
        types: ["type", "question_type", "answer_type"].iter().filter_map(|key| scalar(object.get(*key)?)).collect(),
        id: ["question_id", "id"].iter().find_map(|key| scalar(object.get(*key)?)),
    };
    complete(record)
}

/// Checks what any record needs, whatever format it came in.
pub fn complete(record: Record) -> Result<Record, FieldError> {
    if record.media.trim().is_empty() || record.also.iter().any(|media| media.trim().is_empty()) {
        return Err(("names no video".into(), "give its path, relative to the media folder".into()));
    }
    if record.captions.is_empty() && record.question.is_none() {
        return Err(("has neither caption nor question".into(), "add a caption".into()));
    }
    if record.captions.iter().chain(&record.question).any(|text| text.trim().is_empty()) {
        return Err((format!("has an empty caption for `{}`", record.media), "write the caption or remove it".into()));
    }
    match (record.start.unwrap_or(0.0), record.end) {
        (start, _) if start < 0.0 => {
            Err((format!("starts at {start} s"), "give seconds from the start of the file".into()))
        }
        (start, Some(end)) if end <= start => {
            Err((format!("ends at {end} s, not after its start at {start} s"), "give an end after the start".into()))
        }
        _ => Ok(record),
    }
}

/// The video, and further videos of the same caption.
fn media(object: &Map<String, Value>) -> Result<(String, Vec<String>), FieldError> {
    let key = if object.contains_key("video") { "video" } else { "image" };
    let mut paths = texts(object, key)?.into_iter();
    match paths.next() {
        Some(first) => Ok((first, paths.collect())),
        None => Err(("names no video".into(), "give its path under the key \"video\"".into())),
    }
}

/// The text or list of texts under `key`; numbers count as text (answers of multiple choice), null as nothing.
fn texts(object: &Map<String, Value>, key: &str) -> Result<Vec<String>, FieldError> {
    let wrong = |value: &Value| {
        let problem = format!("has {} under {key:?}", kind(value));
        (problem, "give a text or a list of texts".to_owned())
    };
    match object.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(|value| scalar(value).ok_or_else(|| wrong(value))).collect(),
        Some(value) => scalar(value).map(|text| vec![text]).ok_or_else(|| wrong(value)),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn seconds(object: &Map<String, Value>, key: &str) -> Result<Option<f64>, FieldError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match scalar(value).as_deref().and_then(parse_seconds) {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(not_seconds(key, &value.to_string())),
        },
    }
}

/// The fault of a `key` whose `value` is no time.
pub fn not_seconds(key: &str, value: &str) -> FieldError {
    (format!("has {value} under {key:?}"), "give seconds, or HH:MM:SS".into())
}

/// Seconds, `MM:SS` or `HH:MM:SS`, fractions allowed in the last part.
pub fn parse_seconds(text: &str) -> Option<f64> {
    let parts: Vec<f64> = text.split(':').map(|part| part.trim().parse::<f64>().ok()).collect::<Option<_>>()?;
    let seconds = parts.iter().fold(0.0, |sum, part| sum * 60.0 + part);
    (parts.len() <= 3 && seconds.is_finite()).then_some(seconds)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn singularitys_records_are_understood() {
        let template = record(json!({"video": ["1.webm", "2.webm"], "caption": "Moving [something] up"})).unwrap();
        assert_eq!((template.media.as_str(), template.also), ("1.webm", vec!["2.webm".to_owned()]));
        let question =
            json!({"video": "v", "question": "what?", "question_id": 7, "answer": ["a", "b", "a"], "type": 3});
        let question = record(question).unwrap();
        assert_eq!((question.question.as_deref(), question.id.as_deref()), (Some("what?"), Some("7")));
        assert_eq!(
            (question.answers, question.types),
            (vec!["a".into(), "b".into(), "a".into()], vec!["3".to_owned()])
        );
        let choice = record(json!({"image": "i.jpg", "caption": ["a", "b"], "answer": 1})).unwrap();
        assert_eq!((choice.media.as_str(), choice.captions.len(), choice.answers), ("i.jpg", 2, vec!["1".to_owned()]));
    }

    #[test]
    fn spans_are_seconds_or_clock_times() {
        let span = record(json!({"video": "v", "caption": "c", "start": "00:01:02.5", "end": 71})).unwrap();
        assert_eq!((span.start, span.end), (Some(62.5), Some(71.0)));
        assert_eq!([parse_seconds("1:02"), parse_seconds("x"), parse_seconds("1:2:3:4")], [Some(62.0), None, None]);
        let (problem, _) = record(json!({"video": "v", "caption": "c", "start": 9.5, "end": 9.5})).unwrap_err();
        assert_eq!(problem, "ends at 9.5 s, not after its start at 9.5 s");
    }

    #[test]
    fn errors_name_the_problem_and_the_remedy() {
        let cases = [
            (json!(["v", "c"]), "is a list, not an object"),
            (json!({"video": "v", "captoin": "c"}), "unknown key \"captoin\""),
            (json!({"caption": "c"}), "names no video"),
            (json!({"video": " ", "caption": "c"}), "names no video"),
            (json!({"video": "v"}), "neither caption nor question"),
            (json!({"video": "v", "caption": []}), "neither caption nor question"),
            (json!({"video": "v", "caption": ["a", " \n"]}), "empty caption for `v`"),
            (json!({"video": "v", "caption": {"a": 1}}), "an object under \"caption\""),
            (json!({"video": "v", "caption": "c", "start": "soon"}), "\"soon\" under \"start\""),
            (json!({"video": "v", "caption": "c", "start": -1}), "starts at -1 s"),
        ];
        for (object, expected) in cases {
            let (problem, remedy) = record(object).unwrap_err();
            assert!(problem.contains(expected) && !remedy.is_empty(), "{problem}; {remedy}");
        }
    }
}
