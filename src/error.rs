//! The error type. Every message names the file, line or setting and says what to do.

use std::path::{Path, PathBuf};

/// Shorthand for a result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be used.
    #[error("{}: {problem}; {remedy}", path.display())]
    File {
        /// The file or folder, with `:LINE` in `problem` where a line is at fault.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What the person should do.
        remedy: String,
    },
    /// A setting (flag, config key, argument) has a value that cannot work.
    #[error("setting `{setting}`: {problem}; {remedy}")]
    Setting {
        /// The flag or key, spelled as the person wrote it.
        setting: String,
        /// What is wrong with its value.
        problem: String,
        /// What the person should do.
        remedy: String,
    },
    /// The backend or device cannot be used.
    #[error("backend `{backend}`: {problem}; {remedy}")]
    Backend {
        /// Name of the backend: cuda, wgpu, wgpu-wgsl, flex or ndarray.
        backend: String,
        /// What is missing or failed.
        problem: String,
        /// What the person should do.
        remedy: String,
    },
    /// A video could not be read.
    #[error(transparent)]
    Video(#[from] svitt_video::VideoError),
    /// Training cannot go on (non-finite losses, too many unreadable items).
    #[error("training stopped: {problem}; {remedy}")]
    Training {
        /// What happened, with the step.
        problem: String,
        /// What the person should do.
        remedy: String,
    },
    /// A bug of this program.
    #[error("this is a bug of svitt: {0}; please report this message with the command")]
    Fault(String),
    /// The person asked to stop (Ctrl-C or SIGTERM) and everything was saved.
    #[error("interrupted: {0}")]
    Interrupted(String),
}

impl Error {
    /// A [`Error::File`] for `path`.
    pub fn file(path: impl AsRef<Path>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), problem: problem.into(), remedy: remedy.into() }
    }

    /// A [`Error::File`] for a failed system call on `path`; full disks and missing rights get their own remedy.
    pub fn io(path: impl AsRef<Path>, source: &std::io::Error) -> Self {
        let remedy = match source.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::PermissionDenied => "check its permissions or choose another place",
            std::io::ErrorKind::StorageFull => "free some space on that disk or choose another place",
            _ => "check the disk and the path",
        };
        Self::file(path, source.to_string(), remedy)
    }

    /// A [`Error::Setting`] for flag or key `setting`.
    pub fn setting(setting: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Setting { setting: setting.into(), problem: problem.into(), remedy: remedy.into() }
    }

    /// A [`Error::Backend`].
    pub fn backend(backend: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Backend { backend: backend.into(), problem: problem.into(), remedy: remedy.into() }
    }
}

impl From<svitt_ops::Error> for Error {
    fn from(error: svitt_ops::Error) -> Self {
        Self::setting(error.setting, error.problem, error.remedy)
    }
}
