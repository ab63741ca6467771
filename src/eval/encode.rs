//! Encodes videos; frames are decoded on separate threads while the model runs.

use super::decode_threads::{ResultSender, on_threads};
use super::frame_order::reorder_frames;
use super::{ClipSampling, EncodedClips, FrameOrder, VideoSet};
use crate::data::Unreadable;
use crate::progress::ProgressSink;
use crate::shard::Shard;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// Which frames of a video make which clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipPlan {
    /// T: frames per clip.
    pub frames: usize,
    /// K: clips per video.
    pub clips: usize,
    /// How the T · K frames are assigned to clips.
    pub sampling: ClipSampling,
    /// The probe, if any; applied to all T · K frames before they are dealt out.
    pub order: FrameOrder,
}

impl ClipPlan {
    /// T_test: frames read of a video.
    pub fn test_frames(&self) -> usize {
        self.frames * self.clips
    }

    /// Clips `[clips, frames, …]` of video number `video` of `videos`.
    ///
    /// # Errors
    /// The video cannot be read.
    pub fn read(&self, videos: &dyn VideoSet, video: usize) -> Result<Vec<f32>> {
        let still = videos.still(video, self.test_frames());
        videos.pixels(video).map(|pixels| self.cut(&pixels, video, still))
    }

    /// The same from its `pixels` `[clips · frames, …]`; `still` is the frame that a frozen clip repeats.
    fn cut(&self, pixels: &[f32], video: usize, still: usize) -> Vec<f32> {
        let order = self.order.indices(self.test_frames(), video, still);
        let places = self.sampling.clips(self.test_frames(), self.clips).concat();
        reorder_frames(pixels, self.test_frames(), places.into_iter().map(|place| order[place]))
    }
}

/// How encoding runs; none of it changes a score.
#[derive(Clone, Debug)]
pub struct EncodeOptions {
    /// Go on without videos that cannot be read.
    pub allow_missing: bool,
    /// Videos per forward.
    pub batch: usize,
    /// Decoding threads.
    pub threads: usize,
    /// Only the videos of this job, where several share them out; the others stay as they are.
    pub shard: Option<Shard>,
    /// Who is told how far it is.
    pub progress: ProgressSink,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Self { allow_missing: false, batch: 4, threads, shard: None, progress: ProgressSink::default() }
    }
}

/// Statistics of the encoded videos.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncodeStats {
    /// Files that could not be read, each once, with the reason.
    pub missing: Vec<Unreadable>,
    /// Videos encoded now.
    pub encoded: usize,
    /// Videos whose features were loaded from the cache.
    pub from_cache: usize,
    /// Seconds from the first video to the last.
    pub seconds: f64,
    /// Seconds of these that the model waited for frames.
    pub wait_seconds: f64,
}

/// Unreadable files that are named on the console; a report has all of them.
const NAMED: usize = 10;

impl EncodeStats {
    /// Whether there was something to look at.
    pub fn has_any(&self) -> bool {
        self.encoded + self.from_cache > 0
    }

    /// Logs the files that could not be read: the first of them a line each, and how many more there are.
    pub fn warn_missing(&self) {
        missing_lines(&self.missing).iter().for_each(|line| log::warn!("{line}"));
    }
}

fn missing_lines(missing: &[Unreadable]) -> Vec<String> {
    let named = missing.iter().take(NAMED);
    let more = missing.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| format!("and {more} more files that could not be read"));
    named.map(|Unreadable { media, reason }| format!("{media}: {reason}; counted as a miss")).chain(more).collect()
}

/// Where encoded videos are kept, and taken from where an earlier run kept them.
pub trait EncodedStore {
    /// Loads `video` as it was encoded under `stamp` by an earlier run; returns whether it was.
    fn load_cached(&mut self, video: usize, stamp: &str) -> bool;

    /// Keeps `encoded` as `video`, for later runs too where the video has a `stamp`.
    ///
    /// # Errors
    /// It cannot be written.
    fn keep(&mut self, video: usize, stamp: Option<&str>, encoded: EncodedClips) -> Result<()>;
}

