//! `svitt search merge`, `export` and `import-ids`: indexes put together, given to databases, and what these return.

use super::answer::{Answer, Output};
use super::print_line;
use crate::Result;
use crate::cli::output::{JsonArg, check_folder};
use crate::index::{IndexSummary, merge_parts};
use crate::run::{self, ImportIdsRequest};
use crate::search::{self, printable};
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `merge`.
#[derive(clap::Args)]
pub struct MergeArgs {
    /// The index directory to be made
    out: PathBuf,
    /// The index of every shard, in any order
    #[arg(required = true)]
    parts: Vec<PathBuf>,
    #[command(flatten)]
    json: JsonArg,
}

/// Arguments of `export`.
#[derive(clap::Args)]
pub struct ExportArgs {
    /// A file that ends in .parquet or .npy; beside the latter a .json says which row is what
    out: PathBuf,
    /// The index directory
    #[arg(long, default_value = "svitt-index")]
    index: PathBuf,
    #[command(flatten)]
    json: JsonArg,
}

/// Arguments of `import-ids`.
#[derive(clap::Args)]
pub struct ImportIdsArgs {
    #[command(flatten)]
    request: ImportIdsRequest,
    #[command(flatten)]
    output: Output,
}

/// Runs `merge`.
pub fn merge(args: &MergeArgs) -> Result<()> {
    args.json.check()?;
    let IndexSummary { files, clips, broken } = merge_parts(&args.out, &args.parts)?;
    let shards = args.parts.len();
    print_line(format!("{}: {shards} shards, {files} videos, {clips} clips, {broken} broken", printable(&args.out)))?;
    args.json.write(&json!({"shards": shards, "files": files, "clips": clips, "broken": broken}))
}

/// Runs `export`.
pub fn export(args: &ExportArgs) -> Result<()> {
    args.json.check()?;
    check_folder(&args.out)?;
    let report = search::export(&args.index, &args.out)?;
    report.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    print_line(format!("{}: {} clips of {} numbers", printable(&args.out), report.clips, report.dim))?;
    args.json.write(&report)
}

/// Runs `import-ids`.
pub fn import_ids(args: &ImportIdsArgs) -> Result<()> {
    args.output.check()?;
    let (found, clips) = run::import_ids(&args.request)?;
    let (index, text) = (&args.request.asked.base.index, &args.request.text);
    let title = format!("“{text}”");
    args.output.show(&Answer { index, found: &found, query: Some(text), title: &title, clips, nearest: true })
}
