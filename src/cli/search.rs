//! `svitt search …`: a folder of your own videos, searched by a sentence or by another video.

mod exchange;
mod speed;

use super::output::{JsonArg, check_folder, print};
use super::progress;
use crate::run::{self, FindRequest, IndexRequest, QueryRequest, SimilarRequest};
use crate::search::{IndexReport, QueryResult, printable, results_page};
use crate::{Error, Result, printable as shown};
use clap::Subcommand;
use exchange::{ExportArgs, ImportIdsArgs, MergeArgs, export, import_ids, merge};
use serde_json::json;
use speed::{SpeedArgs, speed};
use std::path::{Path, PathBuf};

/// Search your own videos by what they show: `search DIR "TEXT"`, or a command.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    find: FindArgs,
    #[command(flatten)]
    output: Output,
}

/// A folder and a text, where no command is given. clap's own optional groups are never filled where they hold other
/// groups, as this one does.
struct FindArgs(Option<FindRequest>);

impl clap::Args for FindArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        FindRequest::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        FindRequest::augment_args_for_update(command)
    }
}

impl clap::FromArgMatches for FindArgs {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        matches.contains_id("text").then(|| FindRequest::from_arg_matches(matches)).transpose().map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[derive(Subcommand)]
enum Command {
    /// Embed the videos below a folder; again later, only what is new or changed
    Index(IndexArgs),
    /// List the clips that match a text: rank, score, file, seconds
    Query(QueryArgs),
    /// List the clips most like a video
    Similar(SimilarArgs),
    /// Put together what `index --shard` made in several jobs
    Merge(MergeArgs),
    /// Write the clips and their vectors for a database: .parquet (feature `parquet`) or .npy
    Export(ExportArgs),
    /// Let the fusion encoder rank clips that a database returned
    ImportIds(ImportIdsArgs),
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

fn index(args: IndexArgs) -> Result<()> {
    args.json.check()?;
    let request = IndexRequest { progress: progress::shown(), ..args.request };
    let report = run::index(&request)?;
    report_unreadable(&report, print_line)?;
    print_line(summary(&request.index, &report))?;
    args.json.write(&report)
}

/// Passes a line for every video that could not be embedded to `line`.
fn report_unreadable(report: &IndexReport, line: impl Fn(String) -> Result<()>) -> Result<()> {
    for (what, file) in report.broken.iter().map(|f| ("broken", f)).chain(report.skipped.iter().map(|f| ("skipped", f)))
    {
        line(format!("{what}: {}: {}", file.media, file.reason))?;
    }
    Ok(())
}

fn print_line(line: String) -> Result<()> {
    print(&(line + "\n"))
}

/// What became of the files, on one line.
fn summary(index: &Path, report: &IndexReport) -> String {
    format!(
        "{}: {} videos ({} new, {} changed, {} unchanged, {} removed), {} clips, {} broken, {} skipped; {:.1} s",
        printable(index),
        report.files,
        report.new,
        report.changed,
        report.unchanged,
        report.removed,
        report.clips,
        report.broken.len(),
        report.skipped.len(),
        report.seconds
    )
}

/// Results go to standard output, as those of `query`; what was indexed, to standard error.
fn find(mut request: FindRequest, output: &Output) -> Result<()> {
    output.check()?;
    request.index.progress = progress::shown();
    let (report, answer, clips) = run::find(&request)?;
    report_unreadable(&report, |line| {
        log::warn!("{line}");
        Ok(())
    })?;
    log::info!("{}", summary(&request.index.index, &report));
    output.show(&answer, Some(&request.text), &format!("“{}”", request.text), clips)
}

fn query(args: QueryArgs) -> Result<()> {
    args.output.check()?;
    let (answer, clips) = run::query(&args.request)?;
    args.output.show(&answer, Some(&args.request.text), &format!("“{}”", args.request.text), clips)
}

fn similar(args: SimilarArgs) -> Result<()> {
    args.output.check()?;
    let (answer, clips) = run::similar(&args.request)?;
    args.output.show(&answer, None, &format!("Like {}", shown::path(&args.request.file)), clips)
}

impl Output {
    /// Refuses files that cannot be written before the work.
    fn check(&self) -> Result<()> {
        self.html.iter().try_for_each(|path| check_folder(path))?;
        self.json.check()
    }

    /// Shows the `answer` to `query`, or to a video, among `clips` clips.
    fn show(&self, answer: &QueryResult, query: Option<&str>, title: &str, clips: usize) -> Result<()> {
        answer.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        answer.results.iter().try_for_each(|clip| print(&format!("{}\n", clip.line())))?;
        if let Some(path) = &self.html {
            results_page(title, &format!("The best of {clips} clips."), &answer.results)?.write(path)?;
        }
        let QueryResult { results, warnings } = answer;
        self.json.write(&json!({"query": query, "clips": clips, "results": results, "warnings": warnings}))
    }
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    match (args.command, args.find.0) {
        (Some(Command::Index(args)), _) => index(args),
        (Some(Command::Query(args)), _) => query(args),
        (Some(Command::Similar(args)), _) => similar(args),
        (Some(Command::Merge(args)), _) => merge(&args),
        (Some(Command::Export(args)), _) => export(&args),
        (Some(Command::ImportIds(args)), _) => import_ids(&args),
        (Some(Command::Speed(args)), _) => speed(&args),
        (None, Some(request)) => find(request, &args.output),
        (None, None) => Err(Error::setting("search", "has nothing to do", "give a folder and a text, or a command")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Search {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_folder_and_a_text_are_told_from_a_command() {
        let parse = |words: &[&str]| Search::try_parse_from([&["search"], words].concat()).map(|search| search.args);
        let found = parse(&["videos", "a red square", "--top", "3", "--html", "f.html"]).unwrap();
        let (request, html) = (found.find.0.unwrap(), found.output.html.unwrap());
        assert_eq!((request.index.dir, request.text.as_str(), request.top), ("videos".into(), "a red square", 3));
        assert_eq!((request.rerank, html), (16, "f.html".into()));
        let index = parse(&["index", "videos"]).unwrap();
        assert!(matches!(index.command, Some(Command::Index(_))) && index.find.0.is_none());
        for (words, missing) in [(&["videos"][..], "<TEXT>"), (&[], "<DIR>"), (&["index"], "<DIR>")] {
            let message = parse(words).err().unwrap().to_string();
            assert!(message.contains(missing), "{message}");
        }
    }
}
