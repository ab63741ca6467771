//! Keeps an index up to date with folders: once at the start, when something in them changes, and now and then in case
//! the system does not tell.

use super::FolderIndexer;
use super::state::Collection;
use crate::data::is_subtitle_name;
use crate::panics::catch_backend_panic;
use crate::progress::{ProgressSink, StopFlag};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use svitt_video::is_video_name;

/// The folder is walked this often though nothing is told: links out of it and network disks tell nothing.
const RESCAN: Duration = Duration::from_secs(300);

/// A folder counts as settled after this long without changes, or this long after the first.
const SETTLED: Duration = Duration::from_millis(700);
const AT_LATEST: Duration = Duration::from_secs(10);

/// How soon a stop is noticed.
const POLL: Duration = Duration::from_millis(100);

/// Brings the index in `index` up to date whenever one of `folders` has changed, until `stop` is set.
pub(super) fn keep_indexed(
    collection: &Arc<Collection>,
    index: &Path,
    folders: &[PathBuf],
    indexer: &FolderIndexer,
    stop: &StopFlag,
) {
    let (sender, changes) = channel();
    let index = index.canonicalize().unwrap_or_else(|_| index.to_path_buf());
    let told = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| matters(&event, &index)) {
            let _ = sender.send(());
        }
    };
    // Without a watcher (too many folders, a file system that does not tell) the walks remain.
    let watcher = watch(folders, told);
    let problem = watcher.as_ref().err().map(|problem| format!("the folders are not watched: {problem}"));
    collection.note_indexing(|state| (state.watching, state.problem) = (watcher.is_ok(), problem));
    while !stop.is_set() {
        run(collection, indexer, stop);
        wait(&changes, stop);
    }
}

fn watch(
    folders: &[PathBuf],
    told: impl FnMut(notify::Result<Event>) + Send + 'static,
) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(told)?;
    folders.iter().try_for_each(|folder| watcher.watch(folder, RecursiveMode::Recursive))?;
    Ok(watcher)
}

/// Whether `event` may change what is to be indexed. Files are read all the time, not least by the decoder, and the
/// index may lie in the folder.
fn matters(event: &Event, index: &Path) -> bool {
    let video = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !path.starts_with(index)
            && (is_video_name(&name) || is_subtitle_name(&name) || path.is_dir() || !name.contains('.'))
    };
    !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(video)
}

fn run(collection: &Arc<Collection>, indexer: &FolderIndexer, stop: &StopFlag) {
    collection.note_indexing(|state| (state.running, state.done, state.total) = (true, 0, 0));
    let told = collection.clone();
    let progress = ProgressSink::new(move |progress| {
        told.note_indexing(|state| (state.done, state.total) = (progress.done, progress.total));
    });
    let ended = catch_backend_panic("this one", || indexer(progress, stop.clone())).flatten();
    collection.note_indexing(|state| {
        state.running = false;
        match ended {
            Ok(report) => (state.report, state.problem) = (Some(report), None),
            Err(problem) => state.problem = Some(problem.to_string()),
        }
    });
}

/// Waits for a change that has settled, for the next walk, or for a stop.
fn wait(changes: &Receiver<()>, stop: &StopFlag) {
    let started = Instant::now();
    while !stop.is_set() && started.elapsed() < RESCAN {
        match changes.recv_timeout(POLL) {
            Ok(()) => return settle(changes),
            Err(RecvTimeoutError::Timeout) => {}
            // Nobody tells: the walks remain.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(POLL),
        }
    }
}

fn settle(changes: &Receiver<()>) {
    let started = Instant::now();
    while started.elapsed() < AT_LATEST && changes.recv_timeout(SETTLED).is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{AccessKind, CreateKind, ModifyKind};

    #[test]
    fn reading_and_the_index_itself_are_no_changes() {
        let index = Path::new("/videos/svitt-index");
        let told = |kind, path: &str| matters(&Event::new(kind).add_path(path.into()), index);
        assert!(told(EventKind::Create(CreateKind::File), "/videos/a.mp4"));
        assert!(told(EventKind::Modify(ModifyKind::Any), "/videos/deep/B.WEBM"));
        assert!(told(EventKind::Modify(ModifyKind::Any), "/videos/a.en.srt"));
        assert!(!told(EventKind::Access(AccessKind::Any), "/videos/a.mp4"));
        assert!(!told(EventKind::Create(CreateKind::File), "/videos/svitt-index/000001.seg"));
        assert!(!told(EventKind::Create(CreateKind::File), "/videos/notes.txt"));
    }
}
