//! MSR-VTT: the 1k-A test pairs, the 9k and 7k lists of training videos, and the release's `MSRVTT_data.json`.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use serde::Deserialize;

use super::{
    Columns, ImportPurpose, ImportedAnnotations,
    json::{self, Text},
    named,
    table::Table,
};
use crate::{
    Error, Result,
    data::{Benchmark, Record, Split, SplitSize, published},
};

/// The release's columns.
const PAIR: &[&str] = &["key", "vid_key", "video_id", "sentence"];

/// `key,vid_key,video_id,sentence`: one caption per video.
pub fn read_pairs(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    imported.expected = imported.split.and_then(|split| published(Benchmark::Msrvtt, split));
    Table::open(path, &Columns::default())?.each(path, imported, Some(PAIR), |imported, row| {
        let video = row.get(&["video_id"]);
        let id = Some(row.get(&["key"])).filter(|key| !key.is_empty()).map(str::to_owned);
        let captions = vec![row.get(&["sentence"]).to_owned()];
        imported.take(&row.place, Record { media: file(video), captions, id, ..Record::default() });
        Ok(())
    })
}

/// `video_id`: the training videos, whose captions are in the data file beside the list.
pub fn read_list(path: &Path, purpose: ImportPurpose, imported: &mut ImportedAnnotations) -> Result<()> {
    let mut videos = Vec::new();
    Table::open(path, &Columns::default())?.each(path, imported, Some(&["video_id"]), |_, row| {
        videos.push(row.get(&["video_id"]).to_owned());
        Ok(())
    })?;
    let seven = path.file_name().is_some_and(|name| name.to_string_lossy().contains("7k"));
    let expected =
        if seven { SplitSize { videos: 7_010, texts: 140_200 } } else { SplitSize { videos: 9_000, texts: 180_000 } };
    imported.expected = (imported.split == Some(Split::Train)).then_some(expected);
    let absent = "the list names videos only, their captions are in that file";
    let Some(sibling) = imported.sibling(path, &["MSRVTT_data.json"], absent) else {
        if purpose != ImportPurpose::Inspect {
            return Err(Error::file(path, "is a list of videos without captions", "put MSRVTT_data.json beside it"));
        }
        imported.take_all(videos.iter().map(|video| Record { media: file(video), ..Record::default() }));
        return Ok(());
    };
    let data: Data = json::whole(&sibling)?;
    let mut captions: HashMap<&str, Vec<&Sentence>> = HashMap::new();
    for sentence in &data.sentences {
        captions.entry(&sentence.video_id.0).or_default().push(sentence);
    }
    let bare = videos.iter().filter(|video| !captions.contains_key(video.as_str())).count();
    if bare > 0 {
        imported.warnings.push(format!(
            "{bare} of {} listed videos have no caption in {}",
            videos.len(),
            sibling.display()
        ));
    }
    imported.take_all(videos.iter().flat_map(|video| captions.remove(video.as_str()).unwrap_or_default()).map(record));
    Ok(())
}

/// The whole release: every caption of every video of the original train, validate and test splits.
pub fn read_data(path: &Path, purpose: ImportPurpose, imported: &mut ImportedAnnotations) -> Result<()> {
    if purpose == ImportPurpose::Evaluate {
        return Err(Error::file(
            path,
            "holds all of MSR-VTT, whose own test split of 2,990 videos is another benchmark than 1k-A",
            "give MSRVTT_JSFUSION_test.csv",
        ));
    }
    let data: Data = json::whole(path)?;
    let test: HashSet<&str> =
        data.videos.iter().filter(|v| v.split.0 == "test").map(|v| v.video_id.0.as_str()).collect();
    let wanted =
        |sentence: &&Sentence| purpose == ImportPurpose::Inspect || !test.contains(sentence.video_id.0.as_str());
    imported.take_all(data.sentences.iter().filter(wanted).map(record));
    if purpose == ImportPurpose::Train {
        imported.warnings.push(
            "training on the release's own train and validate splits (7,010 videos); the 1k-A protocol trains on \
             MSRVTT_train.9k.csv"
                .into(),
        );
    } else {
        imported.expected = Some(SplitSize { videos: 10_000, texts: 200_000 });
    }
    Ok(())
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    videos: Vec<Video>,
    sentences: Vec<Sentence>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Video {
    video_id: Text,
    #[serde(default)]
    split: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Sentence {
    video_id: Text,
    caption: Text,
    #[serde(default)]
    sen_id: Text,
}

fn record(sentence: &Sentence) -> Record {
    let id = Some(&sentence.sen_id.0).filter(|id| !id.is_empty()).cloned();
    Record { media: file(&sentence.video_id.0), captions: vec![sentence.caption.0.clone()], id, ..Record::default() }
}

fn file(video: &str) -> String {
    named(video, "mp4")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::import::{AnnotationOptions, import, sample};

    #[test]
    fn test_pairs_have_one_caption_per_video() {
        let imported = import(&sample("msrvtt/MSRVTT_JSFUSION_test.csv"), &AnnotationOptions::default()).unwrap();
        assert_eq!(imported.records.len(), 3);
        assert_eq!(imported.records[1].media, "video10001.mp4");
        assert_eq!(imported.records[1].captions, ["a train leaves, and another one arrives"]);
        assert_eq!(imported.expected, Some(SplitSize { videos: 1_000, texts: 1_000 }));
    }

    #[test]
    fn the_training_list_takes_its_captions_from_the_data_file() {
        let imported = import(&sample("msrvtt/MSRVTT_train.9k.csv"), &AnnotationOptions::default()).unwrap();
        assert_eq!(imported.joined.len(), 1);
        let pairs: Vec<_> = imported.records.iter().map(|r| (r.media.as_str(), r.captions[0].as_str())).collect();
        assert_eq!(pairs.len(), 4, "two captions of each of two videos");
        assert_eq!(pairs[1], ("video20000.mp4", "somebody paints a boat"));
        assert_eq!(pairs[3], ("video20001.mp4", "people sing in a park"));
    }

    #[test]
    fn the_training_list_alone_can_be_looked_at_but_not_learned_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("MSRVTT_train.7k.csv");
        std::fs::copy(sample("msrvtt/MSRVTT_train.9k.csv"), &path).unwrap();
        let looked = import(&path, &AnnotationOptions::default()).unwrap();
        assert_eq!((looked.records.len(), looked.expected), (2, Some(SplitSize { videos: 7_010, texts: 140_200 })));
        let learned =
            import(&path, &AnnotationOptions { purpose: ImportPurpose::Train, ..AnnotationOptions::default() });
        assert!(learned.unwrap_err().to_string().contains("put MSRVTT_data.json beside it"));
    }

    #[test]
    fn the_data_file_trains_on_all_but_its_test_split_and_is_never_scored() {
        let path = sample("msrvtt/MSRVTT_data.json");
        let records = |purpose| {
            import(&path, &AnnotationOptions { purpose, ..AnnotationOptions::default() }).map(|i| i.records.len())
        };
        assert_eq!((records(ImportPurpose::Inspect).unwrap(), records(ImportPurpose::Train).unwrap()), (5, 4));
        assert!(records(ImportPurpose::Evaluate).unwrap_err().to_string().contains("MSRVTT_JSFUSION_test.csv"));
    }
}
