//! `svitt eval`: a checkpoint on a benchmark.

use crate::backend::{BackendKind, BackendTask, dispatch};
use crate::cli::columns::ColumnArgs;
use crate::cli::output;
use crate::config::ClipEnsemble;
use crate::data::{Benchmark, Split};
use crate::eval::{ClipSampling, DATA_DIR, EvalOptions, Evaluation, FrameOrder, evaluate};
use crate::weights::given_or_newest;
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use svitt_ops::TrainBackend;

/// Evaluate a checkpoint on a benchmark, stating the full protocol
#[derive(clap::Args)]
pub struct Args {
    /// msrvtt, didemo, charades, ssv2-label, ssv2-template, msrvtt-qa, anet-qa, agqa, shapes, shapes-qa
    benchmark: String,
    /// Checkpoint folder; the newest under ./runs by default
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// The benchmark's annotations; data/BENCHMARK/ by default
    #[arg(long)]
    annotations: Option<PathBuf>,
    /// Folder of its videos
    #[arg(long)]
    media: Option<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    /// cuda, wgpu, wgpu-wgsl, flex or ndarray; the fastest of this build by default
    #[arg(long)]
    backend: Option<String>,
    /// svitt, singularity or umt: whose evaluation to follow; that of the model's authors by default
    #[arg(long)]
    protocol: Option<String>,
    /// Frames per clip, or per video (frames per clip times clips)
    #[arg(long)]
    frames: Option<usize>,
    /// Clips per video
    #[arg(long)]
    clips: Option<usize>,
    /// contiguous or strided: how frames are assigned to clips
    #[arg(long, default_value = "contiguous")]
    clip_sampling: String,
    /// none, reverse, shuffle or freeze
    #[arg(long, default_value = "none")]
    frame_order: String,
    /// Measure the other frame orders as well (always done for shapes)
    #[arg(long)]
    probes: bool,
    /// Candidates re-ranked per query, or answers scored in full; 128 by default
    #[arg(long)]
    rerank_k: Option<usize>,
    /// lse, mean or max: what joins the clips of a video
    #[arg(long)]
    ensemble: Option<String>,
    /// Ask the first N texts or questions only
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Count videos that cannot be read as misses instead of stopping
    #[arg(long)]
    allow_missing: bool,
    #[command(flatten)]
    budget: crate::cli::budget::Args,
    /// vocab.txt or tokenizer.json; the one beside the weights by default
    #[arg(long)]
    vocab: Option<PathBuf>,
    /// JSON list of answers to choose from; derived from the training answers by default
    #[arg(long)]
    answers: Option<PathBuf>,
    /// Seed of the random edges and of drawn samples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Pairs, texts or questions per forward
    #[arg(long)]
    batch: Option<usize>,
    /// Where encoded videos are kept for later runs
    #[arg(long, default_value = "runs/features")]
    features: PathBuf,
    /// Keep no encoded videos
    #[arg(long)]
    no_cache: bool,
    /// Write a JSON line per query
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

struct Evaluate(EvalOptions);

impl BackendTask for Evaluate {
    type Output = Result<Evaluation>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        evaluate::<B::InnerBackend>(&self.0, &device)
    }
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let benchmark: Benchmark = args.benchmark.parse()?;
    refuse_without_files(benchmark, args.annotations.as_deref())?;
    let backend = BackendKind::choose(args.backend.as_deref())?;
    let (dump, json) = (args.dump.clone(), args.json.clone());
    [&dump, &json].into_iter().flatten().try_for_each(|path| output::check_folder(path))?;
    let options = options(benchmark, backend, args)?;
    crate::terminal::note(format!("{benchmark} with {} on {}", options.checkpoint.display(), options.backend));
    let Evaluation { report, queries } = dispatch(backend, Evaluate(options))??;
    output::print(&report.to_string())?;
    if let Some(path) = dump {
        output::write_whole(&path, &queries.iter().map(|query| format!("{query}\n")).collect::<String>())?;
    }
    output::write_json(json.as_deref(), &report)
}

/// Prints what to obtain where neither flags nor `data/` name a file.
pub fn refuse_without_files(benchmark: Benchmark, annotations: Option<&Path>) -> Result<()> {
    let (files, data) = (benchmark.files(), Path::new(DATA_DIR));
    if benchmark.is_generated() || annotations.is_some() || files.locate(data, Split::Test).is_some() {
        return Ok(());
    }
    output::print(&files.instructions(data))?;
    let problem = format!("the files of {benchmark} are not there");
    Err(Error::file(data.join(files.folder), problem, "obtain those listed above, or give --annotations and --media"))
}

fn options(benchmark: Benchmark, backend: BackendKind, args: Args) -> Result<EvalOptions> {
    Ok(EvalOptions {
        annotations: args.annotations,
        media: args.media,
        columns: args.columns.into(),
        vocab: args.vocab,
        answers: args.answers,
        authors: args.protocol.as_deref().map(str::parse).transpose()?,
        frames: args.frames,
        clips: args.clips,
        sampling: sampling(&args.clip_sampling)?,
        order: args.frame_order.parse::<FrameOrder>()?,
        probes: args.probes || benchmark.is_generated(),
        k: args.rerank_k,
        ensemble: args.ensemble.as_deref().map(ensemble).transpose()?,
        limit: args.limit,
        allow_missing: args.allow_missing,
        budget: args.budget.read()?,
        seed: args.seed,
        batch: args.batch,
        features: (!args.no_cache).then_some(args.features),
        backend: backend.name().into(),
        ..EvalOptions::new(benchmark, given_or_newest(args.checkpoint)?)
    })
}

fn sampling(name: &str) -> Result<ClipSampling> {
    let all = [ClipSampling::Contiguous, ClipSampling::Strided];
    all.into_iter()
        .find(|sampling| sampling.name() == name)
        .ok_or_else(|| Error::setting("--clip-sampling", format!("`{name}` is not known"), "use contiguous or strided"))
}

fn ensemble(name: &str) -> Result<ClipEnsemble> {
    let all = [ClipEnsemble::Lse, ClipEnsemble::Mean, ClipEnsemble::Max];
    all.into_iter()
        .find(|ensemble| ensemble.name() == name)
        .ok_or_else(|| Error::setting("--ensemble", format!("`{name}` is not known"), "use lse, mean or max"))
}
