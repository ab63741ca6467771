//! The command line of `svitt`: arguments, progress, printing, exit codes. The only room that prints.
//!
//! A command is a module with `Args` and `run`; it joins by its `mod` line and its line in `commands!`.

pub mod allocator;
mod benchmark;
mod data;
mod embed;
mod eval;
mod finetune;
mod flags;
#[cfg(feature = "hub")]
mod hub;
mod import;
pub mod job;
mod logger;
mod manual;
pub mod output;
mod outputs;
mod pretrain;
mod profile;
pub mod program;
pub mod progress;
mod search;
pub mod signals;
pub mod terminal;
mod visualize;

use crate::Result;
use clap::{CommandFactory, Parser};
use std::ffi::OsString;
use std::process::ExitCode;

/// Sparse video-text transformers: train, evaluate, search.
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
            Completions(manual::CompletionsArgs),
            Man(manual::ManArgs),
        }

        impl Command {
            fn run(self) -> Result<()> {
                match self {
                    $(Self::$variant(args) => $module::run(*args),)+
                    Self::Completions(args) => manual::completions(&args, Cli::command()),
                    Self::Man(args) => manual::man(&args, Cli::command()),
                }
            }
        }
    };
}

commands! {
    pretrain => Pretrain,
    finetune => Finetune,
    eval => Eval,
    search => Search,
    embed => Embed,
    visualize => Visualize,
    import => Import,
    data => Data,
    profile => Profile,
}

/// The program: parses the process's arguments and runs what they name.
pub fn main() -> ExitCode {
    start(std::env::args_os())
}

/// The program with `name` as its command: what the examples of that name are.
pub fn command(name: &str) -> ExitCode {
    let given = std::env::args_os().skip(1);
    start([OsString::from("svitt"), OsString::from(name)].into_iter().chain(given))
}

fn start(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    allocator::keep_pages();
    program::run(words, |cli: Cli| cli.command.run())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
