//! What a hub's answers mean to a person.

use super::address::HubAddress;
use crate::Error;
use std::fmt;

const ELSEWHERE: &str =
    "download the file elsewhere and give its path, or set HF_ENDPOINT to a mirror that can be reached";

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The hub said so.
    Status(u16),
    /// What answers is no hub.
    NoHub(String),
    /// No connection, or one that gave up.
    Broken(String),
    /// What came cannot be stored.
    Cache(std::io::Error),
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::StatusCode(status) => Self::Status(status),
            ureq::Error::TooManyRedirects => Self::NoHub("it redirects without end".to_owned()),
            other => Self::Broken(other.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the hub answers with status {status}"),
            Self::NoHub(problem) | Self::Broken(problem) => f.write_str(problem),
            Self::Cache(error) => error.fmt(f),
        }
    }
}

impl Failure {
    /// Whether the same request may succeed in a moment.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Status(429 | 500..))
    }

    /// The error of a request for `address` to the hub at `endpoint`.
    pub(super) fn of(self, address: &HubAddress, endpoint: &str) -> Error {
        let HubAddress { text, repository, revision, file, .. } = address;
        let (problem, remedy) = match self {
            Self::Status(404) => {
                let what = file.as_deref().map_or_else(String::new, |file| format!(" with a file {file}"));
                let problem = format!("{endpoint} has no {repository} at revision {revision}{what}");
                (problem, "check owner, name, file and revision")
            }
            Self::Status(401 | 403) => (
                format!("{endpoint} does not show it without permission, or it does not exist"),
                "check the name; if its terms must be accepted, do so on its page and set HF_TOKEN",
            ),
            Self::Status(429) => (format!("{endpoint} has too many requests"), "wait some minutes, and run this again"),
            Self::Status(status) => (format!("{endpoint} answers with status {status}"), "try again later"),
            Self::NoHub(problem) => {
                (format!("{endpoint} does not answer as a hub does: {problem}"), "check HF_ENDPOINT")
            }
            Self::Broken(cause) => {
                (format!("{endpoint} cannot be reached ({cause}), and the cache does not hold it"), ELSEWHERE)
            }
            Self::Cache(cause) => return of_cache(address)(cause),
        };
        Error::setting(text, problem, remedy)
    }
}

/// The hub is not to be asked.
pub(super) fn offline(address: &HubAddress) -> Error {
    let problem = "is not in the cache, and HF_HUB_OFFLINE is set";
    Error::setting(&address.text, problem, "unset HF_HUB_OFFLINE, or download the file elsewhere and give its path")
}

/// The cache cannot be written.
pub(super) fn of_cache(address: &HubAddress) -> impl Fn(std::io::Error) -> Error {
    let text = address.text.clone();
    move |cause| {
        let problem = format!("cannot be written to the cache ({cause})");
        Error::setting(&text, problem, "make space there, or set HF_HUB_CACHE to another folder")
    }
}
