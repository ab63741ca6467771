//! Runs every command of the guides; those that need a GPU, external data or hours are only parsed.

use crate::project::{example, official, project, svitt};
use crate::skipped::skipped;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Guides whose commands are run, in this order: the last one makes checkpoints that are newer than the test folder's.
const RUN: [&str; 7] =
    ["search.md", "visualize.md", "library.md", "sparsity.md", "troubleshooting.md", "training.md", "weights.md"];

/// The lines of the `sh` blocks of a file of the project, comments left out.
fn commands(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn docs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/docs"))
}

/// `line` with the programs that `cargo test` has built in the place of the cargo commands that build them; none where
/// it is no command of ours.
fn built(line: &str) -> Option<String> {
    let (pipe, command) = line.rfind("| cargo ").map_or(("", line), |at| line.split_at(at + 2));
    if let Some(rest) = command.strip_prefix("cargo xtask ") {
        if of_the_workshop(rest) {
            return None;
        }
        return Some(format!("{pipe}'{}' {rest}", svitt().display()));
    }
    let rest = command.strip_prefix("cargo run --release --example ")?;
    let (name, arguments) = rest.split_once(" -- ").unwrap_or((rest, ""));
    let name = name.split(' ').next().unwrap_or_default();
    Some(format!("{pipe}'{}' {arguments}", example(name).display()))
}

/// Whether `cargo xtask WORDS` starts `svitt-workshop`, whose own tests run its commands.
fn of_the_workshop(words: &str) -> bool {
    ["parity ", "bench", "fuzz", "faults", "eval ablations"].iter().any(|command| words.starts_with(command))
}

/// Whether a test can run it: no GPU, nothing that takes the ten minutes of the default training or serves until it is
/// stopped.
fn can_run(line: &str) -> bool {
    !line.contains("--features cuda") && !line.ends_with("--example pretrain") && !line.contains(" -- serve ")
}

/// What the guides take to be there.
fn lay_out(dir: &Path) {
    fs::create_dir(dir.join("runs")).unwrap();
    symlink(project().join("runs/pretrain"), dir.join("runs/pretrain")).unwrap();
    symlink(project().join("my-videos"), dir.join("my-videos")).unwrap();
    let parity = official("");
    symlink(&parity, dir.join("parity")).unwrap();
    fs::copy(parity.join("vocab.txt"), dir.join("vocab.txt")).unwrap();
    fs::copy(parity.join("checkpoint_micro_full.pth"), dir.join("official.pth")).unwrap();
}

fn shell(line: &str, dir: &Path) {
    let output = Command::new("sh").args(["-c", line]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_command_of_the_guides_runs() {
    let dir = tempfile::tempdir().unwrap();
    lay_out(dir.path());
    for guide in RUN {
        let lines = commands(&docs().join(guide));
        assert!(lines.len() >= 2, "{guide} has {} commands", lines.len());
        for line in lines.iter().filter(|line| can_run(line)) {
            if line.ends_with("--example vit") && !example("vit").exists() {
                skipped("the example `vit` of svitt-ops, built by `cargo test` for the workspace");
                continue;
            }
            match built(line) {
                Some(command) => shell(&command, dir.path()),
                None => assert!(line.starts_with("cargo xtask "), "{guide}: `{line}` is no command of ours"),
            }
        }
    }
}

/// `--help` at the end is answered only after everything before it has been understood.
#[test]
fn every_other_command_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let readme = docs().join("../README.md");
    let files = fs::read_dir(docs()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "md")).chain([readme]);
    let lines: Vec<String> = files.flat_map(|file| commands(&file)).collect();
    // Examples without arguments take none; the test above runs them.
    let told = lines.iter().filter(|line| line.contains(" -- ") || line.contains("cargo xtask "));
    let ours: Vec<String> = told.filter_map(|line| built(line)).collect();
    assert!(ours.len() > 30, "{} commands", ours.len());
    for line in &ours {
        shell(&format!("{line} --help"), dir.path());
    }
}

/// Every Markdown file that people read, by its path from the repository.
fn pages() -> Vec<PathBuf> {
    let root = docs().join("..");
    let folders =
        ["", "docs", "benchmarks", "data/samples", "crates/svitt-ops", "crates/svitt-video", "crates/svitt-workshop"];
    let files = folders.iter().flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let files = files.map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "md")).collect()
}

#[test]
fn links_and_paths_in_the_pages_exist() {
    let root = docs().join("..");
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let name = page.strip_prefix(&root).unwrap().display();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
            assert!(page.parent().unwrap().join(link).exists(), "{name} links to {link}");
            checked += 1;
        }
        // Between backticks, from the root or from the page's crate, without wildcards.
        for path in text.split('`').skip(1).step_by(2).filter(|code| !code.contains([' ', '*', '{', '<', '\n'])) {
            let first = path.split_once('/').map_or("", |(first, _)| first);
            let ours = ["src", "crates", "tests", "docs", "examples", "xtask", "benchmarks"].contains(&first);
            let exists = root.join(path).exists() || page.parent().unwrap().join(path).exists();
            assert!(!ours || exists, "{name} names {path}");
            checked += usize::from(ours);
        }
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn the_quick_start_is_fifteen_lines() {
    let code = include_str!("../examples/quickstart.rs");
    let lines = code.lines().skip_while(|line| !line.starts_with("fn main")).count();
    assert!(lines <= 15, "{lines} lines");
}
