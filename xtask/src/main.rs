//! `cargo xtask COMMAND …`: builds the `svitt` program in release with the right features and runs it.
//!
//! Standard output, standard error and the exit code are the program's. It runs where the caller stands, so paths are
//! relative to the caller's directory.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, ExitCode};

/// The commands of `svitt`, told apart here so that a typing error costs no build.
const COMMANDS: [&str; 10] =
    ["eval", "finetune", "parity", "profile", "bench", "import", "data", "visualize", "fuzz", "faults"];

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    match run(&args) {
        Ok(code) => ExitCode::from(code),
        Err(sentence) => {
            eprintln!("error: {sentence}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &[OsString]) -> Result<u8, String> {
    let list = COMMANDS.join(", ");
    match args.first().and_then(|first| first.to_str()) {
        None => return Err(format!("a command is missing; use one of {list}")),
        Some("-h" | "--help" | "help") => {
            println!(
                "cargo xtask COMMAND [OPTIONS]\n\ncommands: {list}\n\n`cargo xtask COMMAND --help` tells the rest."
            );
            return Ok(0);
        }
        Some(command) if COMMANDS.contains(&command) => {}
        Some(other) => return Err(format!("`{other}` is not a command; use one of {list}")),
    }
    let start = |mut cargo: Command| {
        cargo.status().map_err(|e| format!("cargo does not start ({e}); install Rust from rustup.rs"))
    };
    if args.first().is_some_and(|first| first == "faults") {
        // It kills pretraining too, which is a program of its own.
        let built = start(build_pretrain())?;
        if !built.success() {
            return Err("the example `pretrain` does not build; see above".into());
        }
    }
    let status = start(cargo(args))?;
    // A program ended by a signal has no code; 1 is what cargo says then.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// `cargo run --release` for this workspace. Cargo keeps the working directory, and says nothing but errors.
fn cargo(args: &[OsString]) -> Command {
    let mut cargo = release("run");
    cargo.args(["--bin", "svitt"]);
    let backends = ["--backend", "--against"].into_iter().filter_map(|option| value(args, option));
    let features = backends.map(|name| if name == "wgpu-wgsl" { "wgpu" } else { name });
    let features: Vec<&str> = features.filter(|name| ["wgpu", "cuda"].contains(name)).collect();
    if !features.is_empty() {
        cargo.args(["--features", &features.join(",")]);
    }
    cargo.arg("--").args(args);
    cargo
}

fn build_pretrain() -> Command {
    let mut cargo = release("build");
    cargo.args(["--example", "pretrain"]);
    cargo
}

fn release(command: &str) -> Command {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([command, "--release", "--quiet", "--package", "svitt", "--manifest-path"]).arg(manifest);
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
mod tests {
    use super::*;

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
    fn strangers_are_refused_with_the_list() {
        let message = run(&words("evaluate msrvtt")).unwrap_err();
        assert!(message.contains("`evaluate`") && message.contains("eval, finetune"), "{message}");
        assert!(run(&[]).is_err());
    }
}
