//! The one writer of output files. A file appears under its name complete or not at all: the bytes go to a file beside
//! it with a random name, reach the disk, and take its place. What is no regular file (a device, a FIFO, a socket,
//! standard output by its name) is written to as it is and never replaced.

use crate::{Error, Result, input};
use serde::{Serialize, de::DeserializeOwned};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

/// What a temporary name ends with: a run clears those of a killed one in the folder it has locked.
pub const PARTIAL: &str = ".partial";

/// Bytes of a JSON file that is read back: a run's state lists every video that could not be read.
const LARGEST_JSON: u64 = 256 << 20;

/// Links that are followed before they are taken for a circle; Linux follows as many.
const MOST_LINKS: usize = 40;

/// Bytes collected before they are written: weights are gigabytes of them.
const BUFFER: usize = 1 << 20;

/// A locked file, unlocked when it is dropped. Closing it alone would not do: a process that another thread has just
/// forked holds the lock with its copy of the file until it runs its own program.
#[derive(Debug)]
pub(crate) struct HeldLock(File);

impl HeldLock {
    /// `file`, which this process has locked.
    pub(crate) fn of(file: File) -> Self {
        Self(file)
    }
}

impl std::ops::Deref for HeldLock {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        // Where it fails, the system unlocks the file when its last copy is closed.
        let _ = self.0.unlock();
    }
}

/// Writes what `fill` writes to `path`. A link is followed and stays a link; a file that is replaced keeps its
/// permissions and, where the system allows it, its owner.
///
/// # Errors
/// What `fill` returns, or the system's reason with `path`; a regular file that was there is there still, and nothing
/// is left beside it.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let io = |problem: io::Error| Error::io(path, &problem);
    match destination(path).map_err(io)? {
        Destination::Direct(out) => {
            let mut out = BufWriter::with_capacity(BUFFER, out);
            fill(&mut out)?;
            out.flush().map_err(io)
        }
        Destination::Replace(target) => replace(&target, path, fill),
    }
}

/// Writes `bytes` to `path` as [`write_with`] does.
///
/// # Errors
/// As [`write_with`].
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    write_with(path, |out| out.write_all(bytes.as_ref()).map_err(|problem| Error::io(path, &problem)))
}

/// Writes `bytes` to the program's own file `path`, in the place of whatever has that name: a link is replaced, not
/// followed, and a pipe is not waited for.
///
/// # Errors
/// As [`write_with`].
pub(crate) fn write_own(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    replace(path, path, |out| out.write_all(bytes.as_ref()).map_err(|problem| Error::io(path, &problem)))
}

/// Writes `value` to `path` as indented JSON, as [`write_with`] does.
///
/// # Errors
/// As [`write_with`].
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|problem| Error::Fault(problem.to_string()))?;
    write(path, text + "\n")
}

/// Reads JSON that this program wrote; `remedy` says what to do where it is damaged.
///
/// # Errors
/// The file cannot be read, or is not such JSON.
pub fn read_json<T: DeserializeOwned>(path: &Path, remedy: &str) -> Result<T> {
    let text = input::read_text(path, LARGEST_JSON)?;
    serde_json::from_str(&text)
        .map_err(|problem| Error::file(path, format!("is damaged: {problem}"), remedy).caused_by(problem))
}

/// Fails if the output folder `path`, given as option `out`, is something else.
pub(crate) fn refuse_no_folder(path: &Path) -> Result<()> {
    if path.exists() && !path.is_dir() {
        return Err(Error::file(path, "is no folder", "give a folder as option `out`"));
    }
    Ok(())
}

/// Opens the program's own file `path` for reading and writing; it is made where it is missing, and what it holds stays.
///
/// # Errors
/// It is no regular file (a pipe would be waited for, a link leads to somebody else's file), with `remedy`; or the
/// system's reason.
pub(crate) fn open_own(path: &Path, remedy: &str) -> Result<File> {
    let io = |problem: io::Error| Error::io(path, &problem);
    if fs::symlink_metadata(path).is_ok_and(|facts| input::require_regular(&facts).is_err()) {
        return Err(Error::file(path, "is not a regular file", remedy));
    }
    File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(io)
}

/// Makes what was renamed into `folder` survive a power failure, where the file system can.
pub fn sync_folder(folder: &Path) {
    if cfg!(unix) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}

/// Where bytes for a path go.
enum Destination {
    /// Into something that is there and is no regular file.
    Direct(Box<dyn Write>),
    /// Into a regular file of this name, links followed, there or not.
    Replace(PathBuf),
}

