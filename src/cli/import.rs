//! `svitt import`: checkpoints of other programs become checkpoint folders.

use crate::Result;
use crate::cli::output::{self, JsonArg};
use crate::weights::{ImportOptions, import};
use std::path::PathBuf;

/// Take over official SViTT, Singularity, UMT, BEiT or BERT weights
#[derive(clap::Args)]
pub struct Args {
    /// A .pth, .bin or .safetensors file, an index of shards, or a folder with one of them
    checkpoint: PathBuf,
    /// The checkpoint folder to write; nothing is written there unless everything fits
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Convert the position tables to clips of this many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    frames: Option<u16>,
    /// Keys that may be missing, by name or by its beginning up to a dot (text_encoder.cls)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    allow_missing: Vec<String>,
    /// Tensors that may be left over, by name or by its beginning up to a dot
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    allow_unused: Vec<String>,
    /// Make one joint encoder of a model that encodes frames one by one, its position tables extended over time
    #[arg(long)]
    joint: bool,
    /// Make a model for question answering, its decoder from the fusion layers
    #[arg(long)]
    qa: bool,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let options = ImportOptions {
        frames: args.frames.map(usize::from),
        allow_missing: args.allow_missing,
        allow_unused: args.allow_unused,
        joint: args.joint,
        question_answering: args.qa,
    };
    let imported = import(&args.checkpoint, &args.out, &options)?;
    args.json.write(&imported)?;
    output::print(&format!("{imported}\nwritten to       {}\n", args.out.display()))
}
