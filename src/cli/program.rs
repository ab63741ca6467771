//! What every program does around its work: wrong flags, errors and panics become one line on standard error and an
//! exit code.

use super::flags::as_flags;
use super::terminal::{end_bar, note, say};
use super::{logger, outputs};
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
    let words: Vec<OsString> = words.into_iter().collect();
    // Parsing too: clap checks its own tables with assertions.
    let parsed = match catch_backend_panic("this one", || A::try_parse_from(&words)) {
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
    let checked = || outputs::check(&words).and_then(|()| work(fetched(words, arguments)?));
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

/// `arguments`, which `words` were parsed into, with every `hf://…` among them fetched and replaced by its path: once
/// for all flags that take a path, and only after the command line was found to be right.
#[cfg(feature = "hub")]
fn fetched<A: Parser>(words: Vec<OsString>, arguments: A) -> Result<A> {
    let Some(local) = super::hub::local_words(&words)? else { return Ok(arguments) };
    A::try_parse_from(local).map_err(|usage| Error::setting("arguments", usage_message(&usage), "see --help"))
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
