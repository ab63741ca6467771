//! Records and a folder of videos as a data set of clips.

use super::{
    EpochDataset, Item, ItemResult, MediaFolder, Record, Unreadable, UnreadableLimit,
    usable_videos::{UnusableVideo, VideoFile, check_video, collect_unusable, keep_usable},
};
use crate::{Error, Result, input::shown};
use burn_dataset::Dataset;
use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use svitt_ops::rng::{Rng, text_key};
use svitt_video::{ClipRequest, FrameSampling, ReaderOptions, Transform, ffmpeg_available, read_clip};

/// How clips are made of videos.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipSettings {
    /// Frames of a clip.
    pub frames: usize,
    /// Random frames, crops, flips and captions, and unusable files left out; else middle frames, the whole picture,
    /// the first caption, and unusable files kept as errors.
    pub training: bool,
    /// Crop, resize, flip and normalisation.
    pub transform: Transform,
    /// Several videos answer to one caption (SSv2 templates): the caption is the identity, not the video.
    pub identity_by_caption: bool,
    /// Evaluation takes frames symmetrically in time, so that those of a reversed video are the same ones backwards.
    pub symmetric: bool,
    /// Seed of all draws.
    pub seed: u64,
    /// Missing files that are accepted in training.
    pub limit: UnreadableLimit,
    /// How videos are read.
    pub reader: ReaderOptions,
}

impl ClipSettings {
    /// Training clips of `frames` frames of `size` × `size` pixels; mirrored half the time unless `flip` says no.
    pub fn train(frames: usize, size: usize, flip: bool, seed: u64) -> Self {
        let mut transform = Transform::new(size);
        transform.flip = if flip { 0.5 } else { 0.0 };
        Self { training: true, transform, seed, ..Self::evaluate(frames, size) }
    }

    /// Evaluation clips of `frames` frames of `size` × `size` pixels.
    pub fn evaluate(frames: usize, size: usize) -> Self {
        Self {
            frames,
            training: false,
            transform: Transform::new(size),
            identity_by_caption: false,
            symmetric: false,
            seed: 0,
            limit: UnreadableLimit::default(),
            reader: ReaderOptions::default(),
        }
    }
}

/// Clips of real videos.
#[derive(Clone, Debug)]
pub struct VideoDataset {
    records: Vec<Record>,
    folder: Arc<MediaFolder>,
    settings: ClipSettings,
    left_out: Vec<Unreadable>,
    /// Warnings of damaged files that were logged, so that each is logged once.
    warned: Arc<Mutex<BTreeSet<String>>>,
}

impl VideoDataset {
    /// The clips of `records`, whose videos lie below `media`.
    ///
    /// In training, records without any usable video are left out now: the file is missing, or only the `ffmpeg`
    /// program reads it and there is none; [`EpochDataset::left_out`] lists them.
    ///
    /// # Errors
    /// A folder that cannot be read, a video name that means several files, nothing usable, or more missing files
    /// than the limit.
    pub fn new(records: Vec<Record>, media: &Path, settings: ClipSettings) -> Result<Self> {
        let folder = Arc::new(MediaFolder::open(media)?);
        let mut dataset = Self { records, folder, settings, left_out: Vec::new(), warned: Arc::default() };
        if dataset.settings.training {
            dataset.leave_out(media)?;
        }
        Ok(dataset)
    }

    /// Lists `unreadable`, which the reader of the manifest left out, before what was found here.
    #[must_use]
    pub fn with_left_out(mut self, mut unreadable: Vec<Unreadable>) -> Self {
        unreadable.append(&mut self.left_out);
        self.left_out = unreadable;
        self
    }

    /// Record `index`.
    pub fn record(&self, index: usize) -> Option<&Record> {
        self.records.get(index)
    }

    /// All records, in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Merges up to `each` records of the same clip into one item (the first); the others are returned per item.
    pub fn group(&mut self, each: usize) -> Vec<Vec<Record>> {
        let mut others: Vec<Vec<Record>> = Vec::new();
        let mut open: HashMap<u64, usize> = HashMap::new();
        for record in std::mem::take(&mut self.records) {
            let place = open.entry(identity(&record.media, &record)).or_insert(usize::MAX);
            match others.get_mut(*place) {
                Some(group) if group.len() + 1 < each => group.push(record),
                _ => {
                    *place = others.len();
                    others.push(Vec::new());
                    self.records.push(record);
                }
            }
        }
        others
    }

