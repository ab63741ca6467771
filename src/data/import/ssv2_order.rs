//! Something-Something v2 as a test of order: 11 pairs of opposite templates, and the 18 templates that people could
//! not tell without time (Sevilla-Lara et al., arXiv 1907.08340). Both need the release's own file alone; a list of 216
//! clips beside it adds the retrieval test of those templates.

use std::{collections::BTreeMap, path::Path};

use super::{AnnotationFormat, ImportedAnnotations, columns::Columns, json::Place, named, ssv2::Ssv2Record, table};
use crate::{
    Result,
    data::{Choice, Record},
};

/// Name of a pair and its two templates, after CiA; its six pairs of opening and closing, told apart by a list that is
/// not public, are one here.
const CHIRAL: [(&str, [&str; 2]); 11] = [
    ("up/down", ["Moving [something] up", "Moving [something] down"]),
    ("unfold/fold", ["Unfolding [something]", "Folding [something]"]),
    (
        "take/put one of many",
        [
            "Taking [one of many similar things on the table]",
            "Putting [something similar to other things that are already on the table]",
        ],
    ),
    ("push left/right", ["Pushing [something] from right to left", "Pushing [something] from left to right"]),
    ("pull left/right", ["Pulling [something] from right to left", "Pulling [something] from left to right"]),
    (
        "closer/apart",
        [
            "Moving [something] and [something] closer to each other",
            "Moving [something] and [something] away from each other",
        ],
    ),
    (
        "towards/away from the camera",
        ["Moving [something] towards the camera", "Moving [something] away from the camera"],
    ),
    (
        "camera right/left",
        ["Turning the camera right while filming [something]", "Turning the camera left while filming [something]"],
    ),
    (
        "camera up/down",
        [
            "Turning the camera upwards while filming [something]",
            "Turning the camera downwards while filming [something]",
        ],
    ),
    ("camera away/near", ["Moving away from [something] with your camera", "Approaching [something] with your camera"]),
    ("open/close", ["Opening [something]", "Closing [something]"]),
];

const TEMPORAL: [&str; 18] = [
    "Approaching [something] with your camera",
    "Covering [something] with [something]",
    "Lifting [something] up completely without letting it drop down",
    "Lifting [something] up completely, then letting it drop down",
    "Lifting [something] with [something] on it",
    "Lifting up one end of [something], then letting it drop down",
    "Moving [something] and [something] away from each other",
    "Moving [something] and [something] closer to each other",
    "Moving [something] and [something] so they collide with each other",
    "Moving [something] away from [something]",
    "Moving [something] away from the camera",
    "Moving [something] closer to [something]",
    "Moving [something] towards the camera",
    "Moving away from [something] with your camera",
    "Pretending to turn [something] upside down",
    "Stuffing [something] into [something]",
    "Turning [something] upside down",
    "Uncovering [something]",
];

/// The list of 216 clips and their templates.
const LIST: &str = "videocon_ssv2_temporal216.csv";

/// The template as a sentence.
fn plain(template: &str) -> String {
    template.replace(['[', ']'], "")
}

/// Choices between two opposite templates.
pub fn chiral(clips: &[Ssv2Record], imported: &mut ImportedAnnotations) {
    let sides = CHIRAL.iter().flat_map(|(name, pair)| (0..2).map(move |side| (pair[side], (*name, pair, side))));
    let sides: BTreeMap<&str, _> = sides.collect();
    for (place, clip) in places(clips) {
        let Some((name, pair, side)) = sides.get(clip.template.0.as_str()) else { continue };
        let choice = Choice { texts: pair.iter().map(|text| plain(text)).collect(), right: *side, proficiency: None };
        imported.take(&place, chosen(clip, choice, (*name).to_owned()));
    }
    imported.warnings.push(
        "opening and closing are one pair here and six, by object, in CiA, whose split is not public: scores are close \
         to its own, not equal"
            .into(),
    );
}

/// Choices among the 18 templates, and the clips of the list beside `path` with their template as a caption.
pub fn temporal(path: &Path, clips: &[Ssv2Record], imported: &mut ImportedAnnotations) -> Result<()> {
    for (place, clip) in places(clips) {
        let Some(right) = TEMPORAL.iter().position(|template| *template == clip.template.0) else { continue };
        let choice = Choice { texts: TEMPORAL.map(plain).to_vec(), right, proficiency: None };
        imported.take(&place, chosen(clip, choice, plain(&clip.template.0)));
    }
    let Some(list) = imported.sibling(path, &[LIST], "the retrieval test on 216 clips is left out") else {
        return Ok(());
    };
    let mut listed = ImportedAnnotations::new(AnnotationFormat::Table, &list, imported.purpose);
    table::Table::open(&list, &Columns::default())?.each(
        &list,
        &mut listed,
        Some(&["id", "template"]),
        |listed, row| {
            let captions = vec![plain(row.get(&["template"]))];
            listed.take(&row.place, Record { media: named(row.get(&["id"]), "webm"), captions, ..Record::default() });
            Ok(())
        },
    )?;
    imported.total += listed.total;
    imported.records.append(&mut listed.records);
    listed.left_out.into_iter().for_each(|unusable| imported.note(unusable));
    Ok(())
}

fn places(clips: &[Ssv2Record]) -> impl Iterator<Item = (Place, &Ssv2Record)> {
    (1..).zip(clips).map(|(number, clip)| (Place { number, ..Place::default() }, clip))
}

fn chosen(clip: &Ssv2Record, choice: Choice, kind: String) -> Record {
    let id = Some(clip.id.0.clone());
    Record { media: clip.media(), choice: Some(choice.into()), types: vec![kind], id, ..Record::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Benchmark;
    use crate::data::import::{AnnotationOptions, ImportPurpose, import, sample};

    fn records(benchmark: Benchmark) -> ImportedAnnotations {
        let path = sample("ssv2_order/something-something-v2-validation.json");
        let purpose = ImportPurpose::Evaluate;
        import(&path, &AnnotationOptions { benchmark: Some(benchmark), purpose, ..AnnotationOptions::default() })
            .unwrap()
    }

    #[test]
    fn opposite_templates_are_chosen_between() {
        let imported = records(Benchmark::Ssv2Chiral);
        // "Approaching" is the opposite of a template that does not occur.
        assert_eq!(imported.records.len(), 10);
        let last = imported.records[8].clone();
        assert_eq!((last.media.as_str(), last.types[0].as_str()), ("708.webm", "open/close"));
        let choice = last.choice.unwrap();
        assert_eq!((choice.texts, choice.right), (vec!["Opening something".to_owned(), "Closing something".into()], 1));
        assert!(imported.warnings.iter().any(|warning| warning.contains("six, by object, in CiA")));
    }

    #[test]
    fn eighteen_templates_are_ranked_and_the_list_is_retrieved() {
        let imported = records(Benchmark::Ssv2Temporal);
        let (chosen, listed): (Vec<_>, Vec<_>) = imported.records.iter().partition(|record| record.choice.is_some());
        assert_eq!((chosen.len(), listed.len()), (4, 2));
        let choice = chosen[1].choice.as_ref().unwrap();
        assert_eq!((choice.texts.len(), choice.texts[choice.right].as_str()), (18, "Uncovering something"));
        assert_eq!(
            (listed[0].media.as_str(), listed[0].captions[0].as_str()),
            ("709.webm", "Covering something with something")
        );
    }

    #[test]
    fn templates_are_distinct() {
        let mut all: Vec<&str> = CHIRAL.iter().flat_map(|(_, pair)| *pair).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!((all.len(), TEMPORAL.is_sorted()), (22, true));
    }
}
