//! `svitt eval`: a checkpoint on a benchmark.

use super::benchmark::refuse_without_files;
use super::output::JsonArg;
use super::{output, progress};
use crate::data::Split;
use crate::eval::Evaluation;
use crate::run::{EvaluateRequest, evaluate, evaluate_shard};
use crate::shard::Shard;
use crate::{Result, files};
use std::path::PathBuf;

/// Evaluate a checkpoint on a benchmark, stating the full protocol
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    request: EvaluateRequest,
    /// Only encode this job's share of the videos, I of N, for `--join`
    #[arg(long, value_name = "I/N", conflicts_with_all = ["join", "no_cache", "dump"])]
    shard: Option<Shard>,
    /// Write a JSON line per query
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let Args { mut request, shard, dump, json } = args;
    let options = &mut request.options;
    refuse_without_files(options.benchmark, Split::Test, options.annotations.as_deref())?;
    dump.iter().try_for_each(|path| output::check_folder(path))?;
    json.check()?;
    options.progress = progress::shown();
    if let Some(shard) = shard {
        let report = evaluate_shard(&request, shard)?;
        output::print(&report.to_string())?;
        return json.write(&report);
    }
    let Evaluation { report, queries } = evaluate(&request)?;
    output::print(&report.to_string())?;
    if let Some(path) = dump {
        files::write(&path, queries.iter().map(|query| format!("{query}\n")).collect::<String>())?;
    }
    json.write(&report)
}
