//! `svitt finetune`: a pretrained checkpoint learns a benchmark.

use crate::backend::{BackendKind, BackendTask, dispatch};
use crate::cli::columns::ColumnArgs;
use crate::cli::program::positive;
use crate::cli::{allocator, output};
use crate::data::{Benchmark, Split};
use crate::eval::DATA_DIR;
use crate::train::{FinetuneOptions, FinetunePreset, FinetuneReport, finetune, place};
use crate::weights::given_or_newest;
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use svitt_ops::TrainBackend;

/// Fine-tune a pretrained checkpoint for retrieval or question answering
#[derive(clap::Args)]
pub struct Args {
    /// msrvtt, didemo, charades, ssv2-label, ssv2-template, msrvtt-qa, anet-qa, agqa, shapes or shapes-qa
    benchmark: String,
    /// Checkpoint folder to start from; the newest under ./runs by default
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// A .toml file of settings; the benchmark's published ones by default
    #[arg(long)]
    preset: Option<PathBuf>,
    /// The training annotations; data/BENCHMARK/ by default
    #[arg(long)]
    annotations: Option<PathBuf>,
    /// Folder of the videos
    #[arg(long)]
    media: Option<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    /// The validation annotations; a validation file beside the training one, or a part held out, by default
    #[arg(long)]
    validation: Option<PathBuf>,
    /// vocab.txt or tokenizer.json; the one beside the weights by default
    #[arg(long)]
    vocab: Option<PathBuf>,
    /// JSON list of answers to choose from; derived from the training answers by default
    #[arg(long)]
    answers: Option<PathBuf>,
    /// Where to write; runs/finetune-BENCHMARK, or a numbered sibling if that exists
    #[arg(long)]
    out: Option<PathBuf>,
    /// Go on with the run in --out
    #[arg(long)]
    resume: bool,
    /// Optimizer steps, at most; the schedule stays as it is
    #[arg(long, value_parser = positive)]
    max_steps: Option<usize>,
    /// Pairs per step
    #[arg(long, value_parser = positive)]
    batch: Option<usize>,
    /// Seed of everything random
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cuda, wgpu, wgpu-wgsl, flex or ndarray; the fastest of this build by default
    #[arg(long)]
    backend: Option<String>,
    /// Also write the report here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

struct Finetune(FinetuneOptions);

impl BackendTask for Finetune {
    type Output = Result<FinetuneReport>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        finetune::<B>(&self.0, &device)
    }
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    allocator::save_memory(true);
    let benchmark: Benchmark = args.benchmark.parse()?;
    refuse_without_files(benchmark, args.annotations.as_deref())?;
    let backend = BackendKind::choose(args.backend.as_deref())?;
    let mut preset = FinetunePreset::load(benchmark, args.preset.as_deref())?;
    preset.stage.batch = args.batch.unwrap_or(preset.stage.batch);
    let checkpoint = given_or_newest(args.checkpoint)?;
    let default = PathBuf::from(format!("runs/finetune-{benchmark}"));
    let out = place(Some(args.out.as_deref().unwrap_or(&default)), args.resume)?;
    output::print(&format!("{}\nwriting to {}\n", preset.description, out.display()))?;
    let options = FinetuneOptions {
        benchmark,
        checkpoint,
        preset,
        annotations: args.annotations,
        media: args.media,
        columns: args.columns.into(),
        validation: args.validation,
        vocab: args.vocab,
        answers: args.answers,
        out: out.to_path_buf(),
        resume: args.resume,
        max_steps: args.max_steps,
        seed: args.seed,
        backend: backend.name().into(),
        stop: crate::cli::signals::listen()?,
    };
    let report = dispatch(backend, Finetune(options))??;
    output::print(&summary(&report))?;
    output::write_json(args.json.as_deref(), &report)
}

fn summary(report: &FinetuneReport) -> String {
    let FinetuneReport { best, best_checkpoint, criterion, benchmark, seconds, .. } = report;
    format!(
        "best validation ({criterion}): {:.2} after step {}, in {best_checkpoint}; mirrored: {}; {seconds:.0} s\n\
         now run: cargo xtask eval {benchmark} --checkpoint {best_checkpoint}\n",
        best.score, best.step, report.flips
    )
}

/// Prints what to obtain where neither flags nor `data/` name a file to learn from.
fn refuse_without_files(benchmark: Benchmark, annotations: Option<&Path>) -> Result<()> {
    let (files, data) = (benchmark.files(), Path::new(DATA_DIR));
    if benchmark.is_generated() || annotations.is_some() || files.locate(data, Split::Train).is_some() {
        return Ok(());
    }
    output::print(&files.instructions(data))?;
    let problem = format!("the training files of {benchmark} are not there");
    Err(Error::file(data.join(files.folder), problem, "obtain those listed above, or give --annotations and --media"))
}
