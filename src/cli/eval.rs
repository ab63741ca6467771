//! `svitt eval`: a checkpoint on a benchmark.

use super::benchmark::refuse_without_files;
use super::output::JsonArg;
use super::{output, progress};
use crate::data::Split;
use crate::eval::Evaluation;
use crate::run::{EvaluateRequest, evaluate};
use crate::{Result, files};
use std::path::PathBuf;

/// Evaluate a checkpoint on a benchmark, stating the full protocol
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    request: EvaluateRequest,
    /// Write a JSON line per query
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let Args { mut request, dump, json } = args;
    let options = &mut request.options;
    refuse_without_files(options.benchmark, Split::Test, options.annotations.as_deref())?;
    dump.iter().try_for_each(|path| output::check_folder(path))?;
    json.check()?;
    options.progress = progress::shown();
    let Evaluation { report, queries } = evaluate(&request)?;
    output::print(&report.to_string())?;
    if let Some(path) = dump {
        files::write(&path, queries.iter().map(|query| format!("{query}\n")).collect::<String>())?;
    }
    json.write(&report)
}
