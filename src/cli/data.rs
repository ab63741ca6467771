//! `svitt data …`: what manifests and videos hold, and new ones.

mod bench;
mod compress;
mod frames;
mod inspect;
mod shapes;
mod tempcompass;
mod tokenize;

use crate::Result;

/// Inspect, sample, write, re-encode, time or tokenise data
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Inspect(inspect::Args),
    Frames(frames::Args),
    Shapes(shapes::Args),
    Compress(compress::Args),
    Tempcompass(tempcompass::Args),
    Bench(bench::Args),
    Tokenize(tokenize::Args),
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Inspect(args) => inspect::run(args),
        Command::Frames(args) => frames::run(args),
        Command::Shapes(args) => shapes::run(args),
        Command::Compress(args) => compress::run(args),
        Command::Tempcompass(args) => tempcompass::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Tokenize(args) => tokenize::run(args),
    }
}
