//! MSVD and VATEX: some videos with many captions each, of which a list beside the file names those to be scored.
//!
//! MSVD is an object by video of captions, each a list of words or a text: `raw-captions.pkl` written as JSON. VATEX is
//! a list of `{videoID, enCap, chCap}`; only the English captions are read.

use std::{collections::HashSet, path::Path};

use serde::Deserialize;

use super::{
    ImportPurpose, ImportedAnnotations,
    json::{self, Text, Texts},
    named,
};
use crate::{Result, data::Record, input};

/// Bytes of a list of videos.
const LARGEST_LIST: u64 = 16 << 20;

pub fn read_msvd(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    let listed = listed(path, imported)?;
    json::each(path, |place, captions: Vec<Texts>| {
        let id = place.key.clone().unwrap_or_default();
        let captions = captions.into_iter().map(|Texts(words)| words.join(" ")).collect();
        keep(imported, &place, listed.as_ref(), (id, "avi"), captions);
        Ok(())
    })
}

pub fn read_vatex(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    let listed = listed(path, imported)?;
    json::each(path, |place, video: VatexVideo| {
        keep(imported, &place, listed.as_ref(), (video.video.0, "mp4"), video.captions.0);
        Ok(())
    })
}

fn keep(
    imported: &mut ImportedAnnotations,
    place: &json::Place,
    listed: Option<&HashSet<String>>,
    (id, extension): (String, &str),
    captions: Vec<String>,
) {
    if listed.is_none_or(|listed| listed.contains(id.trim())) {
        imported.take(place, Record { media: named(&id, extension), captions, ..Record::default() });
    }
}

/// The videos that are scored. Training takes `train_list.txt`, where it is there.
fn listed(path: &Path, imported: &mut ImportedAnnotations) -> Result<Option<HashSet<String>>> {
    let name = if imported.purpose == ImportPurpose::Train { "train_list.txt" } else { "test_list.txt" };
    let Some(sibling) = imported.sibling(path, &[name], "every video of the file is kept") else { return Ok(None) };
    let text = input::read_text(&sibling, LARGEST_LIST)?;
    let names = text.trim_start_matches('\u{feff}').lines().map(|line| line.trim().to_owned());
    Ok(Some(names.filter(|name| !name.is_empty()).collect()))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct VatexVideo {
    #[serde(rename = "videoID")]
    video: Text,
    #[serde(rename = "enCap")]
    captions: Texts,
}

#[cfg(test)]
mod tests {
    use crate::data::import::{AnnotationOptions, import, sample};

    #[test]
    fn listed_videos_keep_all_their_captions() {
        let msvd = import(&sample("msvd/raw-captions.json"), &AnnotationOptions::default()).unwrap();
        assert_eq!((msvd.records.len(), msvd.records[0].media.as_str()), (2, "-4ab_5_15.avi"));
        assert_eq!(msvd.records[0].captions, ["a lamp is lit", "someone lights a lamp"]);
        let vatex = import(&sample("vatex/vatex_validation_v1.0.json"), &AnnotationOptions::default()).unwrap();
        assert_eq!((vatex.records.len(), vatex.records[0].captions.len(), vatex.joined.len()), (1, 2, 1));
        assert_eq!(vatex.records[0].media, "-4abcdefghi_000010_000020.mp4");
    }

    #[test]
    fn without_a_list_all_videos_are_kept_and_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("raw-captions.json");
        std::fs::copy(sample("msvd/raw-captions.json"), &path).unwrap();
        let imported = import(&path, &AnnotationOptions::default()).unwrap();
        assert_eq!(imported.records.len(), 3);
        assert!(imported.warnings[0].starts_with("test_list.txt is not beside"), "{:?}", imported.warnings);
    }
}
