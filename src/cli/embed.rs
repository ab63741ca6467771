//! `svitt embed`: features of a manifest's videos or texts in one file.

use super::output::{check_folder, print};
use super::progress;
use crate::Result;
use crate::printable as shown;
use crate::run::{self, EmbedRequest};

/// Write the features of a manifest's videos or texts as .safetensors or .npy
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    request: EmbedRequest,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    check_folder(&args.request.out)?;
    let request = EmbedRequest { progress: progress::shown(), ..args.request };
    let index = run::embed(&request)?;
    let [rows, columns] = index.shape;
    print(&format!(
        "{}: `{}` [{rows}, {columns}], {} from an earlier run, {} missing; {:.1} s\n",
        shown::path(&request.out),
        index.tensor,
        index.resumed,
        index.missing.len(),
        index.seconds
    ))
}
