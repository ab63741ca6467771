//! MSR-VTT's multiple choice, as Singularity or ALPRO write it: captions to choose from, and the number of the right one.

use std::path::Path;

use super::{ImportPurpose, ImportedAnnotations};
use crate::{
    Error, Result,
    data::{Choice, Record},
    input::shown,
};

/// What is known of the records of a file.
#[derive(Default)]
pub struct MultipleChoice {
    records: usize,
    answered: usize,
}

impl MultipleChoice {
    /// Makes a choice among `texts`, the empty ones included, of `record`. An answer that is none of them, or that is
    /// missing, stays one that no text has; returned is what to add to that problem.
    pub fn take(&mut self, record: &mut Record, texts: Vec<String>) -> String {
        let answer = record.answers.first().map(|answer| answer.trim().to_owned());
        self.records += 1;
        self.answered += usize::from(answer.is_some());
        let right = answer.as_deref().and_then(|answer| answer.parse().ok()).unwrap_or(texts.len());
        let hint = match &answer {
            Some(_) if right < texts.len() => String::new(),
            Some(answer) => format!("; its answer is `{}`, counted from 0", shown(answer)),
            None => "; it has no `answer`".into(),
        };
        record.answers.clear();
        record.captions.clear();
        record.choice = Some(Choice { texts, right, proficiency: None }.into());
        hint
    }

    /// Refuses a file of captions in which nothing says which is right; inspection only says what it is.
    ///
    /// # Errors
    /// None of its records has an answer.
    pub fn require_answers(&self, path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
        if self.records == 0 || self.answered > 0 {
            return Ok(());
        }
        let problem = "holds captions and no `answer`: it is a file of captions, not of captions to choose from";
        if imported.purpose == ImportPurpose::Inspect {
            imported.warnings.push(format!("the file {problem}"));
            return Ok(());
        }
        Err(Error::file(
            path,
            problem,
            "give msrvtt-mc its msrvtt_mc_test.json or .jsonl, whose records have an `answer`",
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::data::import::{AnnotationOptions, ImportPurpose, ImportedAnnotations, import};
    use crate::data::{Benchmark, InspectOptions, InspectReport, inspect};

    /// Two good records and `third`.
    fn read(third: &str, allow_missing: bool) -> (crate::Result<ImportedAnnotations>, InspectReport) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("msrvtt_mc_test.json");
        let good =
            |n: usize| format!(r#"{{"video": "{n}.mp4", "caption": ["a cat", "a dog", "a road"], "answer": {n}}}"#);
        std::fs::write(&path, format!("[{},\n{},\n{third}]", good(0), good(1))).unwrap();
        let (benchmark, purpose) = (Some(Benchmark::MsrvttMc), ImportPurpose::Evaluate);
        let options = AnnotationOptions { benchmark, purpose, allow_missing, ..AnnotationOptions::default() };
        (import(&path, &options), inspect(&path, &InspectOptions::default()).unwrap())
    }

    #[test]
    fn a_record_without_a_usable_answer_is_refused_and_counted() {
        let head = r#"{"video": "c.mp4", "caption": ["a cat", "a dog", "a road"]"#;
        for (end, problem) in [
            ("}", "its right answer is none of its texts; it has no `answer`"),
            (r#", "answer": -1}"#, "its answer is `-1`, counted from 0"),
            (r#", "answer": 5}"#, "its answer is `5`, counted from 0"),
            (r#", "answer": "a dog"}"#, "its answer is `a dog`, counted from 0"),
        ] {
            let (refused, report) = read(&format!("{head}{end}"), false);
            let message = refused.unwrap_err().to_string();
            assert!(message.contains("msrvtt_mc_test.json") && message.contains("1 of 3 records"), "{message}");
            assert!(message.contains("c.mp4: record 3 (line 3)") && message.contains(problem), "{message}");
            assert_eq!((report.records, report.questions, report.captions, report.unusable), (3, 3, 0, 1), "{end}");
            let kept = read(&format!("{head}{end}"), true).0.unwrap();
            assert!(kept.records.len() == 2 && kept.records.iter().all(|record| record.choice.is_some()));
            assert!(kept.warnings.iter().any(|warning| warning.starts_with("1 of 3 records are left out")));
        }
    }

    #[test]
    fn an_empty_caption_does_not_move_the_answer() {
        let (refused, _) = read(r#"{"video": "c.mp4", "caption": ["", "a dog", "a road"], "answer": 1}"#, false);
        assert!(refused.unwrap_err().to_string().contains("one of its texts is missing or empty"));
    }

    #[test]
    fn a_file_of_captions_is_named_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("msrvtt_mc_test.json");
        std::fs::write(&path, r#"[{"video": "a.mp4", "caption": ["x", "y"]}, {"video": "b.mp4", "caption": "z"}]"#)
            .unwrap();
        let (benchmark, purpose) = (Some(Benchmark::MsrvttMc), ImportPurpose::Evaluate);
        let options = AnnotationOptions { benchmark, purpose, ..AnnotationOptions::default() };
        let message = import(&path, &options).unwrap_err().to_string();
        assert!(message.contains("it is a file of captions"), "{message}");
        let report = inspect(&path, &InspectOptions::default()).unwrap();
        assert_eq!((report.questions, report.unusable), (2, 2));
        assert!(report.warnings.iter().any(|warning| warning.contains("it is a file of captions")));
    }
}
