//! `svitt-workshop faults`: programs are killed at random moments, their disks fill up, their folders are deleted; they
//! must say so and go on without loss. The moments are drawn from a seed.

mod compress;
mod deleted;
mod disk;
mod evaluation;
mod index;
mod process;
mod training;

pub use process::limited;
use process::{FinishedProcess, finished, run_killed, run_signalled, spawn_into};

use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use svitt::cli::output;
use svitt::limits::{self, count};
use svitt::{Error, Result};
use svitt_ops::rng::Rng;

/// Kill programs, fill their disks and delete their folders at random moments; nothing reported as saved may be lost
#[derive(clap::Args)]
pub struct Args {
    /// pretrain, finetune, index, eval, compress, disk or deleted; all by default
    target: Option<String>,
    /// Faults per target
    #[arg(long, default_value = "50", value_parser = count(1, limits::ITEMS))]
    rounds: usize,
    /// Seed of the moments
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write the report to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Index invented clips into this directory, saying what was saved (what the command starts for itself)
    #[arg(long, hide = true)]
    index_worker: Option<PathBuf>,
}

/// The result of one target.
#[derive(Debug, Default, Serialize)]
pub struct FaultRow {
    target: &'static str,
    /// Kills that came before the program had ended, disks that were full, folders that were deleted.
    faults: usize,
    /// Kills that came while a file was being written (a temporary name was there).
    mid_write: usize,
    /// Runs that were brought to their end afterwards.
    resumed: usize,
    /// What was lost or differed.
    losses: Vec<String>,
    seconds: f64,
}

#[derive(Serialize)]
struct FaultReport {
    seed: u64,
    passed: bool,
    targets: Vec<FaultRow>,
}

/// A target: kills so many times, with these draws, in its own folder.
type KillTest = fn(&FaultContext, &mut FaultRow) -> Result<()>;

const KILL_TESTS: [(&str, KillTest); 7] = [
    ("pretrain", training::pretrain),
    ("finetune", training::finetune),
    ("index", index::index),
    ("eval", evaluation::eval),
    ("compress", compress::compress),
    ("disk", disk::disk),
    ("deleted", deleted::deleted),
];

/// Where kill tests run.
pub struct FaultContext {
    folder: PathBuf,
    rounds: usize,
    seed: u64,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    if let Some(folder) = &args.index_worker {
        return index::work(folder);
    }
    let wanted = |name: &str| args.target.as_deref().is_none_or(|target| target == name);
    let trials: Vec<_> = KILL_TESTS.into_iter().filter(|(name, _)| wanted(name)).collect();
    if trials.is_empty() {
        let names = KILL_TESTS.map(|(name, _)| name).join(", ");
        return Err(Error::setting("TARGET", "names nothing to disturb", format!("use one of {names}")));
    }
    let mut rows = Vec::new();
    for (target, kill_test) in trials {
        let start = Instant::now();
        let folder = std::env::temp_dir().join(format!("svitt-faults-{}-{target}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
        let mut row = FaultRow { target, ..FaultRow::default() };
        let outcome =
            kill_test(&FaultContext { folder: folder.clone(), rounds: args.rounds, seed: args.seed }, &mut row);
        if outcome.is_ok() && row.losses.is_empty() {
            let _ = std::fs::remove_dir_all(&folder);
        }
        outcome?;
        row.seconds = start.elapsed().as_secs_f64();
        output::print(&summary(&row))?;
        rows.push(row);
    }
    let passed = rows.iter().all(|row| row.losses.is_empty());
    output::write_json(args.json.as_deref(), &FaultReport { seed: args.seed, passed, targets: rows })?;
    if passed { Ok(()) } else { Err(Error::Fault("faults lost what is listed above".into())) }
}

fn summary(row: &FaultRow) -> String {
    let FaultRow { target, faults, mid_write, resumed, losses, seconds } = row;
    let mut text = format!(
        "{target}: {faults} faults ({mid_write} while a file was being written), {resumed} runs brought to their end, \
         {} losses; {seconds:.0} s\n",
        losses.len()
    );
    losses.iter().for_each(|loss| text += &format!("  {loss}\n"));
    text
}

impl FaultContext {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn rng(&self, round: usize) -> Rng {
        Rng::new(self.seed, &[round as u64])
    }
}

/// This program.
fn this_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|e| Error::io("this program", &e))
}

/// `svitt`, which lies beside this program.
fn svitt() -> Result<Command> {
    let program = this_program()?.with_file_name(format!("svitt{}", std::env::consts::EXE_SUFFIX));
    if program.exists() {
        return Ok(Command::new(program));
    }
    Err(Error::file(program, "is not there", "build it with `cargo build --release --bin svitt`"))
}

/// Fails if a run that was not killed fails.
fn must_succeed(ended: &FinishedProcess, what: &str) -> Result<()> {
    if ended.success { Ok(()) } else { Err(Error::Fault(format!("{what}: {}", ended.err.trim()))) }
}

/// A random moment of a run that takes `whole`; every other time the next one from there on at which a file is
/// `being_written`, which few moments are.
fn moment(whole: Duration, rng: &mut Rng, being_written: impl Fn() -> bool) -> impl Fn(Duration) -> bool {
    let (from, aimed) = (whole.mul_f64(rng.between(0.02, 1.0)), rng.below(2) == 1);
    move |elapsed| elapsed >= from && (!aimed || being_written())
}

/// Whether files lie in `folder` under temporary names: it was being written.
fn has_partial_files(folder: &Path) -> bool {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    names.into_iter().any(|path| is_partial(&path))
}

/// Whether `path` is a temporary name: of an output, or of a video.
fn is_partial(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(svitt::files::PARTIAL) || name.contains(".part.")
}

/// Every file below `folder`.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
