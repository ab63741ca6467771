//! `svitt completions` and `svitt man`: made of the same definitions as the command line.

use super::output;
use crate::{Error, Result};
use clap::Command;
use clap_complete::Shell;

/// Print the completions of a shell: bash, elvish, fish, powershell or zsh
#[derive(clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Print the manual page of the program, or of one of its commands
#[derive(clap::Args)]
pub struct ManArgs {
    /// The command, such as `pretrain` or `search index`
    command: Vec<String>,
}

/// Prints what `args.shell` is to source.
pub fn completions(args: &CompletionsArgs, mut program: Command) -> Result<()> {
    let (name, mut text) = (program.get_name().to_owned(), Vec::new());
    clap_complete::generate(args.shell, &mut program, name, &mut text);
    // Not through the printer of tables: a shell must get every byte of it, however long a line is.
    output::print_raw(&text)
}

/// Prints a page in roff: `svitt man | man -l -`.
pub fn man(args: &ManArgs, mut program: Command) -> Result<()> {
    program.build();
    let mut command = &program;
    for word in &args.command {
        command = command.find_subcommand(word).ok_or_else(|| {
            Error::setting("COMMAND", format!("`{word}` is not a command of {}", command.get_name()), "see --help")
        })?;
    }
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command.clone());
    page.render(&mut text).map_err(|problem| Error::Fault(problem.to_string()))?;
    output::print_raw(&text)
}
