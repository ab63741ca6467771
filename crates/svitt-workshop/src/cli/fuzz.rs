//! `svitt-workshop fuzz`: damaged files for every reader, in processes whose time and memory are limited and watched.

use super::faults::limited;
use crate::fuzz::{FuzzOutcome, Fuzzer, Target};
use serde::Serialize;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use svitt::cli::output;
use svitt::limits;
use svitt::panics::catch_panic;
use svitt::{Error, Result};

/// Limit of processor seconds per file; wall time would report hangs on a busy machine.
const MOST_SECONDS: f64 = 20.0;
/// A reader that waits instead is given up after this long.
const MOST_WAIT: Duration = Duration::from_secs(300);
/// A reader may take this much memory, MB, with the programs it starts; the largest sample has half a megabyte.
const MOST_MEMORY: f64 = 1024.0;

/// Put damaged files to every reader: none may panic, hang, or take memory without bound
#[derive(clap::Args)]
pub struct Args {
    /// manifests, videos, checkpoints, presets, index, vocabularies, shards, configs or subtitles; all by default
    target: Option<String>,
    /// Files per target
    #[arg(long, default_value = "10000", value_parser = limits::count(1, limits::ITEMS))]
    iterations: usize,
    /// Seed of the damage
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write the report to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Read the files from this number on, here, and say so (what the command starts for itself)
    #[arg(long, hide = true)]
    worker: Option<u64>,
}

/// What happened to the files of one target.
#[derive(Debug, Default, Serialize)]
struct FuzzRow {
    target: &'static str,
    files: usize,
    read: usize,
    refused: usize,
    panics: usize,
    hangs: usize,
    /// Processes that died or took too much memory.
    crashes: usize,
    peak_memory_mb: f64,
    seconds: f64,
    /// What went wrong, with the number of the file.
    findings: Vec<String>,
}

#[derive(Serialize)]
struct FuzzReport {
    seed: u64,
    passed: bool,
    targets: Vec<FuzzRow>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let targets = match &args.target {
        Some(name) => vec![name.parse()?],
        None => Target::ALL.to_vec(),
    };
    if let Some(from) = args.worker {
        return targets.into_iter().try_for_each(|target| work(target, args.seed, from..args.iterations as u64));
    }
    let mut rows = Vec::new();
    for target in targets {
        let row = watch(target, args.seed, args.iterations)?;
        output::print(&format!("{}\n", summary(&row)))?;
        rows.push(row);
    }
    let passed = rows.iter().all(|row| row.findings.is_empty());
    output::write_json(args.json.as_deref(), &FuzzReport { seed: args.seed, passed, targets: rows })?;
    if passed { Ok(()) } else { Err(Error::Fault("files listed above were neither read nor refused".into())) }
}

fn summary(row: &FuzzRow) -> String {
    let FuzzRow { target, files, read, refused, panics, hangs, crashes, peak_memory_mb, seconds, findings } = row;
    let mut text = format!(
        "{target}: {files} files, {read} read, {refused} refused; {panics} panics, {hangs} hangs, {crashes} crashes; \
         {peak_memory_mb:.0} MB at most, {seconds:.0} s"
    );
    findings.iter().for_each(|finding| text += &format!("\n  {finding}"));
    text
}

/// Reads the files in this process; a line for each before it is read, and one for what became of it.
fn work(target: Target, seed: u64, files: std::ops::Range<u64>) -> Result<()> {
    let scratch = Scratch::new()?;
    let fuzzer = Fuzzer::new(target, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), &scratch.0)?;
    for number in files {
        output::print(&format!("{number}\n"))?;
        let verdict = catch_panic(|| fuzzer.round(seed, number));
        let word = match verdict {
            Ok(Ok(FuzzOutcome::Read)) => "read".to_owned(),
            Ok(Ok(FuzzOutcome::Refused)) => "refused".to_owned(),
            Ok(Err(error)) => format!("error {error}"),
            Err(panic) => format!("panic {panic}"),
        };
        output::print(&format!("{}\n", word.replace('\n', " ")))?;
    }
    Ok(())
}

