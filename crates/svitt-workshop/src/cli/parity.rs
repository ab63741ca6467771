//! `svitt parity`: a directory of the official implementation's numbers against ours.

use crate::parity;
use std::path::PathBuf;
use svitt::Result;
use svitt::backend::BackendKind;
use svitt::cli::{output, terminal::note};

/// Compare every file of a parity directory to what this implementation computes
#[derive(clap::Args)]
pub struct Args {
    /// The directory, with its cases.json
    directory: PathBuf,
    /// cuda, wgpu, wgpu-wgsl, flex or ndarray [default: the fastest of this build]
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Write the report to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let backend = BackendKind::choose(args.backend.as_deref())?;
    let report = parity::check(&args.directory, backend, |file| {
        let result = if file.pass { "ok" } else { "FAIL" };
        note(format_args!("{result:<4} {}", file.file));
    })?;
    output::print(&report.to_string())?;
    output::write_json(args.json.as_deref(), &report)?;
    if !report.passed {
        // Bad input is 2; numbers that differ are 1.
        std::process::exit(1);
    }
    Ok(())
}