    fn leave_out(&mut self, media: &Path) -> Result<()> {
        let (asked, ffmpeg) = (self.records.len(), ffmpeg_available());
        let mut faults: HashMap<String, Option<UnusableVideo>> = HashMap::new();
        for video in self.records.iter().flat_map(Record::videos) {
            if !faults.contains_key(video) {
                faults.insert(video.to_owned(), check_video(&self.folder, video, ffmpeg)?);
            }
        }
        let usable = |video: &str| faults.get(video).is_none_or(Option::is_none);
        self.records.iter_mut().for_each(|record| keep_usable(record, &usable));
        self.records.retain(|record| usable(&record.media));
        let (missing, left_out) = collect_unusable(faults);
        self.left_out = left_out;
        let allowed = self.settings.limit.allowed(asked);
        match self.left_out.first() {
            Some(first) if self.records.is_empty() || missing > allowed => {
                let count = self.left_out.len();
                let problem = format!(
                    "{count} videos of {asked} records cannot be used, such as `{}`: {}",
                    shown(&first.media),
                    first.reason
                );
                Err(Error::file(media, problem, "check option `media` and the names in the annotations"))
            }
            _ => Ok(()),
        }
    }

    /// One of the record's videos and captions; drawn in training, the first in evaluation.
    fn choose<'a>(&self, record: &'a Record, epoch: u64, index: usize) -> (&'a str, &'a str) {
        let mut rng = self.rng("text", epoch, index);
        let mut pick = |count: usize| if self.settings.training && count > 1 { rng.below(count) } else { 0 };
        let video = record.videos().nth(pick(1 + record.also.len())).unwrap_or(&record.media);
        let texts =
            record.captions.iter().chain(record.captions.is_empty().then_some(&record.question).into_iter().flatten());
        let caption = texts.map(String::as_str).nth(pick(record.captions.len())).unwrap_or_default();
        (video, caption)
    }

    fn rng(&self, purpose: &str, epoch: u64, index: usize) -> Rng {
        Rng::new(self.settings.seed, &[text_key(purpose), epoch, index as u64])
    }

    fn warn_once(&self, warning: &str) {
        if self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(warning.to_owned()) {
            log::warn!("{warning}");
        }
    }

    fn read(&self, video: &str, record: &Record, epoch: u64, index: usize) -> Result<Vec<f32>> {
        let frames = self.settings.frames;
        let first = [record.start, record.end];
        let Some(second) = record.then.as_deref().map(|then| then.map(Some)) else {
            let pixels = self.read_part(video, (first, frames), epoch, index)?;
            return Ok(if record.reversed { backwards(&pixels, frames) } else { pixels });
        };
        // One frame has to come from somewhere: the longer half is the first part's.
        let [before, after] = [frames - frames / 2, frames / 2];
        let mut pixels = self.read_part(video, (first, before), epoch, index)?;
        if after > 0 {
            pixels.extend(self.read_part(video, (second, after), epoch, index)?);
        }
        Ok(if record.reversed { backwards(&pixels, frames) } else { pixels })
    }

    /// `frames` frames of a part of `video`, from a start to an end in seconds.
    fn read_part(
        &self,
        video: &str,
        ([start, end], frames): ([Option<f64>; 2], usize),
        epoch: u64,
        index: usize,
    ) -> Result<Vec<f32>> {
        let ClipSettings { training, symmetric, transform, reader, .. } = &self.settings;
        let sampling = match (training, symmetric) {
            (true, _) => FrameSampling::Rand,
            (false, true) => FrameSampling::Symmetric,
            (false, false) => FrameSampling::Middle,
        };
        let request = ClipRequest { start, end, ..ClipRequest::new(frames, sampling) };
        let file = VideoFile::find(&self.folder, video)?;
        let read = read_clip(file.path(), &request, self.rng("frames", epoch, index).into_uniform(), reader);
        let clip = read.map_err(|error| if file.is_copy() { error.of(Path::new(video)) } else { error })?;
        clip.reader.warnings().iter().for_each(|warning| self.warn_once(warning));
        let view = match training {
            true => transform.draw(&clip.frames, &mut self.rng("view", epoch, index).into_uniform()),
            false => transform.whole(&clip.frames),
        };
        Ok(transform.apply(&clip.frames, &view))
    }
}

