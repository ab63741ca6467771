//! The error type. Every message names the file, line or setting and says what to do; what of it comes from outside is
//! shown escaped and cut ([`crate::printable`]).

use crate::printable::{self, Shown};
use std::path::{Path, PathBuf};

/// Shorthand for a result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error that caused another one.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder cannot be used.
    #[error("{}: {}; {remedy}", printable::path(path), Shown(problem))]
    File {
        /// The file or folder, with `:LINE` in `problem` where a line is at fault.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What the person should do.
        remedy: String,
        /// What the system or a parser said, where that is known.
        #[source]
        source: Option<Cause>,
    },
    /// A setting (flag, config key, argument) has a value that cannot work.
    #[error("setting `{}`: {}; {remedy}", Shown(setting), Shown(problem))]
    Setting {
        /// The flag or key, spelled as the person wrote it.
        setting: String,
        /// What is wrong with its value.
        problem: String,
        /// What the person should do.
        remedy: String,
    },
    /// The backend or device cannot be used.
    #[error("backend `{}`: {}; {remedy}", Shown(backend), Shown(problem))]
    Backend {
        /// Name of the backend: cuda, wgpu, wgpu-wgsl, flex or ndarray.
        backend: String,
        /// What is missing or failed.
        problem: String,
        /// What the person should do.
        remedy: String,
    },
    /// A video could not be read.
    #[error("{}", Shown(.0))]
    Video(#[from] svitt_video::VideoError),
    /// Training cannot go on (non-finite losses, too many unreadable items).
    #[error("training stopped: {}; {remedy}", Shown(problem))]
    Training {
        /// What happened, with the step.
        problem: String,
        /// What the person should do.
        remedy: String,
    },
    /// A process of a job cannot go on.
    #[error("process {process}: {}", Shown(said))]
    Process {
        /// Its number.
        process: usize,
        /// Its error.
        said: String,
    },
    /// Process 0 of the job says why it ended; nothing is left to say here.
    #[error("process 0 says why")]
    Elsewhere {
        /// Whether everything was saved, as in [`Error::Interrupted`].
        interrupted: bool,
    },
    /// A bug of this program.
    #[error("this is a bug of svitt: {}; please report this message with the command", Shown(.0))]
    Fault(String),
    /// The person asked to stop (Ctrl-C or SIGTERM) and everything was saved.
    #[error("interrupted: {0}")]
    Interrupted(String),
}

impl Error {
    /// A [`Error::File`] for `path`.
    pub fn file(path: impl AsRef<Path>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), problem: problem.into(), remedy: remedy.into(), source: None }
    }

    /// This error with what caused it; only a file's error has a cause besides its message.
    pub fn caused_by(mut self, cause: impl Into<Cause>) -> Self {
        if let Self::File { source, .. } = &mut self {
            *source = Some(cause.into());
        }
        self
    }

    /// Whether the system said that there is no such file or folder.
    pub fn is_not_found(&self) -> bool {
        let Self::File { source: Some(source), .. } = self else { return false };
        source.downcast_ref::<std::io::Error>().is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound)
    }

    /// A [`Error::File`] for a failed system call on `path`; full disks and missing rights get their own remedy.
    pub fn io(path: impl AsRef<Path>, source: &std::io::Error) -> Self {
        let remedy = match source.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::PermissionDenied => "check its permissions or choose another place",
            std::io::ErrorKind::StorageFull => "free some space on that disk or choose another place",
            _ => "check the disk and the path",
        };
        // An error of the system cannot be cloned, but its number can.
        let cause = match source.raw_os_error() {
            Some(code) => std::io::Error::from_raw_os_error(code),
            None => std::io::Error::new(source.kind(), source.to_string()),
        };
        Self::file(path, source.to_string(), remedy).caused_by(cause)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn the_cause_of_a_files_error_is_kept() {
        let error = Error::io("a\u{1b}b", &std::io::Error::from(std::io::ErrorKind::StorageFull));
        let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>()).unwrap();
        assert_eq!(cause.kind(), std::io::ErrorKind::StorageFull);
        assert!(
            error.to_string().starts_with("a\\u{1b}b: ") && error.to_string().contains("free some space"),
            "{error}"
        );
        let video: Error = svitt_video::VideoError::NoVideoStream { path: "x.mp4".into() }.into();
        assert!(video.source().is_some_and(|source| source.is::<svitt_video::VideoError>()));
    }

    #[test]
    fn what_comes_from_a_file_is_escaped_and_cut() {
        let said = Error::setting("x", format!("\u{1b}]0;title\u{7}{}", "y".repeat(9_000_000)), "stop").to_string();
        assert!(said.len() < 5_000 && !said.contains('\u{1b}') && said.ends_with("more characters); stop"));
    }
}
