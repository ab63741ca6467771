//! `svitt search …`: a folder of your own videos, searched by a sentence or by another video.

mod exchange;
mod speed;

use super::output::{JsonArg, check_folder, print};
use super::progress;
#[cfg(feature = "serve")]
use crate::progress::StopFlag;
use crate::run::{self, CalibrateRequest, FindRequest, IndexRequest, QueryRequest, SimilarRequest};
use crate::search::{ErrorRates, Fit, IndexReport, QueryResult, printable, results_page};
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
    /// List the clips that match a text, a picture or a video: rank, score, file, seconds
    Query(QueryArgs),
    /// List the clips most like a video
    Similar(SimilarArgs),
    /// Put together what `index --shard` made in several jobs
    Merge(MergeArgs),
    /// Write the clips and their vectors for a database: .parquet (feature `parquet`) or .npy
    Export(ExportArgs),
    /// Let the fusion encoder rank clips that a database returned
    ImportIds(ImportIdsArgs),
    /// Choose by a manifest's texts from which score on a result fits
    Calibrate(CalibrateArgs),
    /// Show a page in the browser that searches an index, and keeps it up to date with a folder
    #[cfg(feature = "serve")]
    Serve(run::ServeRequest),
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
    /// List the nearest clips also where none fits
    #[arg(long)]
    nearest: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(clap::Args)]
struct CalibrateArgs {
    #[command(flatten)]
    request: CalibrateRequest,
    #[command(flatten)]
    json: JsonArg,
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
    print_line(summary(&request.base.index, &report))?;
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
        "{}: {} videos ({} new, {} changed, {} unchanged, {} removed), {} clips, {} broken, {} skipped; {:.1} s \
         (on all threads: decoding {:.1}, resizing {:.1}; encoding {:.1}, writing {:.1})",
        printable(index),
        report.files,
        report.new,
        report.changed,
        report.unchanged,
        report.removed,
        report.clips,
        report.broken.len(),
        report.skipped.len(),
        report.seconds,
        report.spent.decode,
        report.spent.resize,
        report.spent.encode,
        report.spent.write,
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
    log::info!("{}", summary(&request.index.base.index, &report));
    output.show(&answer, Some(&request.text), &format!("“{}”", request.text), clips, true)
}

fn query(args: QueryArgs) -> Result<()> {
    args.output.check()?;
    let (answer, clips) = run::query(&args.request)?;
    let text = &args.request.text;
    args.output.show(&answer, Some(text), &format!("“{text}”"), clips, args.nearest)
}

fn calibrate(args: CalibrateArgs) -> Result<()> {
    args.json.check()?;
    let calibration = run::calibrate(&CalibrateRequest { progress: progress::shown(), ..args.request })?;
    if let Some(figures) = &calibration.figures {
        let rates = [
            ("both encoders", calibration.both, figures.both),
            ("vectors alone", calibration.vectors, figures.vectors),
        ];
        for (by, threshold, ErrorRates { false_answers, misses }) in rates {
            print_line(format!(
                "{by}: a result fits from {threshold:.2} on; on {} other texts {false_answers:.1} % false answers, {misses:.1} % misses",
                figures.measured_on
            ))?;
        }
    }
    args.json.write(&calibration)
}

fn similar(args: SimilarArgs) -> Result<()> {
    args.output.check()?;
    let (answer, clips) = run::similar(&args.request)?;
    args.output.show(&answer, None, &format!("Like {}", shown::path(&args.request.file)), clips, true)
}

impl Output {
    /// Refuses files that cannot be written before the work.
    fn check(&self) -> Result<()> {
        self.html.iter().try_for_each(|path| check_folder(path))?;
        self.json.check()
    }

    /// Shows the `answer` to `query`, or to a video, among `clips` clips; where nothing fits by a measured threshold,
    /// only if the `nearest` are wanted.
    fn show(&self, answer: &QueryResult, query: Option<&str>, title: &str, clips: usize, nearest: bool) -> Result<()> {
        answer.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        let QueryResult { results, warnings, fit } = answer;
        let unfit = fit.filter(|fit| !fit.fits && !results.is_empty());
        if let Some(Fit { evidence, threshold, .. }) = unfit {
            let evidence = evidence
                .map_or_else(String::new, |evidence| format!(" (the nearest has {evidence:.1} of {threshold:.1})"));
            log::warn!("nothing in here fits{evidence}");
        }
        // The usual threshold is a guess for any model but those it was measured on: it says so and hides nothing.
        if nearest || !unfit.is_some_and(|fit| fit.calibrated) {
            results.iter().try_for_each(|clip| print(&format!("{}\n", clip.line())))?;
        } else {
            log::info!("--nearest lists what comes closest");
        }
        if let Some(path) = &self.html {
            results_page(title, &format!("The best of {clips} clips."), results)?.write(path)?;
        }
        let mut report = json!({"query": query, "clips": clips, "results": results, "warnings": warnings});
        if query.is_some() {
            // Of a picture or video nothing is known to judge by.
            let unknown = if results.is_empty() { json!(false) } else { json!(null) };
            report["fits"] = fit.map_or(unknown, |fit| json!(fit.fits));
            report["threshold"] = json!(fit.map(|fit| fit.threshold));
            report["evidence"] = json!(fit.and_then(|fit| fit.evidence));
            report["calibrated"] = json!(fit.is_some_and(|fit| fit.calibrated));
        }
        self.json.write(&report)
    }
}

/// Serves until a signal comes. The address goes to standard output, for scripts that wait for it.
#[cfg(feature = "serve")]
fn serve(request: &run::ServeRequest) -> Result<()> {
    let stop = StopFlag::default();
    super::signals::stop_on_signal(stop.clone())?;
    run::serve(request, &stop, &|listening| {
        print_line(format!("listening on {}", listening.address))?;
        match &listening.token {
            Some(token) => print_line(format!("open it as {}/?token={token}", listening.address)),
            None => Ok(()),
        }
    })
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
        (Some(Command::Calibrate(args)), _) => calibrate(args),
        #[cfg(feature = "serve")]
        (Some(Command::Serve(request)), _) => serve(&request),
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
