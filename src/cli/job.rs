//! The job that a launcher (mpirun, srun) started this process in: joining it, and ending it so that an error is said
//! once.

use super::flags::as_flags;
use super::terminal::{end_bar, note};
use crate::panics::catch_backend_panic;
use crate::train::parallel::Job;
use crate::{Error, Result};
use clap::CommandFactory;

/// Exit code of a job that an error ends.
const FAILED: i32 = 2;

/// Variables that launchers set to the number of processes they start.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// Variables that launchers set to the number of the process, from 0.
const RANKS: [&str; 4] = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID"];

/// Runs `work`, which all processes of the job take part in.
///
/// # Errors
/// What `work` returns; in a job of several, [`Error::Elsewhere`] after its one error was shown.
pub fn run(work: impl FnOnce(&Job) -> Result<()>) -> Result<()> {
    let job = join()?;
    if job.size() == 1 {
        let result = work(&job);
        job.group().finish();
        return result;
    }
    if !job.is_first() {
        // What all would say is process 0's to say.
        log::set_max_level(log::LevelFilter::Off);
    }
    let result = catch_backend_panic("this one", || work(&job)).flatten();
    end_bar();
    let Err(error) = result else {
        job.group().finish();
        return Ok(());
    };
    let said = match &error {
        Error::Interrupted(_) => error.to_string(),
        Error::Process { .. } => format!("error: {error}"),
        Error::Elsewhere { .. } => String::new(),
        _ => format!("error: process {} of {}: {error}", job.rank(), job.size()),
    };
    if !said.is_empty() {
        note(as_flags(&said, &super::Cli::command()));
    }
    let interrupted = matches!(error, Error::Interrupted(_) | Error::Elsewhere { interrupted: true });
    // The others know of these and end by themselves.
    if !interrupted && !matches!(error, Error::Process { .. } | Error::Elsewhere { .. }) {
        job.group().abort(FAILED);
    }
    job.group().finish();
    Err(Error::Elsewhere { interrupted })
}

/// Whether a launcher started this process.
fn launched() -> Option<usize> {
    let number = |name: &&str| std::env::var(name).ok()?.parse().ok();
    let sizes = SIZES.iter().filter_map(number).max();
    sizes.filter(|size| *size > 1).or_else(|| RANKS[..3].iter().find_map(number).and(sizes.or(Some(1))))
}

/// The number of this process, as its launcher says.
fn launched_rank() -> usize {
    RANKS.iter().find_map(|name| std::env::var(name).ok()?.parse().ok()).unwrap_or(0)
}

/// That the launcher's processes do not know of each other; said by one of them.
fn refuse(remedy: &str) -> Error {
    if launched_rank() > 0 {
        // A launcher ends all processes with the first that fails, and process 0 has something to say.
        std::thread::sleep(std::time::Duration::from_secs(1));
        return Error::Elsewhere { interrupted: false };
    }
    let problem = format!("{} processes were started, and each would train on its own", launched().unwrap_or(1));
    Error::setting("mpirun", problem, remedy)
}

/// Refuses where a launcher started several processes, for a command that trains in one.
///
/// # Errors
/// It did.
pub fn require_one_process() -> Result<()> {
    match launched() {
        Some(2..) => Err(refuse("start one process")),
        _ => Ok(()),
    }
}

#[cfg(feature = "mpi")]
fn join() -> Result<Job> {
    let Some(started) = launched() else { return Ok(Job::default()) };
    let job = Job::new(std::sync::Arc::new(crate::train::parallel::MpiProcesses::join()?));
    match job.size() {
        1 if started > 1 => Err(refuse("use the launcher of the MPI library this was built with, or srun --mpi=pmix")),
        _ => Ok(job),
    }
}

#[cfg(not(feature = "mpi"))]
fn join() -> Result<Job> {
    match launched() {
        Some(2..) => Err(refuse("build with --features mpi, or start one process")),
        _ => Ok(Job::default()),
    }
}
