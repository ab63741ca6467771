//! Running another program without hanging on it, filling the memory with its output, or leaving it behind.

use std::io::{PipeReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Bytes that are read from a pipe at once; up to [`PIECES`] of them wait to be taken.
const PIECE: usize = 1 << 16;
const PIECES: usize = 8;

/// Bytes of one line of messages that are kept.
const MOST_LINE: usize = 4096;

/// Bytes of memory a decoding child may take: an 8K picture of 10 bits has 100 MB, and decoders keep several.
#[cfg(target_os = "linux")]
const MOST_MEMORY: u64 = 768 << 20;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself; whether it says that it succeeded.
    Finished(bool),
    /// It was stopped, because what it wrote was enough.
    Enough,
    /// It was stopped, because for the whole limit it made no progress.
    Stalled,
}

enum Event {
    Output(Vec<u8>),
    Second(Vec<u8>),
    Messages(Vec<u8>),
}

/// What is done with what a program writes.
pub(crate) trait Listener {
    /// A piece of its output; false: it is enough.
    fn output(&mut self, bytes: &[u8]) -> bool;
    /// A piece of its second output, if it has one; false: it is enough.
    fn second(&mut self, _: &[u8]) -> bool {
        true
    }
    /// A line of its messages; false: it is enough.
    fn message(&mut self, line: &str) -> bool;
    /// A number that changes whenever the program got on: complaints alone are no progress.
    fn progress(&self) -> usize;
}

/// Runs `command` and hands what it writes to `listener`. `stall` is how long it may make no progress.
///
/// Both pipes are drained on threads of their own, so that neither side can wait for the other, and the threads wait for
/// the listener, so that nothing piles up.
pub(crate) fn run(command: Command, stall: Duration, listener: &mut dyn Listener) -> std::io::Result<Ended> {
    run_with(command, Stdio::null(), None, stall, listener)
}

/// As [`run`], for a program that reads no input and writes a second output in its place: to its file number 0.
pub(crate) fn run_with_second(
    command: Command,
    stall: Duration,
    listener: &mut dyn Listener,
) -> std::io::Result<Ended> {
    let (second, input) = std::io::pipe()?;
    run_with(command, Stdio::from(input), Some(second), stall, listener)
}

fn run_with(
    mut command: Command,
    input: Stdio,
    second: Option<PipeReader>,
    stall: Duration,
    listener: &mut dyn Listener,
) -> std::io::Result<Ended> {
    die_with_parent(&mut command);
    let mut child = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // It holds this side's end of the second output, which would never end.
    drop(command);
    let events = drain_all(&mut child, second);
    let mut messages = Lines::default();
    let (mut since, mut progress) = (Instant::now(), listener.progress());
    let ended = loop {
        if listener.progress() != progress {
            (since, progress) = (Instant::now(), listener.progress());
        }
        let more = match events.recv_timeout(stall.saturating_sub(since.elapsed())) {
            Ok(Event::Output(bytes)) => listener.output(&bytes),
            Ok(Event::Second(bytes)) => listener.second(&bytes),
            Ok(Event::Messages(bytes)) => messages.take(&bytes, &mut |line| listener.message(line)),
            Err(RecvTimeoutError::Disconnected) => {
                messages.take(b"\n", &mut |line| listener.message(line));
                break finished(&mut child, stall)?;
            }
            Err(RecvTimeoutError::Timeout) => break Ended::Stalled,
        };
        if !more {
            break Ended::Enough;
        }
    };
    if !matches!(ended, Ended::Finished(_)) {
        // It may have ended in between; either way nothing of it may stay behind.
        let _ = child.kill();
        child.wait()?;
    }
    Ok(ended)
}

/// What comes out of a child's pipes.
fn drain_all(child: &mut Child, second: Option<PipeReader>) -> Receiver<Event> {
    let (sender, events) = sync_channel(PIECES);
    drain(child.stdout.take(), sender.clone(), Event::Output);
    drain(second, sender.clone(), Event::Second);
    drain(child.stderr.take(), sender, Event::Messages);
    events
}

/// Waits for a child whose pipes are closed already.
fn finished(child: &mut Child, limit: Duration) -> std::io::Result<Ended> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Ended::Finished(status.success())),
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            None => return Ok(Ended::Stalled),
        }
    }
}

/// Reads a pipe to its end on a thread of its own.
fn drain(pipe: Option<impl Read + Send + 'static>, sender: SyncSender<Event>, wrap: fn(Vec<u8>) -> Event) {
    std::thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        loop {
            let mut piece = vec![0; PIECE];
            match pipe.read(&mut piece) {
                Ok(count @ 1..) => piece.truncate(count),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                _ => return,
            }
            // The receiver is gone if the program was stopped.
            if sender.send(wrap(piece)).is_err() {
                return;
            }
        }
    });
}

