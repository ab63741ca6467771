//! MSVD and VATEX: some videos with many captions each, of which a list beside the file names those to be scored.
//!
//! MSVD is an object by video of captions, each a list of words or a text: `raw-captions.pkl` written as JSON. VATEX is
//! a list of `{videoID, enCap, chCap}`; only the English captions are read.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    ImportPurpose, ImportedAnnotations,
    json::{self, Text, Texts},
    named,
};
use crate::{
    Error, Result,
    data::{Record, Split},
    input,
};

/// Bytes of a list of videos.
const LARGEST_LIST: u64 = 16 << 20;

pub fn read_msvd(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    let mut listed = listed(path, imported)?;
    json::each(path, |place, captions: Vec<Texts>| {
        let id = place.key.clone().unwrap_or_default();
        let captions = captions.into_iter().map(|Texts(words)| words.join(" ")).collect();
        keep(imported, &place, listed.as_mut(), (id, "avi"), captions);
        Ok(())
    })?;
    listed.map_or(Ok(()), |listed| listed.check(path, imported))
}

pub fn read_vatex(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    let mut listed = listed(path, imported)?;
    json::each(path, |place, video: VatexVideo| {
        keep(imported, &place, listed.as_mut(), (video.video.0, "mp4"), video.captions.0);
        Ok(())
    })?;
    listed.map_or(Ok(()), |listed| listed.check(path, imported))
}

fn keep(
    imported: &mut ImportedAnnotations,
    place: &json::Place,
    listed: Option<&mut VideoList>,
    (id, extension): (String, &str),
    captions: Vec<String>,
) {
    if listed.is_none_or(|listed| listed.takes(id.trim())) {
        imported.take(place, Record { media: named(&id, extension), captions, ..Record::default() });
    }
}

/// The videos that are scored: `test_list.txt`; where the file is for training, those of `train_list.txt`.
fn listed(path: &Path, imported: &mut ImportedAnnotations) -> Result<Option<VideoList>> {
    let training = imported.purpose == ImportPurpose::Train || imported.split == Some(Split::Train);
    let (name, split) = if training { ("train_list.txt", Split::Train) } else { ("test_list.txt", Split::Test) };
    let Some(sibling) = imported.sibling(path, &[name], "every video of the file is kept") else { return Ok(None) };
    imported.split = Some(split);
    let text = input::read_text(&sibling, LARGEST_LIST)?;
    let names = text.trim_start_matches('\u{feff}').lines().map(|line| line.trim().to_owned());
    let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err(Error::file(&sibling, "names no videos", "obtain it again, or remove it to keep every video"));
    }
    let all: HashSet<String> = names.iter().cloned().collect();
    Ok(Some(VideoList { path: sibling, names, left: all.clone(), all }))
}

/// Names of videos, a line each.
struct VideoList {
    path: PathBuf,
    names: Vec<String>,
    all: HashSet<String>,
    /// Those that were not met yet.
    left: HashSet<String>,
}

impl VideoList {
    /// Whether it has `name`, which was met now.
    fn takes(&mut self, name: &str) -> bool {
        self.left.remove(name);
        self.all.contains(name)
    }

    /// Says which names the annotations at `path` do not have.
    ///
    /// # Errors
    /// They have none of them.
    fn check(&self, path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
        let Some(first) = self.names.iter().find(|name| self.left.contains(*name)) else { return Ok(()) };
        let (first, file) = (input::shown(first), path.display());
        let (left, all) = (self.left.len(), self.all.len());
        if left == all {
            let problem = format!("names none of the videos of {file}; its first name is {first}");
            let remedy = "give the list of these annotations, or remove it to keep every video";
            return Err(Error::file(&self.path, problem, remedy));
        }
        let list = self.path.display();
        imported.warnings.push(format!("{left} of the {all} videos of {list} are not in {file}, first {first}"));
        Ok(())
    }
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
    fn a_list_that_names_no_video_of_the_file_is_named_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vatex_validation_v1.0.json");
        std::fs::copy(sample("vatex/vatex_validation_v1.0.json"), &path).unwrap();
        let id = "-4abcdefghi_000010_000020";
        let read = |list: &str| {
            std::fs::write(folder.path().join("test_list.txt"), list).unwrap();
            import(&path, &AnnotationOptions::default())
        };
        for (list, problem) in [("\n \n", "names no videos"), ("foreign\n", "names none of the videos")] {
            let message = read(list).unwrap_err().to_string();
            assert!(message.contains("test_list.txt") && message.contains(problem), "{message}");
        }
        let imported = read(&format!("{id}\nforeign\n")).unwrap();
        assert_eq!((imported.records.len(), imported.split), (1, Some(crate::data::Split::Test)));
        assert!(imported.warnings.iter().any(|warning| warning.starts_with("1 of the 2 videos of")));
    }

    #[test]
    fn without_a_list_all_videos_are_kept_and_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("raw-captions.json");
        std::fs::copy(sample("msvd/raw-captions.json"), &path).unwrap();
        let imported = import(&path, &AnnotationOptions::default()).unwrap();
        assert_eq!((imported.records.len(), imported.split), (3, None));
        assert!(imported.warnings[0].starts_with("test_list.txt is not beside"), "{:?}", imported.warnings);
    }
}
