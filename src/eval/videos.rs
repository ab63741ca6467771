//! The videos of a benchmark, by number: files on disk, or clips rendered in process.

use crate::data::{ClipSettings, EpochDataset, MediaFolder, MediaMatch, Record, VideoDataset};
use crate::{Error, Result};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Videos that several threads may read at once.
pub trait VideoSet: Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What video `index` is called in reports.
    fn name(&self, index: usize) -> String;

    /// A cache key that changes with the content of video `index`; none for a video that is not worth caching.
    fn stamp(&self, _index: usize) -> Option<String> {
        None
    }

    /// The frames of video `index`, normalised, `[frames, 3, size, size]`.
    ///
    /// # Errors
    /// The video is missing or cannot be read.
    fn pixels(&self, index: usize) -> Result<Vec<f32>>;

    /// Which of the `frames` frames of video `index` a frozen clip repeats.
    fn still(&self, _index: usize, _frames: usize) -> usize {
        0
    }
}

/// Video files.
pub struct FileVideos {
    dataset: VideoDataset,
    folder: MediaFolder,
    symmetric: bool,
}

impl FileVideos {
    /// The videos of `records` (one each, with its span) below `media`, `frames` middle frames of `size` × `size`
    /// pixels per video.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn new(records: Vec<Record>, media: &Path, frames: usize, size: usize) -> Result<Self> {
        let dataset = VideoDataset::new(records, media, ClipSettings::evaluate(frames, size))?;
        Ok(Self { dataset, folder: MediaFolder::open(media)?, symmetric: false })
    }

    /// The same with frames chosen symmetrically in time: those of a reversed video are the same ones backwards.
    ///
    /// # Errors
    /// As [`FileVideos::new`].
    pub fn symmetric(records: Vec<Record>, media: &Path, frames: usize, size: usize) -> Result<Self> {
        let settings = ClipSettings { symmetric: true, ..ClipSettings::evaluate(frames, size) };
        let dataset = VideoDataset::new(records, media, settings)?;
        Ok(Self { dataset, folder: MediaFolder::open(media)?, symmetric: true })
    }

    /// Names of videos that are not on disk.
    ///
    /// # Errors
    /// A video has several files of its name in different folders.
    pub fn missing(&self) -> Result<Vec<&str>> {
        self.folder.missing(self.dataset.records())
    }
}

impl VideoSet for FileVideos {
    fn len(&self) -> usize {
        self.dataset.records().len()
    }

    fn name(&self, index: usize) -> String {
        self.dataset.record(index).map(|record| record.media.clone()).unwrap_or_default()
    }

    /// Path, spans, direction, size and time of the last change.
    fn stamp(&self, index: usize) -> Option<String> {
        let record = self.dataset.record(index)?;
        let path = match self.folder.find(&record.media) {
            MediaMatch::File(path) => path,
            MediaMatch::ShardMember(member) => member.shard,
            MediaMatch::Missing | MediaMatch::Ambiguous(_) => return None,
        };
        let facts = std::fs::metadata(&path).ok()?;
        let changed = facts.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        let path = std::path::absolute(&path).unwrap_or(path);
        let span = (record.start, record.end);
        let stamp = format!("{}\n{}\n{span:?}\n{}\n{changed}", path.display(), record.media, facts.len());
        // What was kept before there were such clips stays valid.
        let plain = record.then.is_none() && !record.reversed;
        Some(if plain { stamp } else { format!("{stamp}\n{:?}\n{}", record.then, record.reversed) })
    }

    fn pixels(&self, index: usize) -> Result<Vec<f32>> {
        self.dataset.draw(0, index).map(|item| item.frames).map_err(|error| {
            let message = error.to_string();
            Arc::into_inner(error).unwrap_or_else(|| Error::file(self.name(index), message, "obtain it again"))
        })
    }

    /// Of frames chosen symmetrically the middle one, of an even number the earlier of the two as the video was filmed:
    /// a clip and its reversal freeze at the same frame. Otherwise the first.
    fn still(&self, index: usize, frames: usize) -> usize {
        let middle = frames.saturating_sub(1) / 2;
        let reversed = self.dataset.record(index).is_some_and(|record| record.reversed);
        match (self.symmetric, reversed) {
            (false, _) => 0,
            (true, false) => middle,
            (true, true) => frames.saturating_sub(1) - middle,
        }
    }
}

/// Clips that are rendered when they are asked for.
pub struct RenderedVideos {
    /// How many there are.
    pub count: usize,
    /// What each is called: this and its number.
    pub prefix: &'static str,
    /// The normalised frames of clip `index`, `[frames, 3, size, size]`.
    pub render: Box<dyn Fn(usize) -> Vec<f32> + Send + Sync>,
}

impl VideoSet for RenderedVideos {
    fn len(&self) -> usize {
        self.count
    }

    fn name(&self, index: usize) -> String {
        format!("{}/{index}", self.prefix)
    }

    fn pixels(&self, index: usize) -> Result<Vec<f32>> {
        Ok((self.render)(index))
    }
}
