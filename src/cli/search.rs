//! `svitt search …`: a folder of your own videos, searched by a sentence or by another video.

use super::output::{JsonArg, check_folder, print};
use super::progress;
use crate::limits::{self, count};
use crate::run::{self, IndexRequest, QueryRequest, SimilarRequest};
use crate::search::{QueryResult, measure_search, printable, results_page};
use crate::{Result, printable as shown};
use clap::Subcommand;
use std::path::PathBuf;

/// Search your own videos by what they show.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Embed the videos below a folder; again later, only what is new or changed
    Index(IndexArgs),
    /// List the clips that match a text: rank, score, file, seconds
    Query(QueryArgs),
    /// List the clips most like a video
    Similar(SimilarArgs),
    /// Measure how long a search takes, without any model
    Speed(SpeedArgs),
}

#[derive(clap::Args)]
struct IndexArgs {
    #[command(flatten)]
    request: IndexRequest,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(clap::Args)]
struct QueryArgs {
    #[command(flatten)]
    request: QueryRequest,
    #[command(flatten)]
    output: Output,
}

#[derive(clap::Args)]
struct SimilarArgs {
    #[command(flatten)]
    request: SimilarRequest,
    #[command(flatten)]
    output: Output,
}

/// Where results go besides standard output.
#[derive(clap::Args)]
struct Output {
    /// Write a page with pictures
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(clap::Args)]
struct SpeedArgs {
    /// Clips in the index
    #[arg(long, default_value_t = 10_000, value_parser = count(1, limits::ITEMS))]
    clips: usize,
    /// Numbers of a vector
    #[arg(long, default_value_t = 256, value_parser = count(1, MOST_NUMBERS))]
    dim: usize,
    #[command(flatten)]
    json: JsonArg,
}

/// Numbers of all vectors that are searched in a measurement: 4 GB.
const MOST_NUMBERS: usize = 1_000_000_000;

fn index(args: IndexArgs) -> Result<()> {
    args.json.check()?;
    let request = IndexRequest { progress: progress::shown(), ..args.request };
    let report = run::index(&request)?;
    for (what, file) in report.broken.iter().map(|f| ("broken", f)).chain(report.skipped.iter().map(|f| ("skipped", f)))
    {
        print(&format!("{what}: {}: {}\n", file.media, file.reason))?;
    }
    print(&format!(
        "{}: {} videos ({} new, {} changed, {} unchanged, {} removed), {} clips, {} broken, {} skipped; {:.1} s\n",
        printable(&request.index),
        report.files,
        report.new,
        report.changed,
        report.unchanged,
        report.removed,
        report.clips,
        report.broken.len(),
        report.skipped.len(),
        report.seconds
    ))?;
    args.json.write(&report)
}

fn query(args: QueryArgs) -> Result<()> {
    args.output.check()?;
    let (answer, clips) = run::query(&args.request)?;
    answer.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    args.output.show(&answer, &format!("“{}”", args.request.text), clips)
}

fn similar(args: SimilarArgs) -> Result<()> {
    args.output.check()?;
    let (answer, clips) = run::similar(&args.request)?;
    answer.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    args.output.show(&answer, &format!("Like {}", shown::path(&args.request.file)), clips)
}

impl Output {
    /// Refuses files that cannot be written before the work.
    fn check(&self) -> Result<()> {
        self.html.iter().try_for_each(|path| check_folder(path))?;
        self.json.check()
    }

    fn show(&self, answer: &QueryResult, title: &str, clips: usize) -> Result<()> {
        answer.results.iter().try_for_each(|clip| print(&format!("{}\n", clip.line())))?;
        if let Some(path) = &self.html {
            results_page(title, &format!("The best of {clips} clips."), &answer.results)?.write(path)?;
        }
        self.json.write(&serde_json::json!({"clips": clips, "results": answer.results, "warnings": answer.warnings}))
    }
}

fn speed(args: &SpeedArgs) -> Result<()> {
    limits::check("--clips × --dim", args.clips.saturating_mul(args.dim), 1, MOST_NUMBERS)?;
    let folder = tempfile::Builder::new().prefix("svitt-search-speed-").tempdir();
    let folder = folder.map_err(|e| crate::Error::io(std::env::temp_dir(), &e))?;
    let speed = measure_search(folder.path(), args.clips, args.dim)?;
    print(&format!(
        "{} clips of {} numbers: {:.2} ms a search on one core, {:.0} ms to open the index\n",
        speed.clips, speed.dim, speed.search_ms, speed.open_ms
    ))?;
    args.json.write(&speed)
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Index(args) => index(args),
        Command::Query(args) => query(args),
        Command::Similar(args) => similar(args),
        Command::Speed(args) => speed(&args),
    }
}