fn destination(path: &Path) -> io::Result<Destination> {
    let mut target = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        if let Some(out) = standard_stream(&target) {
            return Ok(Destination::Direct(out));
        }
        let Ok(found) = fs::symlink_metadata(&target) else { return Ok(Destination::Replace(target)) };
        if found.is_symlink() && !is_descriptor(&target) {
            let next = fs::read_link(&target)?;
            target = target.parent().unwrap_or(Path::new("")).join(next);
            continue;
        }
        let found = fs::metadata(&target)?;
        if found.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if found.is_file() && !is_descriptor(&target) {
            return Ok(Destination::Replace(target));
        }
        // Appended, for a descriptor may be of a file that others write to as well; devices and FIFOs do not care.
        return Ok(Destination::Direct(Box::new(OpenOptions::new().append(true).open(&target)?)));
    }
    Err(io::Error::other("too many links, one to the other"))
}

/// This process's own stream, where `path` is one of its names: opened anew, a redirected stream would be written over
/// from its beginning.
fn standard_stream(path: &Path) -> Option<Box<dyn Write>> {
    let named = |word: &str, number: &str| {
        ["/dev/", "/dev/fd/", "/proc/self/fd/"].iter().any(|folder| {
            let rest = path.to_str().and_then(|path| path.strip_prefix(folder));
            rest == Some(if *folder == "/dev/" { word } else { number })
        })
    };
    match () {
        () if named("stdout", "1") => Some(Box::new(io::stdout())),
        () if named("stderr", "2") => Some(Box::new(io::stderr())),
        () => None,
    }
}

/// Whether `path` names an open descriptor of a process: its link is no path to follow.
fn is_descriptor(path: &Path) -> bool {
    let mut parts = path.components();
    parts.next() == Some(Component::RootDir)
        && matches!(parts.next(), Some(Component::Normal(first)) if first == "proc" || first == "dev")
        && parts.any(|part| part.as_os_str() == "fd")
}

fn replace(target: &Path, path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let io = |problem: io::Error| Error::io(path, &problem);
    let parent = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Deleted when it is dropped, unless it has taken its place.
    let mut temporary = temporary_in(parent, target).map_err(io)?;
    let mut out = BufWriter::with_capacity(BUFFER, temporary.as_file_mut());
    fill(&mut out)?;
    out.flush().map_err(io)?;
    drop(out);
    keep_attributes(target, temporary.as_file()).map_err(io)?;
    temporary.as_file().sync_all().map_err(io)?;
    temporary.persist(target).map_err(|problem| io(problem.error))?;
    sync_folder(parent);
    Ok(())
}

/// A new folder beside `target`, hidden, with a random name that shows which folder it is to be; deleted when it is
/// dropped, unless it was renamed.
///
/// # Errors
/// The system's reason, with `target`.
pub fn temporary_folder(target: &Path) -> Result<tempfile::TempDir> {
    let parent = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = named(target, 0o777, |builder| builder.tempdir_in(parent));
    made.map_err(|problem| Error::io(target, &problem))
}

/// A new file in `folder`, as [`temporary_folder`] is named.
fn temporary_in(folder: &Path, target: &Path) -> io::Result<tempfile::NamedTempFile> {
    named(target, 0o666, |builder| builder.tempfile_in(folder))
}

/// What `make` makes under a temporary name for `target`, with what the umask leaves of `mode`.
fn named<T>(target: &Path, mode: u32, make: impl FnOnce(&tempfile::Builder) -> io::Result<T>) -> io::Result<T> {
    let name: String = target.file_name().unwrap_or_default().to_string_lossy().chars().take(40).collect();
    let prefix = format!(".{name}.");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(PARTIAL).rand_bytes(10);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    make(&builder).map_err(|problem| {
        // tempfile puts its own path into the message; the kind and the number say the same without it.
        let code =
            problem.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>()).and_then(io::Error::raw_os_error);
        code.map_or_else(|| io::Error::from(problem.kind()), io::Error::from_raw_os_error)
    })
}

/// Gives `file` the permissions and the owner of the file at `target`, if there is one.
fn keep_attributes(target: &Path, file: &File) -> io::Result<()> {
    let Ok(old) = fs::symlink_metadata(target) else { return Ok(()) };
    if !old.is_file() {
        return Ok(());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let new = file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            // Only root may; anyone else owns what is written, as with every other program.
            let _ = std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()));
        }
    }
    file.set_permissions(old.permissions())
}

#[cfg(test)]
mod tests;
