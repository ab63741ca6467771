//! Every workshop command of the guides is understood, and those on files of the repository run.

use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The workshop's commands in the `sh` blocks of a file, comments left out, without `cargo xtask`.
fn commands(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.split('#').next().unwrap_or_default().trim());
    let words = lines.filter_map(|line| line.strip_prefix("cargo xtask "));
    let ours = ["parity ", "bench", "fuzz", "faults", "eval ablations"];
    words.filter(|words| ours.iter().any(|start| words.starts_with(start))).map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_guides_is_understood() {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(repository().join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.extend(["README.md", "CONTRIBUTING.md", "benchmarks/README.md"].map(|name| repository().join(name)));
    let markdown = files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "md") && file.exists());
    let lines: Vec<String> = markdown.flat_map(|file| commands(&file)).collect();
    assert!(lines.len() >= 10, "{lines:?}");
    for line in lines {
        // `--help` at the end is answered only after everything before it has been understood.
        let output = Command::new(env!("CARGO_BIN_EXE_svitt-workshop"))
            .args(line.split_whitespace())
            .arg("--help")
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_parity_command_of_the_guide_on_weights_passes() {
    let parity = commands(&repository().join("docs/weights.md"));
    let words: Vec<&str> = parity[0].split_whitespace().collect();
    let output = Command::new(env!("CARGO_BIN_EXE_svitt-workshop"))
        .args(words)
        .current_dir(repository().join("tests/fixtures"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