/// A decoded video.
type Decoded = (usize, Result<Vec<f32>>);

/// Encodes every video that `store` does not hold yet: `encode` gets the clips `[videos · clips, frames, 3, size, size]`
/// of several videos and returns one [`EncodedClips`] each.
///
/// # Errors
/// A video that cannot be read, unless that is allowed; what `encode` or the store returns.
pub fn encode_videos(
    videos: &dyn VideoSet,
    plan: &ClipPlan,
    options: &EncodeOptions,
    store: &mut dyn EncodedStore,
    encode: &mut dyn FnMut(Vec<f32>, usize) -> Result<Vec<EncodedClips>>,
) -> Result<EncodeStats> {
    let stamps: Vec<Option<String>> = (0..videos.len()).map(|video| videos.stamp(video)).collect();
    let is_own = |video: &usize| options.shard.is_none_or(|shard| shard.holds(&videos.name(*video)));
    let own: Vec<usize> = (0..videos.len()).filter(is_own).collect();
    let mut is_known = |&video: &usize| stamps[video].as_ref().is_some_and(|stamp| store.load_cached(video, stamp));
    let (known, wanted): (Vec<usize>, Vec<usize>) = own.into_iter().partition(&mut is_known);
    let mut coverage = EncodeStats { from_cache: known.len(), ..EncodeStats::default() };
    let started = Instant::now();
    let room = 2 * options.batch.max(options.threads);
    let decode = |number: usize, results: &ResultSender<'_, Decoded>| {
        let video = wanted[number];
        results.send((video, plan.read(videos, video)));
    };
    let mut encoding = EncodeLoop { videos, options, stamps: &stamps, store, coverage: &mut coverage };
    let result =
        on_threads(wanted.len(), options.threads, room, &decode, |decoded| encoding.run(decoded, wanted.len(), encode));
    coverage.seconds = started.elapsed().as_secs_f64();
    // A clip, its reversal and other parts of one file are one file.
    coverage.missing.sort_by(|a, b| a.media.cmp(&b.media));
    coverage.missing.dedup_by(|one, before| one.media == before.media);
    result.map(|()| coverage)
}

/// Receives decoded videos and encodes them in batches.
struct EncodeLoop<'a> {
    videos: &'a dyn VideoSet,
    options: &'a EncodeOptions,
    stamps: &'a [Option<String>],
    store: &'a mut dyn EncodedStore,
    coverage: &'a mut EncodeStats,
}

