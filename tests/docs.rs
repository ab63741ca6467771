//! Every command in the guides runs as it stands there.

use crate::workshop::{example, svitt, workshop};
use std::path::Path;
use std::process::Command;

/// The lines of the `sh` blocks of a guide.
fn commands(guide: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(guide);
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// `line` with the programs that `cargo test` has built in the place of the cargo commands that build them.
fn built(line: &str) -> String {
    if let Some(rest) = line.strip_prefix("cargo xtask ") {
        return format!("'{}' {rest}", svitt().display());
    }
    let Some(rest) = line.strip_prefix("cargo run --release --example ") else {
        panic!("`{line}` is no command of ours")
    };
    let (name, arguments) = rest.split_once(" -- ").unwrap_or((rest, ""));
    format!("'{}' {arguments}", example(name).display())
}

#[test]
#[cfg(unix)]
fn every_command_of_the_guides_runs() {
    let workshop = workshop();
    let dir = tempfile::tempdir().unwrap();
    for name in ["runs", "my-videos"] {
        std::os::unix::fs::symlink(workshop.join(name), dir.path().join(name)).unwrap();
    }
    for guide in ["search.md", "visualize.md", "library.md"] {
        let lines = commands(guide);
        assert!(lines.len() >= 2, "{guide} has {} commands", lines.len());
        // The workshop stands for the ten minutes of the default training.
        for line in lines.iter().filter(|line| !line.ends_with("--example pretrain")) {
            let output = Command::new("sh").args(["-c", &built(line)]).current_dir(dir.path()).output().unwrap();
            assert!(output.status.success(), "{guide}: {line}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