impl Dataset<ItemResult> for VideoDataset {
    fn get(&self, index: usize) -> Option<ItemResult> {
        (index < self.records.len()).then(|| self.draw(0, index))
    }

    fn len(&self) -> usize {
        self.records.len()
    }
}

impl EpochDataset for VideoDataset {
    fn draw(&self, epoch: u64, index: usize) -> ItemResult {
        let Some(record) = self.records.get(index) else {
            let problem = format!("there is no record {index} among {}", self.records.len());
            return Err(Arc::new(Error::Training { problem, remedy: "check the annotations".into() }));
        };
        let (video, caption) = self.choose(record, epoch, index);
        let frames = self.read(video, record, epoch, index).map_err(Arc::new)?;
        let identity = match self.settings.identity_by_caption {
            true => text_key(caption),
            false => identity(video, record),
        };
        Ok(Item { frames, caption: caption.to_owned(), identity, index, media: video.to_owned() })
    }

    fn media(&self, index: usize) -> String {
        self.records.get(index).map_or_else(|| format!("record {index}"), Record::clip_name)
    }

    fn left_out(&self) -> &[Unreadable] {
        &self.left_out
    }
}

/// `pixels` `[frames, …]` with the last frame first.
fn backwards(pixels: &[f32], frames: usize) -> Vec<f32> {
    pixels.chunks_exact((pixels.len() / frames.max(1)).max(1)).rev().flatten().copied().collect()
}

