//! The list of answers that question answering ranks: given as a file, or derived from the training answers.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use super::{Benchmark, Record, import::whole_json};
use crate::{Error, Result, files};

/// How an answer list is derived from training answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerRule {
    /// Times an answer must have been given.
    pub min_count: usize,
    /// Most answers that are kept, the most frequent first.
    pub max_answers: Option<usize>,
}

impl AnswerRule {
    /// The rule by which the published list came about: ActivityNet-QA twice or more (1,654 answers), MSRVTT-QA the
    /// 1,500 most frequent, others all.
    pub const fn of(benchmark: Benchmark) -> Self {
        match benchmark {
            Benchmark::AnetQa => Self { min_count: 2, max_answers: None },
            Benchmark::MsrvttQa => Self { min_count: 1, max_answers: Some(1_500) },
            _ => Self { min_count: 1, max_answers: None },
        }
    }

    /// The answers of `records`, the most frequent first and equally frequent ones by the alphabet.
    pub fn derive(self, records: &[Record]) -> Vec<String> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for answer in records.iter().flat_map(|record| &record.answers) {
            *counts.entry(answer.trim()).or_default() += 1;
        }
        let mut counts: Vec<_> =
            counts.into_iter().filter(|(answer, count)| !answer.is_empty() && *count >= self.min_count).collect();
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        counts.truncate(self.max_answers.unwrap_or(usize::MAX));
        counts.into_iter().map(|(answer, _)| answer.to_owned()).collect()
    }
}

/// Reads a JSON list of answers.
///
/// # Errors
/// The file is no list of texts, is empty, or holds an empty or repeated answer.
pub fn read_answers(path: &Path) -> Result<Vec<String>> {
    let answers: Vec<String> = whole_json(path)?;
    let wrong = |problem: String| Error::file(path, problem, "write a JSON list of distinct answers");
    let mut seen = HashSet::new();
    for (position, answer) in answers.iter().enumerate() {
        if answer.trim().is_empty() {
            return Err(wrong(format!("answer {} is empty", position + 1)));
        }
        if !seen.insert(answer) {
            return Err(wrong(format!("answer {}, `{answer}`, occurs before", position + 1)));
        }
    }
    if answers.is_empty() {
        return Err(wrong("holds no answers".into()));
    }
    Ok(answers)
}

/// Writes a JSON list of answers, one per line.
///
/// # Errors
/// The file cannot be written.
pub fn write_answers(path: &Path, answers: &[String]) -> Result<()> {
    files::write_json(path, &answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(answers: &[&str]) -> Vec<Record> {
        answers.iter().map(|&answer| Record { answers: vec![answer.into()], ..Record::default() }).collect()
    }

    #[test]
    fn answers_are_counted_cut_and_ordered() {
        let records = records(&["no", "yes", "two", "yes", "dog", "no", "yes", " "]);
        let derive = |min_count, max_answers| AnswerRule { min_count, max_answers }.derive(&records);
        assert_eq!(derive(2, None), ["yes", "no"]);
        assert_eq!(derive(1, Some(3)), ["yes", "no", "dog"]);
        assert_eq!(derive(1, None), ["yes", "no", "dog", "two"]);
    }

    #[test]
    fn a_list_round_trips_and_a_bad_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.json");
        write_answers(&path, &["yes".into(), "no \"way\"".into()]).unwrap();
        assert_eq!(read_answers(&path).unwrap(), ["yes", "no \"way\""]);
        for (text, problem) in [("[]", "no answers"), (r#"["a","a"]"#, "answer 2, `a`"), (r#"["a",""]"#, "answer 2 is")]
        {
            std::fs::write(&path, text).unwrap();
            assert!(read_answers(&path).unwrap_err().to_string().contains(problem), "{text}");
        }
    }
}
