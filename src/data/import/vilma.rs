//! ViLMA: an object by id of a clip, its caption and a foil, a second pair that tests the words alone (proficiency), and
//! what people made of both. Scored are the items that people found right, by the published filter; every import says
//! how many they are.

use std::path::Path;

use serde::Deserialize;

use super::{
    ImportedAnnotations,
    json::{self, Text, Texts},
    named,
};
use crate::{
    Result,
    data::{Choice, Record},
};

/// Annotators of three who must have chosen the caption.
const VOTES: f64 = 2.0;
const SSV2: &str = "something-something-v2";

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    let (mut all, mut passed, mut learned) = (0, 0, 0);
    json::each(path, |place, item: Item| {
        all += 1;
        if let Some(problem) = item.lack() {
            imported.leave_out(&place, place.key.as_deref(), problem);
            return Ok(());
        }
        if !item.is_valid() {
            imported.total += 1;
            return Ok(());
        }
        passed += 1;
        learned += usize::from(item.is_ssv2_training());
        imported.take(&place, item.record(place.key.clone()));
        Ok(())
    })?;
    imported.warnings.push(format!(
        "{passed} of {all} items pass the published filter and are scored: two of three people chose the caption, and \
         its proficiency pair is valid"
    ));
    if learned > 0 {
        imported.warnings.push(format!(
            "{learned} of these are training clips of Something-Something v2 (type `{TRAINING}`): leave them out for a \
             model that has seen them"
        ));
    }
    Ok(())
}

const TRAINING: &str = "ssv2 training clips";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Item {
    dataset: Text,
    original_split: Text,
    youtube_id: Text,
    video_file: Text,
    start_time: Option<f64>,
    end_time: Option<f64>,
    caption: Text,
    foils: Texts,
    proficiency: Proficiency,
    mturk: Votes,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Proficiency {
    caption: Text,
    foils: Texts,
    human: Votes,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Votes {
    caption: Option<f64>,
}

impl Item {
    /// What the published filter or the combined score needs and this does not have, which is no judgement of people.
    fn lack(&self) -> Option<&'static str> {
        let Proficiency { caption, foils, human } = &self.proficiency;
        let blank = |text: &str| text.trim().is_empty();
        if self.mturk.caption.is_none() {
            Some("it has no `mturk` with the votes for its caption")
        } else if human.caption.is_none() || blank(&caption.0) || foils.0.first().is_none_or(|foil| blank(foil)) {
            Some("it has no `proficiency` with caption, foil and what people made of them")
        } else {
            None
        }
    }

    fn is_valid(&self) -> bool {
        self.mturk.caption.is_some_and(|votes| votes >= VOTES) && self.proficiency.human.caption == Some(1.0)
    }

    fn is_ssv2_training(&self) -> bool {
        self.dataset.0 == SSV2 && self.original_split.0 == "train"
    }

    fn record(self, id: Option<String>) -> Record {
        let is_training = self.is_ssv2_training();
        let name = if self.youtube_id.0.is_empty() { &self.video_file.0 } else { &self.youtube_id.0 };
        let extension = if self.dataset.0 == SSV2 { "webm" } else { "mp4" };
        let Proficiency { caption, foils, .. } = self.proficiency;
        let proficiency = foils.0.into_iter().next().map(|foil| [caption.0, foil]);
        let texts = std::iter::once(self.caption.0).chain(self.foils.0).collect();
        let choice = Choice { texts, right: 0, proficiency };
        Record {
            media: named(name, extension),
            start: self.start_time,
            end: self.end_time,
            choice: Some(choice.into()),
            types: [Some(self.dataset.0), is_training.then(|| TRAINING.to_owned())].into_iter().flatten().collect(),
            id,
            ..Record::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::data::import::{AnnotationOptions, ImportPurpose, import, sample};
    use crate::data::{InspectOptions, inspect};

    #[test]
    fn an_item_without_votes_or_proficiency_is_refused() {
        let text = std::fs::read_to_string(sample("vilma/change-state-inverse.json")).unwrap();
        let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("change-state-inverse.json");
        for (id, key) in [("0001", "proficiency"), ("0002", "proficiency"), ("0001", "mturk"), ("0003", "mturk")] {
            let (mut broken, id) = (whole.clone(), format!("change-state-inverse-{id}"));
            broken[&id].as_object_mut().unwrap().remove(key);
            std::fs::write(&path, broken.to_string()).unwrap();
            let scored = AnnotationOptions { purpose: ImportPurpose::Evaluate, ..AnnotationOptions::default() };
            let message = import(&path, &scored).unwrap_err().to_string();
            assert!(message.contains("1 of 5 records cannot be used"), "{message}");
            assert!(message.contains(&id) && message.contains(&format!("it has no `{key}`")), "{message}");
            let report = inspect(&path, &InspectOptions::default()).unwrap();
            assert_eq!((report.benchmark.as_str(), report.records, report.unusable), ("vilma", 5, 1), "{id} {key}");
        }
    }

    #[test]
    fn only_what_people_confirmed_is_scored() {
        let path = sample("vilma/change-state-inverse.json");
        let report = inspect(&path, &InspectOptions::default()).unwrap();
        assert_eq!((report.records, report.questions, report.question_types["coin"]), (5, 3, 1));
        assert_eq!(report.question_types["ssv2 training clips"], 1);
        assert!(report.warnings.iter().any(|warning| warning.starts_with("3 of 5 items pass the published filter")));
        let records = import(&path, &AnnotationOptions::default()).unwrap().records;
        let names: Vec<_> = records.iter().map(|r| (r.media.as_str(), r.start, r.end)).collect();
        assert_eq!(
            names,
            [("-ab_cdefghi.mp4", Some(0.0), Some(1.0)), ("900001.webm", Some(0.0), None), ("AAA01.mp4", None, None)]
        );
        let proficiency = records[0].choice.as_ref().unwrap().proficiency.as_ref().unwrap();
        assert_eq!(proficiency, &["The lamp is lit.", "The cat is lit."]);
    }
}
