//! Results as a playlist.

use super::{Entry, ResultList};
use crate::printable::{file_name, one_line};
use crate::search::results::clock;
use std::fmt::Write as _;
use std::path::Path;

/// An entry per result, with VLC's options for where to begin and to end.
pub(super) fn list(title: &str, entries: &[Entry<'_>]) -> ResultList {
    let mut text = String::from("#EXTM3U\n#EXTENC:UTF-8\n");
    let _ = writeln!(text, "#PLAYLIST:{}", one_line(title));
    for entry in entries {
        let [start, end] = entry.span().map(|seconds| seconds.max(0.0));
        let (rank, name) = (entry.rank(), file_name(entry.path()));
        let said = entry.text().map_or_else(String::new, |text| format!(": {text}"));
        let (from, to, length) = (clock(start), clock(end), (end - start).max(0.0));
        let _ = writeln!(text, "#EXTINF:{length:.3},{rank}. {name} ({from} to {to}){said}");
        let _ = writeln!(text, "#EXTVLCOPT:start-time={start:.3}");
        // A picture has no end: it is shown as long as the player shows pictures.
        if end > start {
            let _ = writeln!(text, "#EXTVLCOPT:stop-time={end:.3}");
        }
        let _ = writeln!(text, "{}", address(entry.path()));
    }
    ResultList { text, warnings: Vec::new() }
}

/// `path` as it is, or as a `file:` address where a line of a playlist could not hold it.
fn address(path: &Path) -> String {
    let plain = |name: &&str| {
        !name.chars().any(char::is_control) && name.trim() == *name && !name.starts_with('#') && !name.contains("://")
    };
    path.to_str().filter(plain).map_or_else(|| file_address(path), str::to_owned)
}

/// `path` as an address (RFC 8089), every byte but letters, digits and `-._~/` as `%FF`.
fn file_address(path: &Path) -> String {
    let mut address = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => address.push(*byte as char),
            byte => _ = write!(address, "%{byte:02X}"),
        }
    }
    address
}
