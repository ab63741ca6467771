//! The command-line program; `cargo xtask` builds and runs it.
//!
//! A command is a module with `Args` and `run`; it joins by its `mod` line and its line in `commands!`.

mod allocator;
mod bench;
mod data;
mod eval;
mod finetune;
mod import;
mod output;
mod parity;
mod profile;
mod visualize;

use clap::{Parser, error::ErrorKind};
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
            $($variant($module::Args),)+
        }

        impl Command {
            fn run(self) -> Result<()> {
                match self {
                    $(Self::$variant(args) => $module::run(args),)+
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
    finetune => Finetune,
    import => Import,
    parity => Parity,
    visualize => Visualize,
}

/// 0 only on success; 2 and one sentence on standard error otherwise.
fn main() -> ExitCode {
    allocator::keep_pages();
    let result = match Cli::try_parse() {
        Ok(cli) => cli.command.run().map_err(|e| e.to_string()),
        Err(help) if matches!(help.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            output::print(&help.to_string()).map_err(|e| e.to_string())
        }
        Err(usage) if usage.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err("a command is missing; --help lists them".to_owned())
        }
        Err(usage) => Err(sentence(&usage.to_string())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            ExitCode::from(2)
        }
    }
}

/// clap's message without its usage lines: the first paragraph and its tip, on one line.
fn sentence(message: &str) -> String {
    let paragraphs = message.trim_start_matches("error: ").split("\n\n");
    let parts = paragraphs.take_while(|part| !part.starts_with("Usage:") && !part.starts_with("For more information"));
    let line = parts.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("; ");
    format!("{line}; see --help")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_flags_give_one_line() {
        let message = Cli::try_parse_from(["svitt", "profile", "--frame", "4"]).err().unwrap().to_string();
        let line = sentence(&message);
        assert!(!line.contains('\n') && line.contains("'--frame'") && line.contains("'--frames'"), "{line}");
        let missing = Cli::try_parse_from(["svitt", "data", "inspect"]).err().unwrap().to_string();
        assert!(sentence(&missing).contains("<FILE>"), "{}", sentence(&missing));
    }
}
