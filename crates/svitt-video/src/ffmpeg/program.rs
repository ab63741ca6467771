//! Finds the `ffmpeg` program and runs it with a time limit.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The variable that names the program.
const VARIABLE: &str = "SVITT_FFMPEG";

/// Bytes of standard error that are kept.
const STDERR_BYTES: usize = 2048;

/// An ffmpeg that runs, and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FfmpegProgram {
    path: OsString,
    version: (u32, u32),
}

/// Output of a finished process.
pub(crate) struct ProcessOutput {
    /// Whether the program said that it succeeded.
    pub success: bool,
    pub stdout: Vec<u8>,
    /// The last 2 KB.
    pub stderr: String,
}

/// What asking a program for its version gave, by its path and the search path.
type VersionCache = HashMap<(OsString, OsString), Option<FfmpegProgram>>;

/// Cached versions: asking costs 80 ms.
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
        let outcome = run(command, Duration::from_secs(20)).ok()??;
        let version = version(&String::from_utf8_lossy(&outcome.stdout))?;
        Some(Self { path, version })
    }

    /// A command that reads `inputs` (options before each, then the path) and then obeys `rest`.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(["-v", "error", "-nostdin", "-threads", "1"]);
        command
    }

    /// Options that write every decoded picture once; `-vsync` is gone from version 9, `-fps_mode` came with 5.1.
    pub(crate) fn passthrough(&self) -> [&'static str; 2] {
        if self.version < (5, 1) { ["-vsync", "0"] } else { ["-fps_mode", "passthrough"] }
    }

    /// Options that keep the time base of the file.
    pub(super) fn file_time_base(&self) -> [&'static str; 2] {
        ["-enc_time_base", if self.version < (7, 0) { "-1" } else { "demux" }]
    }
}

/// Whether the `ffmpeg` program answers.
pub fn ffmpeg_available() -> bool {
    FfmpegProgram::find().is_ok()
}

/// The path as one argument that cannot be taken for an option or a protocol.
pub(crate) fn input(path: &std::path::Path) -> OsString {
    let mut argument = OsString::from("file:");
    argument.push::<&OsStr>(path.as_ref());
    argument
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

/// Runs `command` to its end. `Ok(None)`: it took longer than `limit` and was stopped.
///
/// Both pipes are read on their own threads, so that the child can never block on a full pipe.
pub(crate) fn run(mut command: Command, limit: Duration) -> std::io::Result<Option<ProcessOutput>> {
    let deadline = Instant::now() + limit;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (drain(child.stdout.take(), usize::MAX), drain(child.stderr.take(), STDERR_BYTES));
    let left = || deadline.saturating_duration_since(Instant::now());
    let output = stdout.recv_timeout(left()).and_then(|out| Ok((out, stderr.recv_timeout(left())?)));
    let status = output.is_ok().then(|| finished(&mut child, deadline)).flatten();
    match (output, status) {
        (Ok((stdout, stderr)), Some(success)) => {
            let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
            Ok(Some(ProcessOutput { success, stdout, stderr }))
        }
        _ => {
            // It may have ended in between; either way nothing of it may stay behind.
            let _ = child.kill();
            child.wait()?;
            Ok(None)
        }
    }
}

/// Waits for a child whose pipes are closed already, and says whether it succeeded.
fn finished(child: &mut Child, deadline: Instant) -> Option<bool> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            _ => return None,
        }
    }
}

/// Reads a pipe to its end on a thread and hands over the last `keep` bytes.
fn drain(pipe: Option<impl Read + Send + 'static>, keep: usize) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut data = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        if let Some(mut pipe) = pipe {
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                data.extend_from_slice(&buffer[..count]);
                let excess = if data.len() / 2 > keep { data.len() - keep } else { 0 };
                data.drain(..excess);
            }
        }
        let excess = data.len().saturating_sub(keep);
        data.drain(..excess);
        // The receiver is gone if the program was stopped for taking too long.
        let _ = sender.send(data);
    });
    receiver
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

    #[cfg(unix)]
    #[test]
    fn a_hanging_program_is_stopped_and_long_output_is_read() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 30"]);
        let start = Instant::now();
        assert!(run(command, Duration::from_millis(150)).unwrap().is_none());
        assert!(start.elapsed() < Duration::from_secs(10));
        let mut command = Command::new("sh");
        command.args(["-c", "yes fine | head -c 300000 >&2; echo done"]);
        let outcome = run(command, Duration::from_secs(30)).unwrap().unwrap();
        assert_eq!(outcome.stdout, b"done\n");
        assert!(outcome.stderr.len() <= STDERR_BYTES && outcome.stderr.len() > STDERR_BYTES - 8);
    }
}