impl EncodeLoop<'_> {
    fn run(
        &mut self,
        receiver: Receiver<Decoded>,
        count: usize,
        encode: &mut dyn FnMut(Vec<f32>, usize) -> Result<Vec<EncodedClips>>,
    ) -> Result<()> {
        let mut ticker = self.options.progress.counter("encoding videos", count);
        loop {
            let (mut numbers, mut pixels, mut ended) = (Vec::new(), Vec::new(), false);
            while numbers.len() < self.options.batch.max(1) && !ended {
                let waiting = Instant::now();
                let received = receiver.recv();
                self.coverage.wait_seconds += waiting.elapsed().as_secs_f64();
                match received {
                    Ok((video, Ok(clips))) => {
                        numbers.push(video);
                        pixels.extend(clips);
                    }
                    Ok((video, Err(error))) => self.unreadable(video, error)?,
                    Err(_) => ended = true,
                }
            }
            if !numbers.is_empty() {
                let encoded = encode(pixels, numbers.len())?;
                for (&video, encoded) in numbers.iter().zip(encoded) {
                    self.store.keep(video, self.stamps[video].as_deref(), encoded)?;
                }
                self.coverage.encoded += numbers.len();
                ticker.tick(numbers.len());
            }
            if ended {
                return Ok(());
            }
        }
    }

    fn unreadable(&mut self, video: usize, error: Error) -> Result<()> {
        if !self.options.allow_missing {
            return Err(match error {
                Error::File { path, problem, remedy, source } => Error::File {
                    path,
                    problem,
                    remedy: format!("{remedy}, or count it as a miss with option `allow_missing`"),
                    source,
                },
                Error::Video(error) if !error.is_configuration() => {
                    let remedy = "obtain it again, or count it as a miss with option `allow_missing`";
                    Error::file(self.videos.name(video), error.to_string(), remedy)
                }
                other => other,
            });
        }
        let media = self.videos.name(video);
        self.coverage.missing.push(Unreadable { media, reason: error.to_string() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{ClipSource, FeatureStore};

    struct Numbers;

    impl VideoSet for Numbers {
        fn len(&self) -> usize {
            7
        }

        fn name(&self, index: usize) -> String {
            format!("{index}.mp4")
        }

        fn stamp(&self, index: usize) -> Option<String> {
            Some(format!("{index}"))
        }

        fn pixels(&self, index: usize) -> Result<Vec<f32>> {
            let gone = || Error::file(self.name(index), "there is no such file", "check option `media`");
            if index == 4 { Err(gone()) } else { Ok((0..4).map(|t| (10 * index + t) as f32).collect()) }
        }
    }

    fn plan(sampling: ClipSampling, order: FrameOrder) -> ClipPlan {
        ClipPlan { frames: 2, clips: 2, sampling, order }
    }

    fn encode(pixels: Vec<f32>, videos: usize) -> Result<Vec<EncodedClips>> {
        assert_eq!(pixels.len(), 4 * videos);
        Ok(pixels.chunks(4).map(|clips| EncodedClips { features: vec![clips[0]], states: clips.to_vec() }).collect())
    }

    #[test]
    fn unreadable_files_are_named_up_to_a_limit() {
        let missing = |n: usize| -> Vec<Unreadable> {
            (0..n).map(|number| Unreadable { media: format!("{number}.mp4"), reason: "gone".into() }).collect()
        };
        assert_eq!(missing_lines(&missing(2)), ["0.mp4: gone; counted as a miss", "1.mp4: gone; counted as a miss"]);
        let lines = missing_lines(&missing(1_000));
        assert_eq!((lines.len(), lines[10].as_str()), (11, "and 990 more files that could not be read"));
    }

    #[test]
    fn clips_are_assigned_after_the_probe() {
        let pixels = [0.0, 1.0, 2.0, 3.0];
        assert_eq!(plan(ClipSampling::Contiguous, FrameOrder::Reverse).cut(&pixels, 0, 0), [3.0, 2.0, 1.0, 0.0]);
        assert_eq!(plan(ClipSampling::Strided, FrameOrder::None).cut(&pixels, 0, 0), [0.0, 2.0, 1.0, 3.0]);
        assert_eq!(plan(ClipSampling::Strided, FrameOrder::Freeze).cut(&pixels, 0, 2), [2.0; 4]);
    }

    #[test]
    fn an_unreadable_video_is_an_error_or_a_miss_and_a_second_run_decodes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let plan = plan(ClipSampling::Strided, FrameOrder::None);
        let mut store = FeatureStore::in_folder(root.path(), &serde_json::json!({}), 7).unwrap();
        let strict = EncodeOptions { batch: 3, threads: 2, ..EncodeOptions::default() };
        let message = encode_videos(&Numbers, &plan, &strict, &mut store, &mut encode).unwrap_err().to_string();
        assert!(message.contains("4.mp4") && message.contains("option `allow_missing`"), "{message}");
        let lenient = EncodeOptions { allow_missing: true, ..strict.clone() };
        let coverage = encode_videos(&Numbers, &plan, &lenient, &mut store, &mut encode).unwrap();
        assert_eq!((coverage.encoded + coverage.from_cache, coverage.missing.len()), (6, 1));
        assert_eq!(coverage.missing[0].media, "4.mp4");
        assert_eq!(store.states(3).unwrap(), [30.0, 32.0, 31.0, 33.0]);
        let mut none = |_: Vec<f32>, _: usize| -> Result<Vec<EncodedClips>> { panic!("nothing is left to encode") };
        let again = encode_videos(&Numbers, &plan, &lenient, &mut store, &mut none).unwrap();
        assert_eq!((again.encoded, again.from_cache, again.missing.len()), (0, 6, 1));
    }
}
