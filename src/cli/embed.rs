//! `svitt embed`: features of a manifest's videos or texts in one file.

use crate::Result;
use crate::backend::{BackendKind, BackendTask, dispatch};
use crate::cli::output;
use crate::eval::EncodeOptions;
use crate::search::{EmbedOptions, Embedder, EmbeddingIndex, embed};
use crate::weights::given_or_newest;
use std::path::PathBuf;
use svitt_ops::TrainBackend;

/// Write the features of a manifest's videos or texts as .safetensors or .npy
#[derive(clap::Args)]
pub struct Args {
    /// Annotations in any known format
    manifest: PathBuf,
    /// Checkpoint folder; the newest under ./runs by default
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// A file that ends in .safetensors or .npy; ids go into a .json beside it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Embed the texts instead of the videos
    #[arg(long)]
    texts: bool,
    /// Folder of the videos; the manifest's by default
    #[arg(long, value_name = "DIR")]
    media: Option<PathBuf>,
    /// Clips per video; the mean of their features is written
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clips: u16,
    /// Videos or texts per forward
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Pass over videos that cannot be read instead of stopping
    #[arg(long)]
    allow_missing: bool,
    /// vocab.txt or tokenizer.json; the one beside the weights by default
    #[arg(long)]
    vocab: Option<PathBuf>,
    /// cuda, wgpu, wgpu-wgsl, flex or ndarray; the fastest of this build by default
    #[arg(long)]
    backend: Option<String>,
}

struct Embed {
    options: EmbedOptions,
    checkpoint: PathBuf,
    vocab: Option<PathBuf>,
}

impl BackendTask for Embed {
    type Output = Result<EmbeddingIndex>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let embedder = Embedder::<B::InnerBackend>::open(&self.checkpoint, self.vocab.as_deref(), &device)?;
        embed(&embedder, &self.options)
    }
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    output::check_folder(&args.out)?;
    let backend = BackendKind::choose(args.backend.as_deref())?;
    let (out, batch) = (args.out.clone(), usize::from(args.batch));
    let encoding = EncodeOptions { allow_missing: args.allow_missing, batch, ..EncodeOptions::default() };
    let options = EmbedOptions {
        manifest: args.manifest,
        media: args.media,
        texts: args.texts,
        out: args.out,
        clips: usize::from(args.clips),
        encoding,
    };
    let checkpoint = given_or_newest(args.checkpoint)?;
    let index = dispatch(backend, Embed { options, checkpoint, vocab: args.vocab })??;
    let [rows, columns] = index.shape;
    output::print(&format!(
        "{}: `{}` [{rows}, {columns}], {} from an earlier run, {} missing; {:.1} s\n",
        out.display(),
        index.tensor,
        index.resumed,
        index.missing.len(),
        index.seconds
    ))
}
