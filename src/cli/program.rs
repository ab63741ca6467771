//! What every program does around its work: wrong flags, errors and panics become one line on standard error and an
//! exit code.

use super::flags::as_flags;
use super::terminal::{end_bar, note, say};
use super::{logger, outputs, signals};
use crate::limits;
use crate::panics::{capture_panics, catch_backend_panic};
use crate::{Error, Result};
use clap::Parser;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::process::ExitCode;

/// Parses the command line and runs `work`: exit code 0 on success, 130 after a saved interruption, 2 with one error
/// line on standard error otherwise.
pub fn run<A: Parser>(words: impl IntoIterator<Item = OsString>, work: impl FnOnce(A) -> Result<()>) -> ExitCode {
    capture_panics();
    logger::install();
    signals::keep_running_on_full_files();
    let words: Vec<OsString> = words.into_iter().collect();
    // Parsing too: clap checks its own tables with assertions.
    let parsed = match catch_backend_panic("this one", || parse::<A>(&words)) {
        Ok(parsed) => parsed,
        Err(fault) => {
            note(format!("error: {fault}"));
            return ExitCode::from(2);
        }
    };
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(help) if matches!(help.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            say(help.to_string().trim_end());
            return ExitCode::SUCCESS;
        }
        Err(usage) => {
            note(format!("error: {}", usage_message(&usage)));
            return ExitCode::from(2);
        }
    };
    let checked = || {
        check_threads(std::env::var("RAYON_NUM_THREADS").ok())?;
        outputs::check(&words)?;
        work(fetched(words, arguments)?)
    };
    let ended = catch_backend_panic("this one", checked).flatten();
    end_bar();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ Error::Interrupted(_)) => {
            note(as_flags(&error.to_string(), &A::command()));
            ExitCode::from(130)
        }
        // Said already, here or by another process of the job.
        Err(Error::Elsewhere { interrupted }) => ExitCode::from(if interrupted { 130 } else { 2 }),
        Err(error) => {
            note(as_flags(&format!("error: {error}"), &A::command()));
            ExitCode::from(2)
        }
    }
}

/// The arguments in `words`. A negative number after a flag is its value, which has a range of its own to be outside of:
/// taken for a flag, it gets a remedy that does not help.
fn parse<A: Parser>(words: &[OsString]) -> std::result::Result<A, clap::Error> {
    let matches = with_negative_numbers(A::command()).try_get_matches_from(words)?;
    A::from_arg_matches(&matches)
}

fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let takes_values = |arg: clap::Arg| match arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    };
    names
        .iter()
        .fold(command.mut_args(takes_values), |command, name| command.mut_subcommand(name, with_negative_numbers))
}

/// Rayon starts as many threads as this variable of its own says, whatever the flags do.
fn check_threads(variable: Option<String>) -> Result<()> {
    let threads = variable.and_then(|value| value.trim().parse::<usize>().ok());
    match threads {
        Some(threads) if threads > limits::THREADS => {
            let remedy = format!("use {} or fewer, or unset it", limits::THREADS);
            Err(Error::setting("RAYON_NUM_THREADS", format!("is {threads}"), remedy))
        }
        _ => Ok(()),
    }
}

/// `arguments`, which `words` were parsed into, with every `hf://…` among them fetched and replaced by its path: once
/// for all flags that take a path, and only after the command line was found to be right.
#[cfg(feature = "hub")]
fn fetched<A: Parser>(words: Vec<OsString>, arguments: A) -> Result<A> {
    let Some(local) = super::hub::local_words(&words)? else { return Ok(arguments) };
    parse::<A>(&local).map_err(|usage| Error::setting("arguments", usage_message(&usage), "see --help"))
}

#[cfg(not(feature = "hub"))]
fn fetched<A: Parser>(words: Vec<OsString>, arguments: A) -> Result<A> {
    match words.iter().any(|word| word.to_string_lossy().starts_with("hf://")) {
        true => Err(Error::setting("hf://", "this build fetches nothing", "build with --features hub, or give a path")),
        false => Ok(arguments),
    }
}

/// clap's message without its usage lines: the first paragraph and its tip, on one line.
pub fn usage_message(usage: &clap::Error) -> String {
    if usage.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a command is missing; --help lists them".to_owned();
    }
    let message = usage.to_string();
    let paragraphs = message.trim_start_matches("error: ").split("\n\n");
    let parts = paragraphs.take_while(|part| !part.starts_with("Usage:") && !part.starts_with("For more information"));
    let line = parts.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("; ");
    format!("{line}; see --help")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[arg(long)]
        frames: usize,
    }

    #[derive(Debug, Parser)]
    struct Program {
        #[command(subcommand)]
        command: Below,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Below {
        Count(Flags),
    }

    #[test]
    fn negative_numbers_are_values_of_flags() {
        let words = ["x", "count", "--frames", "-2"].map(OsString::from);
        let line = usage_message(&parse::<Program>(&words).unwrap_err());
        assert!(line.contains("invalid value '-2'") && !line.contains("-- -2"), "{line}");
        let words = ["x", "count", "--frames", "2"].map(OsString::from);
        let Below::Count(flags) = parse::<Program>(&words).unwrap().command;
        assert_eq!(flags.frames, 2);
    }

    #[test]
    fn threads_of_the_environment_have_the_range_of_the_flags() {
        let refused = check_threads(Some("3000".into())).unwrap_err().to_string();
        assert!(refused.contains("RAYON_NUM_THREADS") && refused.contains("1024"), "{refused}");
        for fine in [None, Some("2".into()), Some("many".into())] {
            check_threads(fine).unwrap();
        }
    }

    #[test]
    fn wrong_flags_give_one_line() {
        let line = |words: &[&str]| usage_message(&Flags::try_parse_from(words).unwrap_err());
        let unknown = line(&["x", "--frame", "4"]);
        assert!(
            !unknown.contains('\n') && unknown.contains("'--frame'") && unknown.contains("'--frames'"),
            "{unknown}"
        );
        assert!(line(&["x"]).contains("--frames <FRAMES>"), "{}", line(&["x"]));
        assert_eq!(Flags::try_parse_from(["x", "--frames", "4"]).unwrap().frames, 4);
    }
}
