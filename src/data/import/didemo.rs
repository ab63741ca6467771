//! DiDeMo: sentences are grouped by video in file order and joined into a paragraph; only videos of the split list
//! beside the file are kept; of every video the first 30 s are used, as its annotators saw it.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use serde::Deserialize;

use super::{
    ImportedAnnotations,
    json::{self, Text},
};
use crate::{
    Error, Result,
    data::{Benchmark, Record, Split, published},
    input,
};

/// Bytes of a list of video names: the largest has 0.3 MB.
const LARGEST_LIST: u64 = 16 << 20;

/// Seconds of each video that were annotated: six segments of five seconds.
const SECONDS: f64 = 30.0;

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    let listed = listed(path, imported)?;
    let mut positions: HashMap<String, usize> = HashMap::new();
    let mut records: Vec<Record> = Vec::new();
    json::each(path, |place, sentence: Sentence| {
        let Text(video) = sentence.video;
        if video.trim().is_empty() || sentence.description.0.trim().is_empty() {
            let problem = "its video or its description is missing or empty";
            imported.leave_out(&place, Some(&video), problem);
            return Ok(());
        }
        if listed.as_ref().is_some_and(|listed| !listed.contains(&video)) {
            return Ok(());
        }
        let position = *positions.entry(video.clone()).or_insert_with(|| {
            records.push(Record { media: video, end: Some(SECONDS), ..Record::default() });
            records.len() - 1
        });
        records[position].captions.push(sentence.description.0.trim().to_owned());
        Ok(())
    })?;
    let described = records.len();
    imported.take_all(records.into_iter().map(|record| {
        let sentences = record.captions.iter().filter(|sentence| !sentence.is_empty()).cloned();
        Record { captions: vec![sentences.collect::<Vec<_>>().join(" ")], ..record }
    }));
    if let Some(listed) = listed.filter(|listed| listed.len() != described) {
        let listed = listed.len();
        imported
            .warnings
            .push(format!("{described} of the {listed} videos of the split list are described in this file"));
    }
    Ok(())
}

/// The videos that are scored, by the collaborative-experts list of the same split.
fn listed(path: &Path, imported: &mut ImportedAnnotations) -> Result<Option<HashSet<String>>> {
    let Some(split) = imported.split else {
        imported.warnings.push("the file's name has neither train, val nor test in it: all videos are kept".into());
        return Ok(None);
    };
    imported.expected = published(Benchmark::Didemo, split);
    let absent = match split {
        Split::Test => "all 1,037 videos are kept, while published scores are on 1,004",
        _ => "all videos are kept, while published scores use those of that list",
    };
    let name = format!("ce_{}_list.txt", split.name());
    let Some(sibling) = imported.sibling(path, &[&name], absent) else { return Ok(None) };
    let names = String::from_utf8(input::read(&sibling, LARGEST_LIST)?)
        .map_err(|_| Error::file(&sibling, "is not a text file", "obtain the list of video names again"))?;
    Ok(Some(
        names
            .trim_start_matches('\u{feff}')
            .lines()
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
    ))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Sentence {
    video: Text,
    description: Text,
}

#[cfg(test)]
mod tests {
    use crate::data::import::{AnnotationOptions, import, sample};

    #[test]
    fn listed_videos_get_one_paragraph_in_file_order() {
        let imported = import(&sample("didemo/test_data.json"), &AnnotationOptions::default()).unwrap();
        assert_eq!(imported.records.len(), 2);
        let [kite, cat] = &imported.records[..] else { panic!("two records") };
        assert_eq!(kite.media, "11@N01_101_aa.mov");
        assert_eq!(kite.captions, ["a kite rises. the kite falls into a tree."]);
        assert_eq!((kite.start, kite.end), (None, Some(30.0)));
        assert_eq!(
            (cat.media.as_str(), cat.captions[0].as_str()),
            ("22@N02_202_bb.", "the cat wakes up. it stretches.")
        );
    }

    #[test]
    fn without_the_list_every_video_is_kept_and_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test_data.json");
        std::fs::copy(sample("didemo/test_data.json"), &path).unwrap();
        let imported = import(&path, &AnnotationOptions::default()).unwrap();
        assert_eq!(imported.records.len(), 3);
        assert!(imported.warnings[0].starts_with("ce_test_list.txt is not beside"), "{:?}", imported.warnings);
    }
}
