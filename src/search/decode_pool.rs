//! Decodes files on worker threads; clips of several videos arrive interleaved, with a bounded number in memory.

use super::clips::{ClipWindows, each_clip};
use crate::panics::catch_panic;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use svitt_video::{Frames, VideoError};

/// An event of file number `file`.
pub(super) enum DecodeEvent {
    /// A clip of it, ready for the model.
    Clip { file: usize, span: [f64; 2], pixels: Vec<f32> },
    /// No more clips will come; or why none can.
    End { file: usize, outcome: Result<(), VideoError> },
}

/// Decodes `files` on `threads` threads while `consume` takes the news; `prepare` turns frames into the model's pixels.
pub(super) fn with_decoded<T>(
    files: &[PathBuf],
    clip_windows: &ClipWindows,
    threads: usize,
    prepare: &(dyn Fn(&Frames) -> Vec<f32> + Sync),
    consume: impl FnOnce(Receiver<DecodeEvent>) -> T,
) -> T {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(2 * threads.max(1));
        for _ in 0..threads.clamp(1, files.len().max(1)) {
            let (sender, next, stop) = (sender.clone(), &next, &stop);
            scope.spawn(move || {
                while let (file, false) = (next.fetch_add(1, Ordering::Relaxed), stop.load(Ordering::Relaxed)) {
                    let Some(path) = files.get(file) else { return };
                    let send = |span, frames: Frames| {
                        let pixels = prepare(&frames);
                        !stop.load(Ordering::Relaxed) && sender.send(DecodeEvent::Clip { file, span, pixels }).is_ok()
                    };
                    let outcome = catch_backend_panic(path, || each_clip(path, clip_windows, send));
                    if sender.send(DecodeEvent::End { file, outcome }).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let result = consume(receiver);
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// A decoder that gives up on a file gives up on that file alone.
fn catch_backend_panic(path: &Path, decode: impl FnOnce() -> Result<(), VideoError>) -> Result<(), VideoError> {
    catch_panic(decode).unwrap_or_else(|_| {
        Err(VideoError::Corrupt { path: path.to_path_buf(), detail: "the decoder gave up on it".to_owned() })
    })
}