/// Bytes to lines; carriage returns end them too.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], each: &mut dyn FnMut(&str) -> bool) -> bool {
        for byte in bytes {
            if !matches!(byte, b'\n' | b'\r') {
                if self.line.len() < MOST_LINE {
                    self.line.push(*byte);
                }
                continue;
            }
            let whole = self.line.is_empty() || each(&String::from_utf8_lossy(&self.line));
            self.line.clear();
            if !whole {
                return false;
            }
        }
        true
    }
}

/// Limits the memory of a decoding child, so that a small file cannot fill the machine.
pub(crate) fn limit_memory(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let limit = libc::rlimit { rlim_cur: MOST_MEMORY, rlim_max: MOST_MEMORY };
        // SAFETY: between fork and exec only `setrlimit` is called, which is async-signal-safe, on a value of its own.
        unsafe {
            command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// Has the system end the child when the thread that started it ends, for whatever reason: an encoder left behind would
/// go on writing files that the next run uses.
fn die_with_parent(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let parent = std::process::id();
        // SAFETY: between fork and exec only `prctl` and `getppid` are called, which are async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                // The parent may have ended before that.
                let orphan = u32::try_from(libc::getppid()).is_ok_and(|now| now != parent);
                if orphan { Err(std::io::Error::from_raw_os_error(libc::ESRCH)) } else { Ok(()) }
            });
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard {
        output: Vec<u8>,
        lines: Vec<String>,
        enough: usize,
    }

    impl Listener for Heard {
        fn output(&mut self, bytes: &[u8]) -> bool {
            self.output.extend_from_slice(bytes);
            self.enough == 0 || self.output.len() < self.enough
        }

        fn message(&mut self, line: &str) -> bool {
            self.lines.push(line.to_owned());
            true
        }

        fn progress(&self) -> usize {
            self.output.len() + self.lines.iter().filter(|line| line.starts_with("step")).count()
        }
    }

    fn shell(script: &str, stall: u64, heard: &mut Heard) -> Ended {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        limit_memory(&mut command);
        run(command, Duration::from_millis(stall), heard).unwrap()
    }

    #[test]
    fn a_program_that_hangs_is_stopped_and_a_slow_one_is_not() {
        let start = Instant::now();
        assert_eq!(shell("exec sleep 30", 150, &mut Heard::default()), Ended::Stalled);
        assert!(start.elapsed() < Duration::from_secs(10));
        let mut heard = Heard::default();
        let slow = "for i in 1 2 3 4 5 6 7 8; do sleep 0.3; echo step $i >&2; done; echo done; exit 3";
        assert_eq!(shell(slow, 1500, &mut heard), Ended::Finished(false), "2.4 s in all, never 1.5 s of silence");
        assert_eq!((heard.output, heard.lines.len()), (b"done\n".to_vec(), 8));
        let complaining = "while true; do sleep 0.05; echo error >&2; done";
        assert_eq!(shell(complaining, 600, &mut Heard::default()), Ended::Stalled);
    }

    #[test]
    fn a_second_output_is_told_from_the_first() {
        #[derive(Default)]
        struct Both([Vec<u8>; 2]);
        impl Listener for Both {
            fn output(&mut self, bytes: &[u8]) -> bool {
                self.0[0].extend_from_slice(bytes);
                true
            }
            fn second(&mut self, bytes: &[u8]) -> bool {
                self.0[1].extend_from_slice(bytes);
                true
            }
            fn message(&mut self, _: &str) -> bool {
                true
            }
            fn progress(&self) -> usize {
                self.0[0].len() + self.0[1].len()
            }
        }
        let (mut command, mut both) = (Command::new("sh"), Both::default());
        command.args(["-c", "head -c 300000 /dev/zero >&0; echo one; head -c 5 /dev/zero >&0"]);
        assert_eq!(run_with_second(command, Duration::from_secs(20), &mut both).unwrap(), Ended::Finished(true));
        assert_eq!((&both.0[0][..], both.0[1].len()), (&b"one\n"[..], 300_005));
    }

    #[test]
    fn a_program_that_talks_too_much_is_stopped_when_it_is_enough() {
        let mut heard = Heard { enough: 300_000, ..Heard::default() };
        assert_eq!(shell("exec yes", 5000, &mut heard), Ended::Enough);
        assert!(heard.output.len() < 300_000 + PIECE, "{}", heard.output.len());
        let mut heard = Heard::default();
        assert_eq!(
            shell("head -c 100000 /dev/zero | tr '\\0' x >&2; echo >&2", 5000, &mut heard),
            Ended::Finished(true)
        );
        assert_eq!(heard.lines.iter().map(String::len).collect::<Vec<_>>(), [MOST_LINE]);
    }

    /// A child of a thread that ended is gone soon after.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_dies_with_the_thread_that_started_it() {
        let mut command = Command::new("sleep");
        command.arg("60");
        die_with_parent(&mut command);
        let mut child = std::thread::spawn(move || command.spawn().unwrap()).join().unwrap();
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(20), "the child lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
