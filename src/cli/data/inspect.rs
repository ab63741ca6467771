//! `svitt data inspect`: what a manifest holds and which of its videos are missing.

use crate::Result;
use crate::cli::output::{self, JsonArg};
use crate::data::import::Columns;
use crate::data::{Benchmark, InspectOptions, inspect};
use crate::limits::{self, count};
use crate::text::Tokenizer;
use std::path::PathBuf;

/// Say what an annotation file holds and what is missing on disk
#[derive(clap::Args)]
pub struct Args {
    /// The annotation file, in any known format
    file: PathBuf,
    /// The folder of videos
    #[arg(long, value_name = "DIR")]
    media: Option<PathBuf>,
    /// vocab.txt or tokenizer.json, to count texts that are too long
    #[arg(long, value_name = "F")]
    vocab: Option<PathBuf>,
    /// The benchmark the file is meant for
    #[arg(long)]
    benchmark: Option<Benchmark>,
    /// Token limit of a text [default: the benchmark's]
    #[arg(long, value_name = "N", value_parser = count(1, limits::TOKENS))]
    max_length: Option<usize>,
    #[command(flatten)]
    columns: Columns,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let tokenizer = args.vocab.as_deref().map(Tokenizer::read).transpose()?;
    let count = tokenizer.map(|tokenizer| move |text: &str| tokenizer.count(text));
    let options = InspectOptions {
        benchmark: args.benchmark,
        media: args.media.as_deref(),
        tokens: count.as_ref().map(|count| count as &dyn Fn(&str) -> usize),
        max_length: args.max_length,
        columns: args.columns,
    };
    let report = inspect(&args.file, &options)?;
    output::print(&report.to_string())?;
    args.json.write(&report)
}
