//! What a hub's answers mean to a person.

use super::address::HubAddress;
use crate::Error;
use hf_hub::api::sync::ApiError;

const OFFLINE: &str =
    "download the file elsewhere and give its path, or set HF_ENDPOINT to a mirror that can be reached";

/// The error of a request for `address` to the hub at `endpoint`.
pub(super) fn of_api(address: &HubAddress, endpoint: &str, cause: &ApiError) -> Error {
    match cause {
        ApiError::RequestError(request) => of_request(address, endpoint, request),
        ApiError::IoError(io) => of_cache(address, &io.to_string()),
        ApiError::LockAcquisition(path) => {
            let problem = format!("another program is fetching it (it holds {})", path.display());
            Error::setting(&address.text, problem, "wait for it, and run this again")
        }
        other => {
            let problem = format!("{endpoint} does not answer as a hub does ({other})");
            Error::setting(&address.text, problem, OFFLINE)
        }
    }
}

fn of_request(address: &HubAddress, endpoint: &str, cause: &ureq::Error) -> Error {
    let HubAddress { text, repository, revision, file, .. } = address;
    match cause {
        ureq::Error::StatusCode(404) => {
            let what = file.as_deref().map_or_else(String::new, |file| format!(" with a file {file}"));
            let problem = format!("{endpoint} has no {repository} at revision {revision}{what}");
            Error::setting(text, problem, "check owner, name, file and revision")
        }
        ureq::Error::StatusCode(401 | 403) => {
            let problem = format!("{endpoint} does not show it without permission, or it does not exist");
            let remedy = "check the name; if its terms must be accepted, do so on its page and set HF_TOKEN";
            Error::setting(text, problem, remedy)
        }
        other => unreachable(address, endpoint, &other.to_string()),
    }
}

/// The hub could not be asked, because of `cause`.
pub(super) fn unreachable(address: &HubAddress, endpoint: &str, cause: &str) -> Error {
    let problem = format!("{endpoint} cannot be reached ({cause}), and the cache does not hold it");
    Error::setting(&address.text, problem, OFFLINE)
}

/// The cache cannot be written, because of `cause`.
pub(super) fn of_cache(address: &HubAddress, cause: &str) -> Error {
    let problem = format!("cannot be written to the cache ({cause})");
    Error::setting(&address.text, problem, "make space there, or set HF_HUB_CACHE to another folder")
}
