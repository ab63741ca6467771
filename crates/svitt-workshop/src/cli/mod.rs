//! The command line of `svitt-workshop`.
//!
//! A command is a module with `Args` and `run`.

mod ablations;
mod bench;
mod faults;
mod fuzz;
mod parity;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use svitt::cli::{allocator, program};

/// Prove svitt: parity with published implementations, benchmarks, ablations, damaged files, killed runs.
#[derive(Parser)]
#[command(name = "svitt-workshop", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Parity(Box<parity::Args>),
    Bench(Box<bench::Args>),
    Eval(Box<ablations::Args>),
    Fuzz(Box<fuzz::Args>),
    Faults(Box<faults::Args>),
}

/// The program: parses the process's arguments and runs what they name.
pub fn main() -> ExitCode {
    allocator::keep_pages();
    program::run(std::env::args_os(), |cli: Cli| match cli.command {
        Command::Parity(args) => parity::run(*args),
        Command::Bench(args) => bench::run(*args),
        Command::Eval(args) => ablations::run(*args),
        Command::Fuzz(args) => fuzz::run(*args),
        Command::Faults(args) => faults::run(*args),
    })
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
