//! `svitt data compress`: a folder of videos, re-encoded for training.

use crate::cli::output::{self, JsonArg};
use crate::cli::{progress, terminal::note};
use crate::data::compress_folder;
use crate::limits::{self, count, number};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
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
    #[arg(long, value_name = "PX", default_value_t = 224, value_parser = count(2, 8_192))]
    size: usize,
    /// Frames per second
    #[arg(long, default_value_t = 2.0, value_parser = number(0.01, 1_000.0))]
    fps: f64,
    /// Videos at a time [default: one per processor]
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = count(0, limits::THREADS))]
    jobs: usize,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(args.jobs)
        .build()
        .map_err(|e| Error::setting("--jobs", format!("{} threads cannot be started ({e})", args.jobs), "use fewer"))?;
    let settings = CompressSettings { short_side: args.size, fps: args.fps };
    let progress = progress::shown();
    let tell = |done: usize, all: usize, _: &Path| progress.report("re-encoding videos", done, all);
    let report = pool.install(|| compress_folder(&args.source, &args.out, settings, &tell))?;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let (compressed, skipped, failed) = (report.compressed, report.skipped, report.failed.len());
    output::print(&format!(
        "{compressed} re-encoded ({:.1} MB to {:.1} MB), {skipped} were there already, {failed} failed\n",
        mb(report.bytes_in),
        mb(report.bytes_out)
    ))?;
    args.json.write(&report)?;
    report.failed.iter().for_each(|failed| note(format_args!("failed: {}", failed.reason)));
    match failed {
        0 => Ok(()),
        _ => Err(Error::file(
            &args.source,
            format!("{failed} of its videos could not be re-encoded (listed above)"),
            "remove the causes or leave these videos out, then run this again",
        )),
    }
}
