//! `svitt data compress`: a folder of videos, re-encoded for training.

use crate::cli::output;
use crate::data::compress_folder;
use crate::{Error, Result};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use svitt_video::encode::CompressSettings;

/// Re-encode a folder of videos for training, as Singularity did (needs the ffmpeg program)
#[derive(clap::Args)]
pub struct Args {
    /// The folder of videos, or one video
    source: PathBuf,
    /// The folder to write to; videos that are there already are skipped
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Length of the shorter side, pixels
    #[arg(long, value_name = "PX", default_value_t = 224)]
    size: usize,
    /// Frames per second
    #[arg(long, default_value_t = 2.0)]
    fps: f64,
    /// Videos at a time [default: one per processor]
    #[arg(long, value_name = "N", default_value_t = 0)]
    jobs: usize,
    /// Write the report to this file
    #[arg(long, value_name = "F")]
    json: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(args.jobs)
        .build()
        .map_err(|e| Error::setting("--jobs", format!("{} threads cannot be started ({e})", args.jobs), "use fewer"))?;
    let aim = CompressSettings { short_side: args.size, fps: args.fps };
    let progress = Progress::new();
    let tell = |done: usize, all: usize, path: &Path| progress.tell(done, all, path);
    let report = pool.install(|| compress_folder(&args.source, &args.out, aim, &tell))?;
    progress.end();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let (compressed, skipped, failed) = (report.compressed, report.skipped, report.failed.len());
    output::print(&format!(
        "{compressed} re-encoded ({:.1} MB to {:.1} MB), {skipped} were there already, {failed} failed\n",
        mb(report.bytes_in),
        mb(report.bytes_out)
    ))?;
    output::write_json(args.json.as_deref(), &report)?;
    report.failed.iter().for_each(|failed| crate::terminal::note(format!("failed: {}", failed.reason)));
    match failed {
        0 => Ok(()),
        _ => Err(Error::file(
            &args.source,
            format!("{failed} of its videos could not be re-encoded (listed above)"),
            "fetch them again or leave them out, then run this again",
        )),
    }
}

/// One line that is rewritten on a terminal, a line every ten seconds elsewhere.
struct Progress {
    start: Instant,
    terminal: bool,
    last: std::sync::Mutex<Option<Instant>>,
}

impl Progress {
    fn new() -> Self {
        Self { start: Instant::now(), terminal: std::io::stderr().is_terminal(), last: std::sync::Mutex::new(None) }
    }

    fn tell(&self, done: usize, all: usize, path: &Path) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let pause = Duration::from_millis(if self.terminal { 100 } else { 10_000 });
        if done < all && last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        *last = Some(Instant::now());
        let left = self.start.elapsed().as_secs_f64() / done as f64 * (all - done) as f64;
        let line = format!("{done} of {all}, about {left:.0} s left, {}", path.display());
        match self.terminal {
            true => rewrite(&line),
            false => crate::terminal::note(line),
        }
    }

    fn end(&self) {
        if self.terminal {
            rewrite("");
        }
    }
}

/// Puts `line` in place of the last one.
fn rewrite(line: &str) {
    let mut out = std::io::stderr().lock();
    let _ = write!(out, "\r\x1b[2K{line}").and_then(|()| out.flush());
}
