//! Running programs that are ended, or limited, from outside.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use svitt::{Error, Result};

/// What a command has put out when it ended or was killed.
pub struct FinishedProcess {
    pub killed: bool,
    pub success: bool,
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs `command` in `folder` and kills it after `limit`, if it is still running.
pub fn run_killed(command: &mut Command, folder: &Path, limit: Option<Duration>) -> Result<FinishedProcess> {
    run_signalled(command, folder, "KILL", &|elapsed| limit.is_some_and(|limit| elapsed >= limit))
}

/// Runs `command` in `folder` and sends it `signal` once `due` says so of the time it has run, if it is still running.
pub fn run_signalled(
    command: &mut Command,
    folder: &Path,
    signal: &str,
    due: &dyn Fn(Duration) -> bool,
) -> Result<FinishedProcess> {
    let start = Instant::now();
    let mut child = spawn_into(command, folder)?;
    let killed = loop {
        if child.try_wait().map_err(|e| Error::io(folder, &e))?.is_some() {
            break false;
        }
        if due(start.elapsed()) {
            match signal {
                "KILL" => child.kill().map_err(|e| Error::io(folder, &e))?,
                _ => send(signal, &child)?,
            }
            break true;
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    finished(&mut child, folder, killed)
}

/// Starts `command` with its output in files of `folder`.
pub fn spawn_into(command: &mut Command, folder: &Path) -> Result<Child> {
    let file = |name: &str| std::fs::File::create(folder.join(name)).map_err(|e| Error::io(folder.join(name), &e));
    command.stdin(Stdio::null()).stdout(file("out.txt")?).stderr(file("err.txt")?);
    command.spawn().map_err(|e| Error::io(command.get_program(), &e))
}

/// Waits for a child that [`spawn_into`] started.
pub fn finished(child: &mut Child, folder: &Path, killed: bool) -> Result<FinishedProcess> {
    let status = child.wait().map_err(|e| Error::io(folder, &e))?;
    let read = |name| String::from_utf8_lossy(&std::fs::read(folder.join(name)).unwrap_or_default()).into_owned();
    let (success, code) = (status.success(), status.code());
    Ok(FinishedProcess { killed, success, code, out: read("out.txt"), err: read("err.txt") })
}

/// The standard library sends SIGKILL alone; a child that has ended in between is no error.
fn send(signal: &str, child: &Child) -> Result<()> {
    let mut command = Command::new("kill");
    command.args(["-s", signal, &child.id().to_string()]).stderr(Stdio::null());
    command.status().map(drop).map_err(|e| Error::io("kill", &e))
}

/// `command` under `ulimit LIMIT`.
pub fn limited(command: &Command, limit: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!(r#"ulimit {limit}; exec "$0" "$@""#));
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_limited_program_cannot_write_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Command::new("sh");
        writer.args(["-c", "head -c 5000 /dev/zero > \"$1\"; echo $?", "sh"]).arg(folder.path().join("zeros"));
        let full = run_killed(&mut limited(&writer, "-f 8"), folder.path(), None).unwrap();
        assert_eq!((full.out.trim(), full.killed), ("153", false), "head ends by SIGXFSZ: {}", full.err);
        assert!(std::fs::metadata(folder.path().join("zeros")).unwrap().len() < 5000);
        let free = run_killed(&mut limited(&writer, "-f 80"), folder.path(), None).unwrap();
        assert_eq!((free.out.trim(), free.code), ("0", Some(0)), "{}", free.err);
    }

    #[test]
    fn signals_end_a_program() {
        let folder = tempfile::tempdir().unwrap();
        for signal in ["TERM", "KILL"] {
            let mut command = Command::new("sleep");
            let due = |elapsed| elapsed >= Duration::from_millis(50);
            let ended = run_signalled(command.arg("30"), folder.path(), signal, &due).unwrap();
            assert!(ended.killed && ended.code.is_none());
        }
    }
}
