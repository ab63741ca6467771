//! Finding the `ffmpeg` program, and the options that every call of it shares.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use super::child::{Ended, Listener, limit_memory, run};
use crate::frames::MOST_PIXELS;

/// The variable that names the program.
const VARIABLE: &str = "SVITT_FFMPEG";

/// A program that answered, and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FfmpegProgram {
    path: OsString,
    version: (u32, u32),
}

/// What asking a program for its version gave, by its path and the search path.
type VersionCache = HashMap<(OsString, OsString), Option<FfmpegProgram>>;

/// Programs that were asked already: asking costs 80 ms.
static KNOWN: Mutex<Option<VersionCache>> = Mutex::new(None);

impl FfmpegProgram {
    /// `$SVITT_FFMPEG` if it is set, else `ffmpeg` on the search path.
    ///
    /// # Errors
    /// Where it was looked for.
    pub fn find() -> Result<Self, String> {
        Self::find_named(std::env::var_os(VARIABLE).filter(|value| !value.is_empty()))
    }

    fn find_named(named: Option<OsString>) -> Result<Self, String> {
        let path = named.clone().unwrap_or_else(|| OsString::from("ffmpeg"));
        let key = (path.clone(), std::env::var_os("PATH").unwrap_or_default());
        let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let found = known.get_or_insert_with(HashMap::new).entry(key).or_insert_with(|| Self::ask(path)).clone();
        found.ok_or_else(|| match named {
            None => format!("${VARIABLE} (not set), then `ffmpeg` on PATH"),
            Some(path) => format!("${VARIABLE} ({}, which does not run)", path.to_string_lossy()),
        })
    }

    fn ask(path: OsString) -> Option<Self> {
        let mut command = Command::new(&path);
        command.arg("-version");
        let mut answer = Answer::default();
        let ended = run(command, Duration::from_secs(20), &mut answer).ok()?;
        let version = version(&String::from_utf8_lossy(&answer.0))?;
        matches!(ended, Ended::Finished(_) | Ended::Enough).then_some(Self { path, version })
    }

    /// A command without inputs yet, whose messages begin with their level.
    pub fn command(&self, level: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.args(["-hide_banner", "-nostats", "-v", &format!("level+{level}"), "-nostdin"]);
        command
    }

    /// As [`FfmpegProgram::command`], for decoding: its memory is limited.
    pub fn decoding(&self, level: &str) -> Command {
        let mut command = self.command(level);
        limit_memory(&mut command);
        command
    }

    /// Options that write every decoded picture once; `-vsync` is gone from version 9, `-fps_mode` came with 5.1.
    pub fn passthrough(&self) -> [&'static str; 2] {
        if self.version < (5, 1) { ["-vsync", "0"] } else { ["-fps_mode", "passthrough"] }
    }
}

/// Adds `input`, the name of a file or of a part of one, to be read by `demuxer` and one thread: no other file is opened,
/// whatever this one says, and no picture of more than [`MOST_PIXELS`] is decoded.
pub(crate) fn add_input(command: &mut Command, input: &OsStr, demuxer: &str) {
    add_input_on(command, input, demuxer, 1);
}

/// As [`add_input`], by so many threads.
pub(super) fn add_input_on(command: &mut Command, input: &OsStr, demuxer: &str, threads: usize) {
    command.args(["-threads", &threads.to_string(), "-max_pixels", &MOST_PIXELS.to_string()]);
    command.args(["-protocol_whitelist", "file,subfile", "-format_whitelist", demuxer, "-f", demuxer]);
    command.arg("-i").arg(input);
}

/// Whether the `ffmpeg` program answers.
pub fn ffmpeg_available() -> bool {
    FfmpegProgram::find().is_ok()
}

/// The path as one argument that cannot be taken for an option or a protocol.
pub(crate) fn file_name(path: &Path) -> OsString {
    let mut argument = OsString::from("file:");
    argument.push::<&OsStr>(path.as_ref());
    argument
}

/// The bytes from `start` to `end` (0: to the end) of the file at `path`, as an input of their own.
pub(super) fn part_name(path: &Path, start: u64, end: u64) -> OsString {
    let mut argument = OsString::from(format!("subfile,,start,{start},end,{end},,:"));
    argument.push(file_name(path));
    argument
}

/// The first bytes of what a program writes.
#[derive(Default)]
struct Answer(Vec<u8>);

impl Listener for Answer {
    fn output(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        self.0.len() < 1 << 16
    }

    fn message(&mut self, _: &str) -> bool {
        true
    }

    fn progress(&self) -> usize {
        self.0.len()
    }
}

/// Major and minor version of the first output line; nightly builds, which carry no number, count as new.
fn version(text: &str) -> Option<(u32, u32)> {
    let name = text.strip_prefix("ffmpeg version ")?.split_whitespace().next()?;
    let mut numbers = name.trim_start_matches('n').split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), minor) => Some((major, minor.and_then(Result::ok).unwrap_or(0))),
        _ => Some((u32::MAX, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_releases_distributions_and_nightlies() {
        assert_eq!(version("ffmpeg version 5.1.9-0+deb12u1 Copyright"), Some((5, 1)));
        assert_eq!(version("ffmpeg version n7.0 Copyright"), Some((7, 0)));
        assert_eq!(version("ffmpeg version 4.2.7-0ubuntu0.1 Copyright"), Some((4, 2)));
        assert_eq!(version("ffmpeg version N-109-g0123 Copyright"), Some((u32::MAX, 0)));
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn a_named_program_that_does_not_run_is_not_replaced_by_another() {
        let looked_at = FfmpegProgram::find_named(Some("no-such-folder/ffmpeg".into())).unwrap_err();
        assert_eq!(looked_at, "$SVITT_FFMPEG (no-such-folder/ffmpeg, which does not run)");
    }
}
