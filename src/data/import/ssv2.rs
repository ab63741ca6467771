//! Something-Something v2: retrieval by label (one video per text) or by template (twelve videos per text).
//!
//! Singularity scored a sample of twelve videos per template, whose ids the release does not hold: ours is drawn with
//! a seed, and every import says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Deserialize;

use super::{
    AnnotationOptions, ImportPurpose, ImportedAnnotations,
    json::{self, Text},
    named, ssv2_order,
};
use crate::{
    Result,
    data::{Benchmark, Record, Split, SplitSize, published},
    input,
};
use svitt_ops::rng::{Rng, text_key};

/// Videos per template that are scored.
const PER_TEMPLATE: usize = 12;
/// Templates of the data set.
const TEMPLATES: usize = 174;

pub fn read(path: &Path, options: &AnnotationOptions, imported: &mut ImportedAnnotations) -> Result<()> {
    let mut clips = Vec::new();
    json::each(path, |_, clip: Ssv2Record| {
        clips.push(clip);
        Ok(())
    })?;
    check_templates(path, &clips, imported)?;
    match imported.benchmark {
        Some(Benchmark::Ssv2Chiral) => {
            ssv2_order::chiral(&clips, imported);
            return Ok(());
        }
        Some(Benchmark::Ssv2Temporal) => return ssv2_order::temporal(path, &clips, imported),
        _ => {}
    }
    let by_template = imported.benchmark == Some(Benchmark::Ssv2Template);
    let sampled = options.purpose == ImportPurpose::Evaluate || (by_template && imported.split != Some(Split::Train));
    imported.expected = imported.split.and_then(|split| published(Benchmark::Ssv2Label, split));
    if options.purpose == ImportPurpose::Train || !sampled {
        imported.take_all(clips.iter().map(|clip| clip.record(by_template)));
        return Ok(());
    }
    imported.warnings.push(format!(
        "{PER_TEMPLATE} videos per template were drawn with seed {}; the ids of Singularity's own sample are not in the \
         release, so scores are comparable with published ones, not equal to them",
        options.seed
    ));
    let videos = PER_TEMPLATE * TEMPLATES;
    imported.expected = Some(SplitSize { videos, texts: if by_template { TEMPLATES } else { videos } });
    imported.take_all(sample(&clips, options.seed, by_template));
    Ok(())
}

/// Twelve clips of each template, in file order: one record each, or one record per template.
fn sample(clips: &[Ssv2Record], seed: u64, by_template: bool) -> Vec<Record> {
    let mut templates: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (position, clip) in clips.iter().enumerate() {
        templates.entry(&clip.template.0).or_default().push(position);
    }
    for (template, positions) in &mut templates {
        Rng::new(seed, &[text_key(template)]).shuffle(positions);
        positions.truncate(PER_TEMPLATE);
        positions.sort_unstable();
    }
    if !by_template {
        let drawn: BTreeSet<usize> = templates.into_values().flatten().collect();
        return drawn.into_iter().filter_map(|position| clips.get(position)).map(|clip| clip.record(false)).collect();
    }
    let record = |positions: &Vec<usize>| {
        let mut drawn = positions.iter().filter_map(|&position| clips.get(position));
        let first = drawn.next()?.record(true);
        Some(Record { also: drawn.map(Ssv2Record::media).collect(), id: None, ..first })
    };
    templates.values().filter_map(record).collect()
}

/// Compares the templates that occur with the list beside the file.
fn check_templates(path: &Path, clips: &[Ssv2Record], imported: &mut ImportedAnnotations) -> Result<()> {
    let names = ["something-something-v2-labels.json", "labels.json"];
    let Some(sibling) = imported.sibling(path, &names, "the templates could not be checked against it") else {
        return Ok(());
    };
    let known: BTreeMap<String, Text> = json::whole(&sibling)?;
    let used: BTreeSet<String> = clips.iter().map(|clip| clip.template.0.replace(['[', ']'], "")).collect();
    let unknown: Vec<_> =
        used.iter().filter(|template| !template.is_empty() && !known.contains_key(*template)).collect();
    if let Some(first) = unknown.first() {
        imported.warnings.push(format!(
            "{} templates are not in {}, such as `{}`",
            unknown.len(),
            sibling.display(),
            input::shown(first)
        ));
    }
    Ok(())
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Ssv2Record {
    pub(super) id: Text,
    #[serde(default)]
    label: Text,
    #[serde(default)]
    pub(super) template: Text,
}

impl Ssv2Record {
    pub(super) fn media(&self) -> String {
        named(&self.id.0, "webm")
    }

    fn record(&self, by_template: bool) -> Record {
        let Text(caption) = if by_template { &self.template } else { &self.label };
        // The release's test file has ids only.
        let captions = Some(caption).filter(|caption| !caption.is_empty()).cloned().into_iter().collect();
        Record { media: self.media(), captions, id: Some(self.id.0.clone()), ..Record::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::import::{import, sample};

    fn records(benchmark: Benchmark, purpose: ImportPurpose, seed: u64) -> ImportedAnnotations {
        let path = sample("ssv2/something-something-v2-validation.json");
        import(&path, &AnnotationOptions { benchmark: Some(benchmark), purpose, seed, ..AnnotationOptions::default() })
            .unwrap()
    }

    #[test]
    fn scoring_draws_twelve_videos_per_template() {
        let labels = records(Benchmark::Ssv2Label, ImportPurpose::Evaluate, 3);
        assert_eq!(labels.records.len(), 24);
        assert!(labels.records.iter().all(|record| record.also.is_empty()));
        let templates = records(Benchmark::Ssv2Template, ImportPurpose::Evaluate, 3);
        assert_eq!(templates.records.len(), 2);
        assert!(templates.records.iter().all(|record| record.also.len() == 11));
        assert_eq!(templates.records[0].captions, ["Dropping [something] behind [something]"]);
        let videos = |imported: &ImportedAnnotations| {
            imported.records.iter().flat_map(Record::videos).map(str::to_owned).collect()
        };
        let (of_labels, of_templates): (BTreeSet<String>, BTreeSet<String>) = (videos(&labels), videos(&templates));
        assert_eq!(of_labels, of_templates, "both benchmarks are scored on the same videos");
        let other: BTreeSet<String> = videos(&records(Benchmark::Ssv2Label, ImportPurpose::Evaluate, 4));
        assert_ne!(of_labels, other);
        assert!(templates.warnings.iter().any(|warning| warning.contains("seed 3")));
    }

    #[test]
    fn inspection_and_training_take_every_clip() {
        let looked = records(Benchmark::Ssv2Label, ImportPurpose::Inspect, 0);
        assert_eq!((looked.records.len(), looked.joined.len()), (28, 1));
        assert_eq!(looked.records[0].captions, ["turning a mug over"]);
        let learned = records(Benchmark::Ssv2Template, ImportPurpose::Train, 0);
        assert_eq!((learned.records.len(), learned.records[0].media.as_str()), (28, "300.webm"));
        assert_eq!(learned.records[0].captions, ["Turning [something] over"]);
    }
}
