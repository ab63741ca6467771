//! `svitt search …`: a folder of your own videos, searched by a sentence or by another video.

use crate::backend::{BackendKind, BackendTask, dispatch};
use crate::cli::output::print;
use crate::index::Index;
use crate::search::{
    ClipWindows, Embedder, IndexOptions, IndexReport, QueryOptions, QueryResult, damage_warnings, identify,
    index_folder, indexed_vectors, measure_search, printable, results_page, similar,
};
use crate::train::write_json;
use crate::weights::given_or_newest;
use crate::{Error, Result};
use clap::Subcommand;
use std::path::{Path, PathBuf};
use svitt_ops::TrainBackend;

/// Search your own videos by what they show.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Embed the videos below a folder; again later, only what is new or changed
    Index(IndexArguments),
    /// List the clips that match a text: rank, score, file, seconds
    Query(QueryArguments),
    /// List the clips most like a video
    Similar(SimilarArguments),
    /// Measure how long a search takes, without any model
    Speed(SpeedArguments),
}

/// What all commands with a model share.
#[derive(clap::Args, Clone)]
struct Common {
    /// The index directory
    #[arg(long, default_value = "svitt-index")]
    index: PathBuf,
    /// Checkpoint folder; the newest under ./runs by default
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// vocab.txt or tokenizer.json; the one beside the weights by default
    #[arg(long)]
    vocab: Option<PathBuf>,
    /// cuda, wgpu, wgpu-wgsl, flex or ndarray; the fastest of this build by default
    #[arg(long)]
    backend: Option<String>,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How videos are cut.
#[derive(clap::Args, Clone, Copy)]
struct Cut {
    /// Length of a clip; a shorter video is one clip
    #[arg(long, default_value_t = 10.0)]
    clip_seconds: f64,
    /// Share of a clip that the next one shows again, 0 to 0.95
    #[arg(long, default_value_t = 0.5)]
    overlap: f64,
}

#[derive(clap::Args, Clone)]
struct IndexArguments {
    /// Folder of videos, or one video
    dir: PathBuf,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    cut: Cut,
    /// Clips per forward
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Decoding threads; one per core by default
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(clap::Args, Clone)]
struct QueryArguments {
    /// What the clip should show
    #[arg(allow_hyphen_values = true)]
    text: String,
    #[command(flatten)]
    common: Common,
    /// Results
    #[arg(long, default_value_t = 10)]
    top: usize,
    /// Best clips that the fusion encoder looks at again; 0 for none
    #[arg(long, value_name = "K", default_value_t = 16)]
    rerank: usize,
    /// Write a page with pictures
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(clap::Args, Clone)]
struct SimilarArguments {
    /// A video, in the index or not
    file: PathBuf,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    cut: Cut,
    /// Results
    #[arg(long, default_value_t = 10)]
    top: usize,
    /// Write a page with pictures
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(clap::Args, Clone)]
struct SpeedArguments {
    /// Clips in the index
    #[arg(long, default_value_t = 10_000)]
    clips: usize,
    /// Numbers of a vector
    #[arg(long, default_value_t = 256)]
    dim: usize,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What needs a model.
enum Job {
    Index(IndexArguments, PathBuf),
    Query(QueryArguments, PathBuf, Index),
    Embed(SimilarArguments, PathBuf),
}

enum Outcome {
    Indexed(IndexReport),
    Answered(QueryResult),
    Embedded(Vec<Vec<f32>>),
}

impl BackendTask for Job {
    type Output = Result<Outcome>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let open = |folder: &Path, common: &Common| {
            Embedder::<B::InnerBackend>::open(folder, common.vocab.as_deref(), &device)
        };
        match self {
            Self::Index(args, folder) => {
                let embedder = open(&folder, &args.common)?;
                let options = IndexOptions {
                    folder: args.dir,
                    index: args.common.index,
                    clip_windows: ClipWindows::new(args.cut.clip_seconds, args.cut.overlap, embedder.frames())?,
                    batch: args.batch,
                    threads: args
                        .threads
                        .unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from)),
                };
                index_folder(&embedder, &options).map(Outcome::Indexed)
            }
            Self::Query(args, folder, index) => {
                let options = QueryOptions { top: args.top, rerank: args.rerank };
                open(&folder, &args.common)?.query(&index, &args.text, options).map(Outcome::Answered)
            }
            Self::Embed(args, folder) => {
                let embedder = open(&folder, &args.common)?;
                let clip_windows = ClipWindows::new(args.cut.clip_seconds, args.cut.overlap, embedder.frames())?;
                embedder.embed_video(&args.file, &clip_windows).map(Outcome::Embedded)
            }
        }
    }
}

