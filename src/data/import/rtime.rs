//! RTime: an object by clip id of `forward_captions` and `reverse_captions`, one of each; the reversed video is the
//! same frames backwards. The rewritten captions are for training alone, says the release, and are not read.

use std::path::Path;

use serde::Deserialize;

use super::{
    ImportedAnnotations,
    json::{self, Texts},
    named,
};
use crate::{
    Result,
    data::{Benchmark, Choice, Record, published},
};

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    imported.expected = imported.split.and_then(|split| published(Benchmark::Rtime, split));
    let mut equal = Vec::new();
    json::each(path, |place, clip: Clip| {
        let id = place.key.clone().unwrap_or_default();
        let [forward, reverse] = [&clip.forward_captions, &clip.reverse_captions].map(first);
        if !forward.is_empty() && forward == reverse {
            equal.push(id.clone());
        }
        let record = Record {
            media: named(&id, "mp4"),
            choice: Some(Choice::pair(forward, reverse).into()),
            id: Some(id).filter(|id| !id.is_empty()),
            ..Record::default()
        };
        imported.take(&place, record);
        Ok(())
    })?;
    if let Some(first) = equal.first() {
        let count = equal.len();
        imported.warnings.push(format!(
            "{count} clips have the same caption forwards and backwards, such as {first}: they stay, and count as ties \
             where a clip is asked for its caption"
        ));
    }
    Ok(())
}

/// The first caption: some have line ends and outer blanks, and an annotator left a note without a Latin letter in a
/// line of its own.
fn first(Texts(texts): &Texts) -> String {
    let lines = texts.first().map(String::as_str).unwrap_or_default().lines();
    let said = lines.filter(|line| line.contains(|c: char| c.is_ascii_alphabetic()));
    said.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Clip {
    forward_captions: Texts,
    reverse_captions: Texts,
}

#[cfg(test)]
mod tests {
    use crate::data::import::{AnnotationOptions, import, sample};

    #[test]
    fn captions_are_trimmed_and_equal_ones_stay() {
        let imported = import(&sample("rtime/test.json"), &AnnotationOptions::default()).unwrap();
        let texts: Vec<_> = imported.records.iter().map(|record| record.choice.clone().unwrap().texts).collect();
        assert_eq!(texts.len(), 4);
        assert_eq!(texts[0], ["The lamp goes from dark to bright.", "The lamp goes from bright to dark."]);
        assert_eq!(texts[1][0], "A tray of buns goes from dark to bright", "the note in another script is left out");
        assert_eq!(texts[2][1], "A door opens, the hall turns from bright to dark.", "a line end within a sentence");
        assert_eq!(texts[3][0], texts[3][1]);
        let first = &imported.records[0];
        assert_eq!((first.media.as_str(), first.id.as_deref(), first.reversed), ("31001.mp4", Some("31001"), false));
        assert!(
            imported.warnings.iter().any(|w| w.starts_with("1 clips have the same caption") && w.contains("31004"))
        );
    }
}
