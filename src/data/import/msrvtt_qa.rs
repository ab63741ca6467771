//! MSRVTT-QA: a list of `{answer, category_id, id, question, video_id}`, file `video<video_id>.mp4`; accuracy is
//! reported by the question's first word.

use std::path::Path;

use serde::Deserialize;

use super::{
    ImportedAnnotations,
    json::{self, Text},
    named,
};
use crate::{
    Result,
    data::{Benchmark, Record, published},
};

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    imported.expected = imported.split.and_then(|split| published(Benchmark::MsrvttQa, split));
    json::each(path, |place, question: Question| {
        let Text(video) = question.video_id;
        let video = if video.is_empty() || video.starts_with("video") { video } else { format!("video{video}") };
        let record = Record {
            media: named(&video, "mp4"),
            types: vec![first_word(&question.question.0)],
            question: Some(question.question.0),
            answers: Some(question.answer.0).filter(|answer| !answer.is_empty()).into_iter().collect(),
            id: Some(question.id.0).filter(|id| !id.is_empty()),
            ..Record::default()
        };
        imported.take(&place, record);
        Ok(())
    })
}

/// The question word by which MSRVTT-QA is broken down, `other` for any but the five it was built of.
pub fn first_word(question: &str) -> String {
    let word = question.split_whitespace().next().unwrap_or_default().to_lowercase();
    let known = ["what", "who", "how", "when", "where"].into_iter().find(|known| *known == word);
    known.unwrap_or("other").to_owned()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Question {
    question: Text,
    video_id: Text,
    #[serde(default)]
    answer: Text,
    #[serde(default)]
    id: Text,
}

#[cfg(test)]
mod tests {
    use crate::data::import::{AnnotationOptions, import, sample};

    #[test]
    fn questions_are_typed_by_their_first_word() {
        let imported = import(&sample("msrvtt_qa/test_qa.json"), &AnnotationOptions::default()).unwrap();
        let types: Vec<_> = imported.records.iter().map(|record| record.types[0].as_str()).collect();
        assert_eq!(types, ["what", "how", "who", "what", "other"]);
        let second = &imported.records[1];
        assert_eq!((second.media.as_str(), second.id.as_deref()), ("video10001.mp4", Some("2")));
        assert_eq!(second.answers, ["two"]);
    }
}
