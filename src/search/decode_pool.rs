//! Decodes files on worker threads; clips of several videos arrive interleaved, with a bounded number in memory.

use super::clip_reader::{ClipSink, DecodeSeconds, each_clip};
use super::clips::ClipWindows;
use crate::eval::decode_threads::{ResultSender, on_threads};
use crate::panics::catch_panic;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use svitt_video::{Frames, ReaderOptions, VideoError};

/// An event of file number `file`.
pub(super) enum DecodeEvent {
    /// A clip of it, ready for the model.
    Clip { file: usize, span: [f64; 2], pixels: Vec<f32> },
    /// The clips of it that came are to be forgotten: it is read again from its start.
    Again { file: usize },
    /// No more clips will come; or why none can.
    End { file: usize, outcome: Result<(), VideoError> },
}

/// How files are decoded.
pub(super) struct DecodeSettings<'a> {
    /// How they are cut.
    pub windows: &'a ClipWindows,
    /// Threads, all files together.
    pub threads: usize,
    /// How each is read.
    pub reader: ReaderOptions,
}

/// Decodes `files` as `settings` say while `consume` takes the news; `prepare` turns a frame into the model's pixels.
/// The clips of a long video may come out of order where there are fewer files than threads.
pub(super) fn with_decoded<T>(
    files: &[PathBuf],
    settings: &DecodeSettings,
    prepare: &(dyn Fn(&Frames) -> Vec<f32> + Sync),
    spent: &DecodeSeconds,
    consume: impl FnOnce(Receiver<DecodeEvent>) -> T,
) -> T {
    let DecodeSettings { windows, threads, reader } = settings;
    let threads = *threads;
    let decode = |file: usize, results: &ResultSender<'_, DecodeEvent>| {
        let path = &files[file];
        let take = |span, pixels| results.send(DecodeEvent::Clip { file, span, pixels });
        let again = || {
            results.send(DecodeEvent::Again { file });
        };
        let each = threads / files.len().max(1);
        let sink = ClipSink { prepare, take: &take, again: &again, reader, spent };
        let outcome = catch_backend_panic(path, || each_clip(path, windows, each, &sink));
        results.send(DecodeEvent::End { file, outcome });
    };
    on_threads(files.len(), threads, 2 * threads.max(1), &decode, consume)
}

/// A decoder that gives up on a file gives up on that file alone.
fn catch_backend_panic(path: &Path, decode: impl FnOnce() -> Result<(), VideoError>) -> Result<(), VideoError> {
    catch_panic(decode).unwrap_or_else(|_| {
        Err(VideoError::Corrupt { path: path.to_path_buf(), detail: "the decoder gave up on it".to_owned() })
    })
}
