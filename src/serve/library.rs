//! The index as the server has it: read anew when its files change, its videos under ids, and which of them may be
//! shown.

use super::refusal::Refusal;
use super::state::Collection;
use crate::digest::sha256_hex;
use crate::index::{ClipEmbedding, Index, Stamp};
use crate::progress::StopFlag;
use crate::search::{Calibration, KEPT_RESULTS};
use crate::{Error, Result};
use axum::http::StatusCode;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How often the files of the index are looked at.
const POLL: Duration = Duration::from_millis(250);

/// Reading an index again takes at most this part of the time.
const SHARE: u32 = 10;

/// An index, and what requests find in it.
pub(super) struct Library {
    pub index: Arc<Index>,
    /// None until the model has made it, and for an index without clips.
    pub calibration: Option<Calibration>,
    files: HashMap<String, PathBuf>,
    /// Folders that hold indexed files, and are below no other one that does.
    roots: Vec<PathBuf>,
    /// What its files were when it was read.
    state: IndexState,
    /// The number of the index among those that are served.
    number: usize,
}

/// Name, length and date of every file of an index but its lock and what a search elsewhere has listed: equal as long as nothing was written.
type IndexState = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// A clip that a request names.
pub(super) struct NamedClip<'a> {
    pub path: &'a Path,
    pub clip: ClipEmbedding,
}

impl Library {
    /// Reads the index in `dir`, which is called `number`.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn open(dir: &Path, number: usize) -> Result<Self> {
        // Before the index: what is written meanwhile is read again.
        let state = state_of(dir)?;
        let index = Index::open(dir)?;
        let files = index.files().map(|path| (file_id(path, number), path.to_path_buf())).collect();
        let folders: BTreeSet<&Path> = index.files().filter_map(Path::parent).collect();
        let mut roots: Vec<PathBuf> = Vec::new();
        for folder in folders {
            if !roots.iter().any(|root| folder.starts_with(root)) {
                roots.push(folder.to_path_buf());
            }
        }
        Ok(Self { index: Arc::new(index), calibration: None, files, roots, state, number })
    }

    /// What stands for the file `path` in addresses.
    pub fn id_of(&self, path: &Path) -> String {
        file_id(path, self.number)
    }

    /// All folders below the roots that hold indexed files or folders with them.
    pub fn folders(&self) -> BTreeSet<&Path> {
        let mut folders = BTreeSet::new();
        for path in self.index.files() {
            let inside = |folder: &&Path| self.roots.iter().any(|root| folder.starts_with(root));
            path.ancestors().skip(1).take_while(inside).for_each(|folder| _ = folders.insert(folder));
        }
        folders
    }

    /// The indexed file that `id` stands for.
    pub fn file(&self, id: &str) -> Result<&Path, Refusal> {
        self.files.get(id).map(PathBuf::as_path).ok_or_else(|| Refusal::unknown("video"))
    }

    /// The clip that `id`, a file's id and the number of its clip, stands for.
    pub fn clip(&self, id: &str) -> Result<NamedClip<'_>, Refusal> {
        let unknown = || Refusal::unknown("clip");
        let (file, number) = id.split_once('-').ok_or_else(unknown)?;
        let path = self.file(file).map_err(|_| unknown())?;
        let number: usize = number.parse().map_err(|_| unknown())?;
        let clip = self.index.clips_of(path).into_iter().nth(number).ok_or_else(unknown)?;
        Ok(NamedClip { path, clip })
    }

    /// The real place of the indexed file `path`, if it may be shown: it is still the file that was indexed, and no
    /// link leads out of the indexed folders.
    pub fn shown(&self, path: &Path) -> Result<PathBuf, Refusal> {
        let gone = |what: &str| Refusal::new(StatusCode::GONE, format!("the file {what} since it was indexed"));
        let real = path.canonicalize().map_err(|_| gone("is gone"))?;
        let inside = |root: &PathBuf| root.canonicalize().is_ok_and(|root| real.starts_with(root));
        if !self.roots.iter().any(inside) {
            return Err(Refusal::forbidden("the file is a link that leads out of the indexed folders"));
        }
        let known = self.index.stamp(path).ok_or_else(|| Refusal::unknown("video"))?;
        match Stamp::of(&real, known.clip_windows.clone()) {
            Ok(now) if now == *known && real.is_file() => Ok(real),
            _ => Err(gone("has changed")),
        }
    }
}

/// What stands for a file of index `number` in addresses: it says nothing of its path. The first index has no number.
fn file_id(path: &Path, number: usize) -> String {
    let name: String = sha256_hex(path.as_os_str().as_encoded_bytes()).chars().take(24).collect();
    if number == 0 { name } else { format!("{name}~{number}") }
}

/// The number of the index that `id`, of a file or of a clip of it, is of.
pub(super) fn number_of(id: &str) -> Option<usize> {
    let file = id.split_once('-').map_or(id, |(file, _)| file);
    file.split_once('~').map_or(Some(0), |(_, number)| number.parse().ok())
}

/// What stands for a folder in addresses.
pub(super) fn folder_id(path: &Path) -> String {
    file_id(path, 0)
}

fn state_of(dir: &Path) -> Result<IndexState> {
    let listed = std::fs::read_dir(dir).map_err(|problem| Error::io(dir, &problem))?;
    let counts = |entry: &std::fs::DirEntry| entry.file_name() != "lock" && entry.file_name() != KEPT_RESULTS;
    let facts = listed.flatten().filter(counts).filter_map(|entry| {
        let facts = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some((entry.path(), facts.len(), facts.modified().ok()))
    });
    let mut state: IndexState = facts.collect();
    state.sort();
    Ok(state)
}

/// Reads the index again whenever its files change, until `stop` is set. One that cannot be read is tried again later;
/// the last good reading stays.
pub(super) fn keep_fresh(collection: &Arc<Collection>, stop: &StopFlag) {
    calibrate(collection, collection.library().index.clone());
    let mut next = Instant::now();
    while !stop.is_set() {
        thread::sleep(POLL);
        let library = collection.library();
        let dir = library.index.dir();
        if Instant::now() < next || state_of(dir).is_ok_and(|state| state == library.state) {
            continue;
        }
        let started = Instant::now();
        match Library::open(dir, collection.number()) {
            Ok(fresh) => {
                let calibration = library.calibration.clone();
                let index = fresh.index.clone();
                collection.replace_library(Library { calibration, ..fresh });
                calibrate(collection, index);
            }
            Err(problem) => log::debug!("the index cannot be read now: {problem}"),
        }
        next = Instant::now() + SHARE * started.elapsed();
    }
}

/// Puts the calibration of `index` beside it.
fn calibrate(collection: &Arc<Collection>, index: Arc<Index>) {
    let answer = collection.jobs.ask_and_wait(move |model| model.calibration(&index));
    if let Ok(Some(calibration)) = answer {
        let fresh = collection.library();
        if fresh.calibration.as_ref() != Some(&calibration) {
            collection.replace_library(fresh.with(calibration));
        }
    }
}

impl Library {
    fn with(&self, calibration: Calibration) -> Self {
        Self {
            index: self.index.clone(),
            calibration: Some(calibration),
            files: self.files.clone(),
            roots: self.roots.clone(),
            state: self.state.clone(),
            number: self.number,
        }
    }
}
