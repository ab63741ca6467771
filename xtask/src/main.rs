//! `cargo xtask COMMAND …`: builds `svitt` or `svitt-workshop` in release with the right features and runs it.
//!
//! Standard output, standard error and the exit code are the program's. It runs where the caller stands, so paths are
//! relative to the caller's directory.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, ExitCode};

/// The commands of `svitt`, listed here so that a typing error does not start a build.
const SVITT: [&str; 11] =
    ["pretrain", "finetune", "eval", "search", "embed", "visualize", "import", "data", "profile", "completions", "man"];

/// The commands of `svitt-workshop`; `eval ablations` is one, too.
const WORKSHOP: [&str; 4] = ["parity", "bench", "fuzz", "faults"];

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    match run(&args) {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &[OsString]) -> Result<u8, String> {
    let list = SVITT.into_iter().chain(WORKSHOP).collect::<Vec<_>>().join(", ");
    match args.first().and_then(|first| first.to_str()) {
        None => return Err(format!("a command is missing; use one of {list}")),
        Some("-h" | "--help" | "help") => {
            println!(
                "cargo xtask COMMAND [OPTIONS]\n\ncommands: {list}\n\n`cargo xtask COMMAND --help` tells the rest."
            );
            return Ok(0);
        }
        Some(command) if SVITT.contains(&command) || WORKSHOP.contains(&command) => {}
        Some(other) => return Err(format!("`{other}` is not a command; use one of {list}")),
    }
    let start = |mut cargo: Command| {
        cargo.status().map_err(|e| format!("cargo does not start ({e}); install Rust from rustup.rs"))
    };
    if args.first().is_some_and(|first| first == "faults") {
        // It kills runs of `svitt`, a program of its own.
        let built = start(release("build", "svitt"))?;
        if !built.success() {
            return Err("the program `svitt` does not build; see above".into());
        }
    }
    let status = start(cargo(args))?;
    // A program ended by a signal has no code; 1 is what cargo says then.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// The package whose program has the command.
fn package(args: &[OsString]) -> &'static str {
    let word = |place: usize| args.get(place).and_then(|word| word.to_str()).unwrap_or_default();
    let ablations = word(0) == "eval" && word(1) == "ablations";
    if ablations || WORKSHOP.contains(&word(0)) { "svitt-workshop" } else { "svitt" }
}

/// `cargo run --release` for this workspace. Cargo keeps the working directory, and says nothing but errors.
fn cargo(args: &[OsString]) -> Command {
    let package = package(args);
    let mut cargo = release("run", package);
    let backends = ["--backend", "--against"].into_iter().filter_map(|option| value(args, option));
    let features = backends.map(|name| if name == "wgpu-wgsl" { "wgpu" } else { name });
    let features: Vec<&str> = features.filter(|name| ["wgpu", "cuda"].contains(name)).collect();
    if !features.is_empty() {
        cargo.args(["--features", &features.join(",")]);
    }
    cargo.arg("--").args(args);
    cargo
}

/// `cargo COMMAND --release` for the program of `package`.
fn release(command: &str, package: &str) -> Command {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([command, "--release", "--quiet", "--package", package, "--bin", package, "--manifest-path"]);
    cargo.arg(manifest);
    // Cargo sets these for xtask itself; the inner cargo would rebuild what reads them.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PKG_")) {
        cargo.env_remove(name);
    }
    cargo
}

/// The value of `option`, in either spelling.
fn value<'a>(args: &'a [OsString], option: &str) -> Option<&'a str> {
    let options = args.iter().take_while(|arg| *arg != "--").enumerate();
    let value = options.filter_map(|(place, arg)| match arg.to_str()? {
        alone if alone == option => args.get(place + 1).map(OsString::as_os_str).and_then(OsStr::to_str),
        joined => joined.strip_prefix(option)?.strip_prefix('='),
    });
    value.last()
}

#[cfg(test)]
#[path = "../../tests/skipped.rs"]
mod skipped;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Cargo runs test programs in the order of package names, so this one is the last of `cargo test`.
    #[test]
    fn skipped_tests_are_counted_and_named() {
        let folder = env::temp_dir().join(format!("svitt-skipped-{}", std::process::id()));
        for line in ["example b::test: needs the moon", "example a::test: needs a printer"] {
            skipped::note(&folder.join("notes"), line);
        }
        let read = skipped::read(&folder.join("notes"));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(read, ["example a::test: needs a printer", "example b::test: needs the moon"]);
        let lines = skipped::listed();
        assert!(lines.iter().all(|line| line.contains(": needs ")), "{lines:?}");
        // Not through `eprintln!`, which libtest captures.
        let list: String = lines.iter().map(|line| format!("\n  {line}")).collect();
        writeln!(std::io::stderr(), "\nskipped in this run: {} tests{list}", lines.len()).unwrap();
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_backend_chooses_the_feature() {
        let features = |line: &str| {
            let args: Vec<_> = cargo(&words(line)).get_args().map(OsStr::to_os_string).collect();
            args.iter().position(|arg| arg == "--features").map(|place| args[place + 1].clone())
        };
        assert_eq!(features("parity ../shared/parity --backend wgpu"), Some("wgpu".into()));
        assert_eq!(features("bench --backend=cuda --batch 4"), Some("cuda".into()));
        assert_eq!(features("parity ../shared/parity --backend wgpu-wgsl"), Some("wgpu".into()));
        assert_eq!(features("bench --backend flex"), None);
        assert_eq!(features("bench --backend flex --against wgpu"), Some("wgpu".into()));
        assert_eq!(features("bench --backend=cuda --against=wgpu"), Some("cuda,wgpu".into()));
        assert_eq!(features("data frames x --backend"), None);
    }

    #[test]
    fn what_proves_the_program_is_a_program_of_its_own() {
        let package = |line: &str| package(&words(line));
        assert_eq!(package("eval msrvtt"), "svitt");
        assert_eq!(package("eval ablations --only table1"), "svitt-workshop");
        assert_eq!(package("bench --frames 4"), "svitt-workshop");
        assert_eq!(package("search index DIR"), "svitt");
    }

    #[test]
    fn unknown_commands_are_refused_with_the_list() {
        let message = run(&words("evaluate msrvtt")).unwrap_err();
        assert!(message.contains("`evaluate`") && message.contains("finetune, eval"), "{message}");
        assert!(run(&[]).is_err());
    }
}
