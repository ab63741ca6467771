//! The windows of a long H.264 video, which the `ffmpeg` program decodes in one pass while its frames are prepared here.

use super::clip_reader::{ClipSink, Result, add};
use super::clips::{ClipWindows, Timeline};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};
use svitt_video::{StreamedPicture, VideoReader};

/// Pictures that wait to be prepared.
const WAITING: usize = 8;

/// A frame's number and its picture.
type Numbered = (usize, StreamedPicture);

/// Passes every clip of the video at `path` to `sink` in order. False if the program does not decode it as the built-in
/// decoder does: the clips that came are to be forgotten.
///
/// # Errors
/// The video cannot be opened.
pub(super) fn each_clip_in_one_pass(
    path: &Path,
    windows: &ClipWindows,
    threads: usize,
    sink: &ClipSink,
) -> Result<bool> {
    let mut reader = VideoReader::open(path, sink.reader)?;
    let clips: Vec<([f64; 2], Vec<usize>)> = {
        let video = Timeline::of(&reader);
        let spans = windows.spans(reader.duration()).into_iter();
        let clips = spans.map(|span| (span, windows.frames_of(&video, span)));
        clips.filter(|(_, frames)| !frames.is_empty()).collect()
    };
    let mut wanted: Vec<usize> = clips.iter().flat_map(|(_, frames)| frames).copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    std::thread::scope(|scope| {
        let (sender, pictures) = sync_channel::<Numbered>(WAITING);
        let decoding = scope.spawn(move || {
            let (since, mut waited) = (Instant::now(), Duration::ZERO);
            let read = reader.frames_in_one_pass(&wanted, threads, &mut |number, picture| {
                let since = Instant::now();
                let more = sender.send((number, picture)).is_ok();
                waited += since.elapsed();
                more
            });
            add(&sink.spent.decode, since + waited);
            read
        });
        let prepared = hand_over(&clips, pictures, sink);
        // What is wrong with it is found out by the built-in decoder alone.
        let decoded = matches!(decoding.join(), Ok(Ok(true)));
        if decoded { prepared.map(|()| true) } else { Ok(false) }
    })
}

/// Gives each of `clips` to the sink once its last frame came, as far as they come.
fn hand_over(clips: &[([f64; 2], Vec<usize>)], pictures: Receiver<Numbered>, sink: &ClipSink) -> Result<()> {
    let mut ready: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
    for (span, frames) in clips {
        while frames.last().is_some_and(|last| !ready.contains_key(last)) {
            let Ok((number, picture)) = pictures.recv() else { return Ok(()) };
            let since = Instant::now();
            ready.insert(number, (sink.prepare)(&picture.to_frames()?));
            add(&sink.spent.resize, since);
        }
        let pixels = frames.iter().filter_map(|frame| ready.get(frame)).flatten().copied().collect();
        if !(sink.take)(*span, pixels) {
            return Ok(());
        }
        // Each clip begins after the one before.
        ready = ready.split_off(&frames[0]);
    }
    Ok(())
}