/// A folder of this process's own, removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("svitt-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| Error::io(&path, &e))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Starts workers until all files were read, and watches them.
fn watch(target: Target, seed: u64, files: usize) -> Result<FuzzRow> {
    let start = Instant::now();
    let mut row = FuzzRow { target: target.name(), ..FuzzRow::default() };
    while row.files < files {
        let before = row.files;
        let mut worker = spawn(target, seed, row.files, files)?;
        let lines = lines_of(&mut worker);
        let ended = follow(&mut row, &lines, &mut worker);
        let _ = worker.kill();
        let _ = worker.wait();
        let _ = std::fs::remove_dir_all(std::env::temp_dir().join(format!("svitt-fuzz-{}", worker.id())));
        if let Some(finding) = ended {
            row.findings.push(format!("file {} (--seed {seed}): {finding}", row.files.saturating_sub(1)));
        }
        if row.files == before {
            let problem = format!("the worker for {} ended before its first file", target.name());
            return Err(Error::setting("TARGET", problem, "run this in a clone of the repository"));
        }
        if row.findings.len() > 20 {
            break;
        }
    }
    row.seconds = start.elapsed().as_secs_f64();
    Ok(row)
}

fn spawn(target: Target, seed: u64, from: usize, files: usize) -> Result<Child> {
    let program = std::env::current_exe().map_err(|e| Error::io("this program", &e))?;
    let numbers = [("--seed", seed.to_string()), ("--worker", from.to_string()), ("--iterations", files.to_string())];
    let mut command = Command::new(&program);
    command.args(["fuzz", target.name()]).args(numbers.iter().flat_map(|(flag, value)| [*flag, value.as_str()]));
    if cfg!(target_os = "linux") {
        // In KB: an allocation that large is a finding even where its pages are never touched.
        command = limited(&command, &format!("-d {}", MOST_MEMORY as usize * 1024));
        // The allocator otherwise takes a gigabyte before it is asked for one.
        command.env("MIMALLOC_ARENA_EAGER_COMMIT", "0");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().map_err(|e| Error::io(&program, &e))
}

fn lines_of(worker: &mut Child) -> Receiver<String> {
    let (sender, lines) = channel();
    if let Some(out) = worker.stdout.take() {
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(std::result::Result::ok).try_for_each(|l| sender.send(l))
        });
    }
    lines
}

/// Counts the lines of a worker until it ends; returns the reason if it ended early.
fn follow(row: &mut FuzzRow, lines: &Receiver<String>, worker: &mut Child) -> Option<String> {
    let (mut since, mut open, mut busy_before) = (Instant::now(), false, None);
    loop {
        let memory = memory_mb(worker.id()) + children(worker.id()).into_iter().map(memory_mb).sum::<f64>();
        row.peak_memory_mb = row.peak_memory_mb.max(memory);
        if memory > MOST_MEMORY {
            row.crashes += 1;
            return Some(format!("took {memory:.0} MB"));
        }
        match lines.recv_timeout(Duration::from_millis(20)) {
            Ok(line) => {
                (since, busy_before) = (Instant::now(), None);
                open = line.parse::<u64>().is_ok();
                count(row, &line);
            }
            Err(RecvTimeoutError::Timeout) => {
                let busy = busy_seconds(worker.id());
                let before = *busy_before.get_or_insert(busy);
                if open && (busy - before > MOST_SECONDS || since.elapsed() > MOST_WAIT) {
                    row.hangs += 1;
                    return Some(format!("was not read within {MOST_SECONDS} s"));
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                row.crashes += usize::from(open);
                return open.then(|| format!("ended the process, which may have {MOST_MEMORY} MB"));
            }
        }
    }
}

fn count(row: &mut FuzzRow, line: &str) {
    match line.split_once(' ').map_or(line, |(word, _)| word) {
        "read" => row.read += 1,
        "refused" => row.refused += 1,
        "panic" | "error" => {
            row.panics += usize::from(line.starts_with("panic"));
            row.findings.push(format!("file {}: {line}", row.files.saturating_sub(1)));
        }
        _ => row.files += 1,
    }
}

/// Largest resident memory of process `id` so far; 0 where the system does not say.
fn memory_mb(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<f64>().ok()).map_or(0.0, |kb| kb / 1024.0)
}

/// The processes that threads of process `id` have started; none where the system does not list them.
fn children(id: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Processor time of process `id` so far, in seconds; 0 where the system does not say.
fn busy_seconds(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // Fields 14 and 15, user and system, in hundredths of a second; the second field, a name, may hold spaces.
    let fields = status.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
