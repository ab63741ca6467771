//! The command-line program; `cargo xtask` builds and runs it.
//!
//! A command is a module with `Args` and `run`; it joins by its `mod` line and its line in `commands!`.

mod ablations;
mod allocator;
mod bench;
mod budget;
mod data;
mod eval;
mod faults;
mod finetune;
mod fuzz;
mod import;
mod output;
mod parity;
mod profile;
mod visualize;

use clap::Parser;
use std::process::ExitCode;
use svitt::Result;

/// Sparse video-text transformers: evaluate, convert, measure.
#[derive(Parser)]
#[command(name = "svitt", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

macro_rules! commands {
    ($($module:ident => $variant:ident),+ $(,)?) => {
        #[derive(clap::Subcommand)]
        enum Command {
            $($variant(Box<$module::Args>),)+
        }

        impl Command {
            fn run(self) -> Result<()> {
                match self {
                    $(Self::$variant(args) => $module::run(*args),)+
                }
            }
        }
    };
}

commands! {
    bench => Bench,
    profile => Profile,
    data => Data,
    eval => Eval,
    faults => Faults,
    finetune => Finetune,
    fuzz => Fuzz,
    import => Import,
    parity => Parity,
    visualize => Visualize,
}

fn main() -> ExitCode {
    allocator::keep_pages();
    svitt::program::run(|cli: Cli| cli.command.run())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
