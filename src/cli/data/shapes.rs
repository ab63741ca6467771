//! `svitt data shapes`: the synthetic benchmark as video files.

use crate::Result;
use crate::cli::output::{self, JsonArg};
use crate::data::shapes::{ExportOptions, ShapesConfig, ShapesPreset, export};
use crate::limits::{self, count, number};
use std::path::PathBuf;

/// Write the synthetic benchmark as H.264 files with manifests (needs the ffmpeg program)
#[derive(clap::Args)]
pub struct Args {
    /// The folder to write to; files that exist there are kept
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// tiny, default, order, long or long-clips
    #[arg(long, default_value = "default")]
    preset: ShapesPreset,
    /// Training clips beside the held-out gallery
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = count(0, limits::ITEMS))]
    train: usize,
    /// Seed of the training clips
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Frames per second of the files
    #[arg(long, default_value_t = 4.0, value_parser = number(0.01, 1_000.0))]
    fps: f64,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let options = ExportOptions { train: args.train, seed: args.seed, fps: args.fps };
    let report = export(&args.out, &ShapesConfig::preset(args.preset), options)?;
    let (out, test, train) = (args.out.display(), report.test, report.train);
    output::print(&format!("{out}: {test} held-out clips (test.json), {train} training clips (train.json)\n"))?;
    args.json.write(&report)
}
