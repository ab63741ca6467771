//! The library names its options as fields (`allow_missing`); on a command line they are flags (`--allow-missing`).

use clap::{Arg, Command};

/// `message` as the command line spells it: a setting that is a flag of `command`, and every "option `NAME`".
pub fn as_flags(message: &str, command: &Command) -> String {
    let mut names = Vec::new();
    collect(command, &mut names);
    let mut message = message.to_owned();
    for flag in names {
        let field = flag.replace('-', "_");
        message = message.replacen(&format!("setting `{field}`:"), &format!("setting `--{flag}`:"), 1);
        message = message.replace(&format!("option `{field}`"), &format!("--{flag}"));
    }
    message
}

/// The long names of all flags of `command` and its subcommands.
fn collect(command: &Command, names: &mut Vec<String>) {
    names.extend(command.get_arguments().filter_map(Arg::get_long).map(str::to_owned));
    command.get_subcommands().for_each(|inner| collect(inner, names));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_shown_as_the_flags_of_any_subcommand() {
        let inner = Command::new("eval").arg(Arg::new("a").long("allow-missing")).arg(Arg::new("b").long("clips"));
        let command = Command::new("svitt").subcommand(inner);
        let shown = |message: &str| as_flags(message, &command);
        assert_eq!(shown("setting `clips`: is 0; use 1 or more"), "setting `--clips`: is 0; use 1 or more");
        assert_eq!(shown("x: is gone; give option `allow_missing`"), "x: is gone; give --allow-missing");
        // keys of presets and other words stay
        let others = "setting `stages.clips`: is 0; see `clips` of the preset, or option `frames`";
        assert_eq!(shown(others), others);
    }
}