fn with_model(common: &Common, job: Job) -> Result<Outcome> {
    dispatch(BackendKind::choose(common.backend.as_deref())?, job)?
}

fn index(args: IndexArguments) -> Result<()> {
    std::fs::metadata(&args.dir).map_err(|e| Error::io(&args.dir, &e))?;
    let folder = given_or_newest(args.common.checkpoint.clone())?;
    let (common, index) = (args.common.clone(), printable(&args.common.index));
    let Outcome::Indexed(report) = with_model(&common, Job::Index(args, folder))? else { return Ok(()) };
    for (what, file) in report.broken.iter().map(|f| ("broken", f)).chain(report.skipped.iter().map(|f| ("skipped", f)))
    {
        say(&format!("{what}: {}: {}", file.media, file.reason))?;
    }
    say(&format!(
        "{index}: {} videos ({} new, {} changed, {} unchanged, {} removed), {} clips, {} broken, {} skipped; {:.1} s",
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
    common.json.map_or(Ok(()), |path| write_json(&path, &report))
}

fn query(args: QueryArguments) -> Result<()> {
    let index = Index::open(&args.common.index)?;
    let folder = given_or_newest(args.common.checkpoint.clone())?;
    index.require(&identify(&folder, args.common.vocab.as_deref())?)?;
    let (common, clips) = (args.common.clone(), index.clips());
    let (title, html) = (format!("“{}”", args.text), args.html.clone());
    let Outcome::Answered(answer) = with_model(&common, Job::Query(args, folder, index))? else { return Ok(()) };
    show(&answer, &title, clips, html.as_deref(), common.json.as_deref())
}

fn find_similar(args: SimilarArguments) -> Result<()> {
    let index = Index::open(&args.common.index)?;
    let vectors = match indexed_vectors(&index, &args.file) {
        Some(vectors) => vectors,
        None => {
            let folder = given_or_newest(args.common.checkpoint.clone())?;
            index.require(&identify(&folder, args.common.vocab.as_deref())?)?;
            let Outcome::Embedded(vectors) = with_model(&args.common, Job::Embed(args.clone(), folder))? else {
                return Ok(());
            };
            vectors
        }
    };
    let results = similar(&index, &args.file, &vectors, args.top)?;
    let answer = QueryResult { results, warnings: damage_warnings(&index) };
    let title = format!("Like {}", printable(&args.file));
    show(&answer, &title, index.clips(), args.html.as_deref(), args.common.json.as_deref())
}

fn show(answer: &QueryResult, title: &str, clips: usize, html: Option<&Path>, json: Option<&Path>) -> Result<()> {
    answer.warnings.iter().for_each(|warning| crate::terminal::note(format!("warning: {warning}")));
    answer.results.iter().try_for_each(|clip| say(&clip.line()))?;
    if let Some(path) = html {
        results_page(title, &format!("The best of {clips} clips."), &answer.results)?.write(path)?;
    }
    json.map_or(Ok(()), |path| {
        let report = serde_json::json!({"clips": clips, "results": answer.results, "warnings": answer.warnings});
        write_json(path, &report)
    })
}

fn speed(args: &SpeedArguments) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("svitt-search-speed-{}", std::process::id()));
    let measured = measure_search(&folder, args.clips.max(1), args.dim.max(1));
    // Nothing is lost if the system's temporary folder keeps it.
    let _ = std::fs::remove_dir_all(&folder);
    let speed = measured?;
    say(&format!(
        "{} clips of {} numbers: {:.2} ms a search on one core, {:.0} ms to open the index",
        speed.clips, speed.dim, speed.search_ms, speed.open_ms
    ))?;
    args.json.as_deref().map_or(Ok(()), |path| write_json(path, &speed))
}

/// A line on standard output.
fn say(line: &str) -> Result<()> {
    print(&format!("{line}\n"))
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Index(args) => index(args),
        Command::Query(args) => query(args),
        Command::Similar(args) => find_similar(args),
        Command::Speed(args) => speed(&args),
    }
}
