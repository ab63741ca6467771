//! AGQA balanced: an object of questions by id, in a file ending `.txt` or `.json`; videos are those of Charades.
//!
//! Versions 1.0 and 2.0 have the same fields. What tells them apart is what 2.0 changed: it balanced the answers, so
//! that yes and no are equally frequent, and holds 2.27 M questions in all, training and test, instead of 3.9 M.

use std::path::Path;

use serde::Deserialize;

use super::{
    ImportedAnnotations,
    json::{self, Text, Texts},
    named,
};
use crate::{Result, data::Record};

/// Balanced questions of AGQA 2.0, training and test: a file with more is of 1.0.
const QUESTIONS_2_0: usize = 2_270_000;
/// Below this many yes/no questions their balance is not significant: one standard deviation is then 1.6 %.
const ENOUGH: usize = 1_000;
/// How far from one half the share of "yes" may be in 2.0.
const BALANCED: f64 = 0.02;

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    let (mut yes, mut no) = (0, 0);
    json::each(path, |place, question: Question| {
        match question.answer.0.to_lowercase().as_str() {
            "yes" => yes += 1,
            "no" => no += 1,
            _ => {}
        }
        imported.take(&place, question.record(place.key.as_deref()));
        Ok(())
    })?;
    let (version, reason) = version(path, imported.records.len(), yes, no);
    imported.warnings.push(match version {
        Some(version) => format!("taken for AGQA {version}: {reason}"),
        None => format!("AGQA 1.0 or 2.0, which cannot be told: {reason}"),
    });
    imported.version = version.map(str::to_owned);
    Ok(())
}

fn version(path: &Path, questions: usize, yes: usize, no: usize) -> (Option<&'static str>, String) {
    let named = path.to_string_lossy().to_lowercase().replace(['_', '-', ' '], "");
    let says = |marks: &[&str]| marks.iter().any(|mark| named.contains(mark));
    let share = yes as f64 / (yes + no).max(1) as f64;
    if says(&["agqa2", "agqav2"]) {
        (Some("2.0"), "its path says so".into())
    } else if says(&["agqa1", "agqav1"]) {
        (Some("1.0"), "its path says so".into())
    } else if questions > QUESTIONS_2_0 {
        (Some("1.0"), format!("it holds {questions} questions, more than all of 2.0"))
    } else if yes + no < ENOUGH {
        (None, format!("it holds only {} yes/no questions, whose balance would tell", yes + no))
    } else if (share - 0.5).abs() <= BALANCED {
        (Some("2.0"), format!("{:.1} % of its yes/no answers are yes, as 2.0 balanced them", 100.0 * share))
    } else {
        (Some("1.0"), format!("{:.1} % of its yes/no answers are yes, which 2.0 balanced", 100.0 * share))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Question {
    question: Text,
    video_id: Text,
    #[serde(default)]
    answer: Text,
    #[serde(default, alias = "id")]
    question_id: Text,
    #[serde(default)]
    global: Texts,
    #[serde(default)]
    semantic: Texts,
    #[serde(default)]
    structural: Texts,
    #[serde(default)]
    ans_type: Texts,
    #[serde(default)]
    novel_comp: Text,
    #[serde(default)]
    more_steps: Text,
    #[serde(default)]
    indirect: Text,
}

impl Question {
    fn record(self, key: Option<&str>) -> Record {
        let id = key.map(str::to_owned).or(Some(self.question_id.0.clone())).filter(|id| !id.is_empty());
        Record {
            media: named(&self.video_id.0, "mp4"),
            types: self.types(),
            question: Some(self.question.0),
            answers: Some(self.answer.0).filter(|answer| !answer.is_empty()).into_iter().collect(),
            id,
            ..Record::default()
        }
    }

    fn types(&self) -> Vec<String> {
        let groups = [
            ("reasoning", &self.global),
            ("semantic", &self.semantic),
            ("structural", &self.structural),
            ("answer", &self.ans_type),
        ];
        let mut types: Vec<String> = groups
            .iter()
            .flat_map(|(group, names)| names.0.iter().map(move |name| format!("{group}: {name}")))
            .collect();
        let flags =
            [("novel compositions", &self.novel_comp), ("more steps", &self.more_steps), ("indirect", &self.indirect)];
        let set = |flag: &&(&str, &Text)| !matches!(flag.1.0.as_str(), "" | "0" | "0.0" | "false" | "False");
        types.extend(flags.iter().filter(set).map(|(name, _)| (*name).to_owned()));
        types.sort_unstable();
        types.dedup();
        types
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::import::{AnnotationOptions, import, sample};

    #[test]
    fn fields_may_be_texts_lists_or_numbers_and_more_than_expected() {
        let imported = import(&sample("agqa/test_balanced.txt"), &AnnotationOptions::default()).unwrap();
        let [stir, out, hold] = &imported.records[..] else { panic!("three records") };
        assert_eq!((stir.media.as_str(), stir.id.as_deref()), ("AAA01.mp4", Some("AAA01-7")));
        let types = ["answer: binary", "novel compositions", "reasoning: exists", "reasoning: sequencing"];
        assert_eq!(stir.types[..4], types);
        assert!(out.types.contains(&"more steps".into()) && out.types.contains(&"indirect".into()));
        assert!(hold.types.contains(&"structural: choose".into()) && hold.types.contains(&"reasoning: obj-rel".into()));
        assert_eq!(
            imported.warnings[0],
            "AGQA 1.0 or 2.0, which cannot be told: it holds only 1 yes/no questions, whose balance would tell"
        );
    }

    #[test]
    fn the_share_of_yes_tells_the_version() {
        let told = |path: &str, questions, yes, no| version(Path::new(path), questions, yes, no).0;
        assert_eq!(told("test_balanced.txt", 9_000, 2_010, 1_990), Some("2.0"));
        assert_eq!(told("test_balanced.txt", 9_000, 2_400, 1_600), Some("1.0"));
        assert_eq!(told("test_balanced.txt", 2_300_001, 1_000_000, 1_000_000), Some("1.0"));
        assert_eq!(told("AGQA_2/test_balanced.txt", 7, 3, 1), Some("2.0"));
        assert_eq!(told("test_balanced.txt", 7, 3, 1), None);
    }
}
