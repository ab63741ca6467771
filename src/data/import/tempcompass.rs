//! TempCompass, caption matching: an object by video of lists by dimension, each item a question whose two last lines
//! are the captions and an answer that repeats one of them. The stem and the labels (`Caption A: …`) are left out.
//!
//! A video `<id>_reverse` is `<id>` backwards, and is read so; a video and its reversal are twins. Of the other edited
//! videos, only the release's own files can be read.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Deserialize;

use super::{
    ImportedAnnotations,
    json::{self, Place, Text},
    named,
};
use crate::{
    Error, Result,
    data::{Choice, Record},
};

/// The type of items on a video whose reversal is asked about, too, and on that reversal.
const TWINS: &str = "reversed twins";
const REVERSED: &str = "_reverse";

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    let mut videos: Vec<(Place, Dimensions)> = Vec::new();
    json::each(path, |place, dimensions: Dimensions| {
        videos.push((place, dimensions));
        Ok(())
    })?;
    refuse_other_questions(path, videos.iter().flat_map(|(_, dimensions)| dimensions.values().flatten()))?;
    let name = |place: &Place| place.key.clone().unwrap_or_default();
    let plain = |place: &Place| name(place).strip_suffix(REVERSED).map(str::to_owned);
    let mirrored: BTreeSet<String> = videos.iter().filter_map(|(place, _)| plain(place)).collect();
    let mut number = 0;
    for (place, dimensions) in &videos {
        let (name, of) = (name(place), plain(place));
        let is_twin = of.is_some() || mirrored.contains(&name);
        let media = named(of.as_deref().unwrap_or(&name), "mp4");
        for (dimension, item) in dimensions.iter().flat_map(|(d, items)| items.iter().map(move |item| (d, item))) {
            number += 1;
            let place = Place { number, line: place.line, key: None };
            let types = std::iter::once(dimension.clone()).chain(is_twin.then(|| TWINS.to_owned())).collect();
            let record = Record { media: media.clone(), reversed: of.is_some(), types, ..Record::default() };
            match item.choice() {
                Ok(choice) => imported.take(&place, Record { choice: Some(choice.into()), ..record }),
                Err(problem) => imported.leave_out(&place, Some(&media), problem),
            }
        }
    }
    Ok(())
}

/// Refuses a file of which less than half asks for one of two captions: a few questions of the other files look so.
fn refuse_other_questions<'a>(path: &Path, items: impl Iterator<Item = &'a Item>) -> Result<()> {
    let (mut all, mut matching, mut lettered, mut polar) = (0, 0, 0, 0);
    for item in items {
        let answer = item.answer.0.trim();
        all += 1;
        matching += usize::from(item.choice().is_ok() && !is_lettered(answer));
        lettered += usize::from(is_lettered(answer));
        polar += usize::from(matches!(answer.to_lowercase().as_str(), "yes" | "no"));
    }
    if 2 * matching >= all {
        return Ok(());
    }
    let what = if 2 * lettered > all {
        "questions with lettered options (TempCompass' multi-choice.json)"
    } else if 2 * polar > all {
        "questions to be answered by yes or no (TempCompass' yes_no.json)"
    } else {
        "other questions than TempCompass' caption matching"
    };
    let problem = format!("holds {what}: {matching} of {all} ask for one of two captions");
    Err(Error::file(path, problem, "give caption_matching.json"))
}

/// Whether `answer` begins as `A. `.
fn is_lettered(answer: &str) -> bool {
    matches!(answer.as_bytes(), [letter, b'.', b' ', ..] if letter.is_ascii_uppercase())
}

type Dimensions = BTreeMap<String, Vec<Item>>;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Item {
    question: Text,
    answer: Text,
}

impl Item {
    fn choice(&self) -> std::result::Result<Choice, &'static str> {
        let lines: Vec<&str> = self.question.0.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let [_stem, one, other] = lines[..] else { return Err("its question is not a stem and two captions") };
        let right = [one, other].iter().position(|line| *line == self.answer.0.trim());
        let right = right.ok_or("its answer is neither of its captions")?;
        let bare = |line: &str| line.split_once(": ").map_or(line, |(_, text)| text).trim().to_owned();
        Ok(Choice { texts: vec![bare(one), bare(other)], right, proficiency: None })
    }
}

#[cfg(test)]
mod tests {
    use crate::data::import::{AnnotationOptions, import, sample};
    use crate::data::{InspectOptions, inspect};

    #[test]
    fn captions_lose_their_labels_and_reversals_are_the_plain_video_backwards() {
        let imported = import(&sample("tempcompass/caption_matching.json"), &AnnotationOptions::default()).unwrap();
        let [forward, backward, order] = [0, 2, 4].map(|at| imported.records[at].clone());
        let choice = forward.choice.unwrap();
        assert_eq!((choice.texts[0].as_str(), choice.right), ("The lamp goes from bright to dark.", 1));
        assert_eq!((forward.media.as_str(), forward.reversed), ("51001.mp4", false));
        assert_eq!((backward.media.as_str(), backward.reversed), ("51001.mp4", true));
        assert_eq!(backward.choice.unwrap().texts[0], "At 9: 30, the lamp goes from bright to dark.");
        assert_eq!((order.media.as_str(), order.reversed, order.types.len()), ("51002_51003_1.mp4", false, 1));
    }

    #[test]
    fn a_video_and_its_reversal_are_two_videos_and_twins() {
        let report = inspect(&sample("tempcompass/caption_matching.json"), &InspectOptions::default()).unwrap();
        assert_eq!((report.videos, report.questions, report.duplicates), (3, 5, 0));
        assert_eq!((report.question_types["attribute_change"], report.question_types["reversed twins"]), (4, 4));
    }

    #[test]
    fn another_question_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("yes_no.json");
        let text =
            r#"{"1": {"action": [{"question": "Is the man running?\nPlease answer yes or no.", "answer": "yes"}]}}"#;
        std::fs::write(&path, text).unwrap();
        let refusal = || import(&path, &AnnotationOptions::default()).unwrap_err().to_string();
        assert!(refusal().contains("give caption_matching.json") && refusal().contains("yes or no"), "{}", refusal());
        // A question with two options looks like one with two captions.
        let item = |options: &str| format!(r#"{{"question": "Where?\n{options}", "answer": "A. up"}}"#);
        let items = [item("A. up\\nB. down"), item("A. up\\nB. down\\nC. left"), item("A. up\\nB. in\\nC. out")];
        std::fs::write(&path, format!(r#"{{"1": {{"direction": [{}]}}}}"#, items.join(","))).unwrap();
        assert!(refusal().contains("lettered options") && refusal().contains("give caption_matching"), "{}", refusal());
    }
}
