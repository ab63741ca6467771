//! `svitt search …`: a folder of your own videos, searched by a sentence or by another video.

mod answer;
mod clip;
mod exchange;
mod speed;

use super::output::{JsonArg, print};
use super::progress;
#[cfg(feature = "serve")]
use crate::progress::StopFlag;
use crate::run::{self, CalibrateRequest, FindRequest, IndexRequest, QueryRequest, SimilarRequest};
use crate::search::{DecodedBy, ErrorRates, IndexReport, printable};
use crate::{Error, Result, printable as shown};
use answer::{Answer, Output};
use clap::Subcommand;
use clip::{ClipArgs, clip};
use exchange::{ExportArgs, ImportIdsArgs, MergeArgs, export, import_ids, merge};
use speed::{SpeedArgs, speed};
use std::path::Path;

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
    /// Write a result of the last search as a video file of its own, by `ffmpeg`
    Clip(ClipArgs),
    /// Put together what `index --shard` made in several jobs
    Merge(MergeArgs),
    /// Write the clips and their vectors for a database: .parquet (feature `parquet`) or .npy
    Export(ExportArgs),
    /// Let the fusion encoder rank clips that a database returned
    ImportIds(ImportIdsArgs),
    /// Choose by a manifest's texts from which score on a result fits
    Calibrate(CalibrateArgs),
    /// Show a page in the browser that searches indexes, and keeps one up to date with folders
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
    let words = match report.words {
        0 => String::new(),
        words => format!(", {words} texts of subtitles ({} files)", report.subtitles),
    };
    format!(
        "{}: {} videos ({} new, {} changed, {} unchanged, {} removed), {} clips{words}, {} broken, {} skipped; {:.1} s \
         (on all threads: decoding {:.1}, resizing {:.1}; encoding {:.1}, writing {:.1}){}",
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
        decoders(report.decoded_by),
    )
}

/// Who decoded how many videos, if any were.
fn decoders(by: DecodedBy) -> String {
    match by {
        DecodedBy { native: 0, ffmpeg: 0 } => String::new(),
        DecodedBy { native, ffmpeg } => format!("; decoded: {native} by the built-in reader, {ffmpeg} by ffmpeg"),
    }
}

/// Results go to standard output, as those of `query`; what was indexed, to standard error.
fn find(mut request: FindRequest, output: &Output) -> Result<()> {
    output.check()?;
    request.index.progress = progress::shown();
    let (report, found, clips) = run::find(&request)?;
    report_unreadable(&report, |line| {
        log::warn!("{line}");
        Ok(())
    })?;
    log::info!("{}", summary(&request.index.base.index, &report));
    let (index, text, title) = (&request.index.base.index, &request.text, format!("“{}”", request.text));
    output.show(&Answer { index, found: &found, query: Some(text), title: &title, clips, nearest: true })
}

fn query(args: QueryArgs) -> Result<()> {
    args.output.check()?;
    args.output.check_narrow(args.request.narrow)?;
    let (found, clips) = run::query(&args.request)?;
    let (index, text) = (&args.request.asked.base.index, &args.request.text);
    let title = format!("“{text}”");
    args.output.show(&Answer { index, found: &found, query: Some(text), title: &title, clips, nearest: args.nearest })
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
    let (found, clips) = run::similar(&args.request)?;
    let (index, title) = (&args.request.asked.base.index, format!("Like {}", shown::path(&args.request.file)));
    args.output.show(&Answer { index, found: &found, query: None, title: &title, clips, nearest: true })
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
        (Some(Command::Clip(args)), _) => clip(&args),
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