/// The key of a clip: its path below the media folder, and its span where it is a part of the file. The file name
/// alone would make positives of different videos in different folders.
fn identity(video: &str, record: &Record) -> u64 {
    match (record.start, record.end) {
        (None, None) if record.then.is_none() && !record.reversed => text_key(video),
        (start, end) if record.then.is_none() && !record.reversed => text_key(&format!("{video}\n{start:?}\n{end:?}")),
        _ => text_key(&record.clip_of(video).clip_name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(media: &str, captions: &[&str]) -> Record {
        let captions = captions.iter().map(|caption| (*caption).to_owned()).collect();
        Record { media: media.into(), captions, ..Record::default() }
    }

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "no video at all").unwrap();
        }
        dir
    }

    #[test]
    fn missing_files_are_left_out_in_training_and_reported_in_evaluation() {
        let dir = folder(&["a b.mp4", "c'\".mp4", "-d.mp4"]);
        let records = ["a b.mp4", "gone.mp4", "c'\".mp4", "-d.mp4"].map(|name| record(name, &["x"])).to_vec();
        let training = VideoDataset::new(records.clone(), dir.path(), ClipSettings::train(3, 8, true, 0)).unwrap();
        assert_eq!((training.len(), training.left_out()[0].media.as_str()), (3, "gone.mp4"));
        assert_eq!(training.media(1), "c'\".mp4");
        let scoring = VideoDataset::new(records, dir.path(), ClipSettings::evaluate(3, 8)).unwrap();
        assert_eq!((scoring.len(), scoring.left_out().len()), (4, 0));
        let message = scoring.get(1).unwrap().unwrap_err().to_string();
        assert!(message.contains("gone.mp4: there is no such file"), "{message}");
        assert!(scoring.get(4).is_none());
    }

    #[test]
    fn parts_of_one_video_fail_under_names_of_their_own() {
        let dir = folder(&["a.mp4"]);
        let spans = [(None, None), (Some(100.0), Some(101.5)), (Some(0.25), None), (None, Some(7.0))];
        let part = |(start, end)| Record { start, end, ..record("a.mp4", &["x"]) };
        let records: Vec<Record> = spans.into_iter().map(part).collect();
        let data = VideoDataset::new(records, dir.path(), ClipSettings::train(3, 8, true, 0)).unwrap();
        let names: Vec<String> = (0..4).map(|index| data.media(index)).collect();
        assert_eq!(names, ["a.mp4", "a.mp4#t=100,101.5", "a.mp4#t=0.25", "a.mp4#t=0,7"]);
    }

    #[test]
    fn a_wrong_media_folder_is_an_error() {
        let dir = folder(&["a.mp4"]);
        let settings = || ClipSettings::train(3, 8, true, 0);
        let all = [record("x.mp4", &["x"]), record("y.mp4", &["y"])].to_vec();
        let message = VideoDataset::new(all, dir.path(), settings()).unwrap_err().to_string();
        assert!(message.contains("2 videos of 2 records") && message.contains("`x.mp4`"), "{message}");
        let most: Vec<Record> =
            (0..9).map(|i| record(&format!("{i}.mp4"), &["x"])).chain([record("a.mp4", &["a"])]).collect();
        assert!(VideoDataset::new(most, dir.path(), settings()).is_err(), "9 of 10 missing is past the limit of 5");
        let none = VideoDataset::new(vec![record("a.mp4", &["a"])], &dir.path().join("no"), settings());
        assert!(none.is_err());
    }

    #[test]
    fn draws_depend_on_epoch_and_index_and_cover_all_choices() {
        let dir = folder(&["a.webm", "b.webm", "c.webm"]);
        let mut many = record("a.webm", &["one", "two", "three"]);
        many.also = vec!["b.webm".into(), "c.webm".into(), "gone.webm".into()];
        let records = vec![many.clone(); 2];
        let data = VideoDataset::new(records.clone(), dir.path(), ClipSettings::train(3, 8, false, 5)).unwrap();
        let kept = data.record(0).unwrap();
        assert_eq!(kept.also, ["b.webm", "c.webm"], "one of four videos is missing");
        let drawn: Vec<_> = (0..200).map(|epoch| data.choose(kept, epoch, 0)).collect();
        assert_eq!(drawn, (0..200).map(|epoch| data.choose(kept, epoch, 0)).collect::<Vec<_>>());
        let distinct: std::collections::BTreeSet<_> = drawn.iter().collect();
        assert_eq!(distinct.len(), 9, "3 videos × 3 captions");
        assert_ne!(drawn, (0..200).map(|epoch| data.choose(kept, epoch, 1)).collect::<Vec<_>>());
        let scoring = VideoDataset::new(records, dir.path(), ClipSettings::evaluate(3, 8)).unwrap();
        assert_eq!(scoring.choose(&many, 9, 1), ("a.webm", "one"));
    }

    #[test]
    fn records_of_one_clip_become_one_item() {
        let dir = folder(&["a.mp4", "b.mp4"]);
        let ask = |media: &str, start, id: &str| Record { start, id: Some(id.into()), ..record(media, &["x"]) };
        let asked = [
            ask("a.mp4", None, "0"),
            ask("b.mp4", None, "1"),
            ask("a.mp4", Some(1.0), "2"),
            ask("a.mp4", None, "3"),
            ask("a.mp4", None, "4"),
        ];
        let mut data = VideoDataset::new(asked.to_vec(), dir.path(), ClipSettings::train(3, 8, false, 5)).unwrap();
        let others = data.group(2);
        let ids = |records: &[Record]| records.iter().map(|r| r.id.clone().unwrap()).collect::<String>();
        assert_eq!(ids(data.records()), "0124");
        assert_eq!(others.iter().map(|group| ids(group)).collect::<Vec<_>>(), ["3", "", "", ""]);
        assert!(data.group(1).iter().all(Vec::is_empty) && data.len() == 4, "one each changes nothing");
    }

    #[test]
    fn identity_is_path_and_span() {
        let span = |media: &str, start| Record { start, ..record(media, &["x"]) };
        let of = |record: &Record| identity(&record.media, record);
        assert_eq!(of(&span("x/a.mp4", None)), of(&span("x/a.mp4", None)));
        assert_ne!(of(&span("x/a.mp4", None)), of(&span("y/a.mp4", None)));
        assert_ne!(of(&span("x/a.mp4", Some(1.0))), of(&span("x/a.mp4", Some(2.0))));
    }

    #[test]
    fn a_question_stands_in_for_a_caption() {
        let dir = folder(&["a.mp4"]);
        let mut asked = record("a.mp4", &[]);
        asked.question = Some("what?".into());
        let data = VideoDataset::new(vec![asked.clone()], dir.path(), ClipSettings::evaluate(3, 8)).unwrap();
        assert_eq!(data.choose(&asked, 0, 0).1, "what?");
    }
}
