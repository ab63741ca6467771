//! ActivityNet-QA: `test_q.json` and `test_a.json`, joined by `question_id`; file `v_<video_name>.mp4`, or `.mkv`.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    ImportPurpose, ImportedAnnotations,
    json::{self, Text},
};
use crate::{
    Error, Result,
    data::{Benchmark, Record, published},
    input,
};

/// What the numbers in the field `type` stand for.
const TYPES: [&str; 9] = ["Motion", "Spatial", "Temporal", "Yes/No", "Color", "Object", "Location", "Number", "Other"];

pub fn read(path: &Path, purpose: ImportPurpose, imported: &mut ImportedAnnotations) -> Result<()> {
    imported.expected = imported.split.and_then(|split| published(Benchmark::AnetQa, split));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if holds_answers(path)? {
        let absent = "its questions are there, this file holds answers only";
        return match imported.sibling(path, &[&renamed(&name, "_a", "_q")], absent) {
            Some(questions) => join(&questions, Some(path.to_path_buf()), purpose, imported),
            None => read_answers_alone(path, imported),
        };
    }
    let absent = "the questions have no answers and cannot be scored";
    let answers = imported.sibling(path, &[&renamed(&name, "_q", "_a")], absent);
    join(path, answers, purpose, imported)
}

/// `test_q.json` for `test_a.json` and vice versa; a name without `_q`/`_a` is taken as the bare split name.
fn renamed(name: &str, from: &str, to: &str) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, "json"));
    format!("{}{to}.{extension}", stem.strip_suffix(from).unwrap_or(stem))
}

fn holds_answers(path: &Path) -> Result<bool> {
    let (mut any, mut questions) = (false, false);
    json::each(path, |_, entry: Entry| {
        (any, questions) = (true, questions || !entry.question.0.is_empty());
        Ok(())
    })?;
    Ok(any && !questions)
}

fn join(
    questions: &Path,
    answers: Option<PathBuf>,
    purpose: ImportPurpose,
    imported: &mut ImportedAnnotations,
) -> Result<()> {
    let mut by_id: HashMap<String, Entry> = HashMap::new();
    if let Some(answers) = &answers {
        json::each(answers, |_, entry: Entry| {
            by_id.insert(entry.question_id.0.clone(), entry);
            Ok(())
        })?;
    }
    let mut unanswered = Vec::new();
    json::each(questions, |place, question: Entry| {
        let answer = by_id.remove(&question.question_id.0).or_else(|| question.answered().then(|| question.clone()));
        if answer.is_none() && answers.is_some() {
            unanswered.push(question.question_id.0.clone());
        }
        imported.take(&place, question.record(answer));
        Ok(())
    })?;
    report(questions, answers.as_deref(), &unanswered, by_id.len(), purpose, imported)
}

fn report(
    questions: &Path,
    answers: Option<&Path>,
    unanswered: &[String],
    unasked: usize,
    purpose: ImportPurpose,
    imported: &mut ImportedAnnotations,
) -> Result<()> {
    let Some(answers) = answers else { return Ok(()) };
    if unasked > 0 {
        imported.warnings.push(format!("{unasked} answers in {} belong to no question", answers.display()));
    }
    let Some(first) = unanswered.first() else { return Ok(()) };
    let (count, first) = (unanswered.len(), input::shown(first));
    let problem = format!("{count} questions, such as {first}, have no answer in {}", answers.display());
    if purpose == ImportPurpose::Evaluate {
        return Err(Error::file(questions, problem, "obtain both files of the same split again"));
    }
    imported.warnings.push(problem);
    Ok(())
}

fn read_answers_alone(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    json::each(path, |place, entry: Entry| {
        imported.take(&place, entry.record(Some(entry.clone())));
        Ok(())
    })
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    question_id: Text,
    video_name: Text,
    question: Text,
    answer: Text,
    #[serde(rename = "type")]
    kind: Text,
}

impl Entry {
    fn answered(&self) -> bool {
        !self.answer.0.is_empty()
    }

    /// Question ids are `v_<video name>_<number>`; names may hold underscores themselves.
    fn media(&self) -> String {
        if !self.video_name.0.is_empty() {
            return format!("v_{}.mp4", self.video_name.0);
        }
        let video = self.question_id.0.rsplit_once('_').map_or(self.question_id.0.as_str(), |(video, _)| video);
        format!("{video}.mp4")
    }

    fn record(&self, answer: Option<Entry>) -> Record {
        let kind = answer.as_ref().map_or(&self.kind.0, |answer| &answer.kind.0);
        let named = kind.parse::<usize>().ok().and_then(|number| TYPES.get(number)).map(|name| (*name).to_owned());
        let kind = named.or_else(|| (!kind.is_empty()).then(|| format!("type {kind}")));
        Record {
            media: self.media(),
            question: Some(self.question.0.clone()).filter(|question| !question.is_empty()),
            answers: answer.map(|answer| answer.answer.0).filter(|answer| !answer.is_empty()).into_iter().collect(),
            types: kind.into_iter().collect(),
            id: Some(self.question_id.0.clone()).filter(|id| !id.is_empty()),
            ..Record::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::import::{AnnotationOptions, import, sample};

    #[test]
    fn questions_meet_their_answers_by_id() {
        for name in ["anet_qa/test_q.json", "anet_qa/test_a.json"] {
            let imported = import(&sample(name), &AnnotationOptions::default()).unwrap();
            assert_eq!((imported.records.len(), imported.joined.len()), (4, 1));
            let [hat, bell, horses, _] = &imported.records[..] else { panic!("four records") };
            assert_eq!((hat.media.as_str(), hat.types[0].as_str()), ("v_a_B-3.mp4", "Yes/No"));
            assert_eq!((bell.answers[0].as_str(), bell.types[0].as_str()), ("sprints", "Temporal"));
            assert_eq!((horses.answers[0].as_str(), horses.types[0].as_str()), ("3", "Number"));
        }
    }

    #[test]
    fn a_question_the_answer_file_leaves_out_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("val_q.json");
        std::fs::copy(sample("anet_qa/test_q.json"), &path).unwrap();
        let warnings = import(&path, &AnnotationOptions::default()).unwrap().warnings;
        assert!(warnings[0].starts_with("val_a.json is not beside"), "{warnings:?}");
        let answers = r#"[{"answer": "yes", "type": 3, "question_id": "v_a_B-3_1"}]"#;
        std::fs::write(folder.path().join("val_a.json"), answers).unwrap();
        let refused =
            import(&path, &AnnotationOptions { purpose: ImportPurpose::Evaluate, ..AnnotationOptions::default() });
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("3 questions, such as v_a_B-3_2, have no answer in"), "{message}");
    }

    #[test]
    fn answers_without_their_questions_still_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test_a.json");
        std::fs::copy(sample("anet_qa/test_a.json"), &path).unwrap();
        let imported = import(&path, &AnnotationOptions::default()).unwrap();
        assert_eq!(imported.records[1].media, "v_a_B-3.mp4");
        assert!(imported.records.iter().all(|record| record.question.is_none() && record.answers.len() == 1));
    }
}
