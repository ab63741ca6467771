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
    let pages = ["README.md", "CONTRIBUTING.md", "benchmarks/README.md", "crates/svitt-workshop/README.md"];
    files.extend(pages.map(|name| repository().join(name)));
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

/// Each process of a launcher would train the whole grid.
#[test]
fn ablations_are_trained_by_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let by = |rank: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_svitt-workshop"));
        command.args(["eval", "ablations"]).current_dir(folder.path());
        command.env("OMPI_COMM_WORLD_SIZE", "2").env("OMPI_COMM_WORLD_RANK", rank).output().unwrap()
    };
    let first = by("0");
    let said = String::from_utf8_lossy(&first.stderr);
    assert_eq!((first.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("2 processes were started") && said.contains("start one process"), "{said}");
    let second = by("1");
    assert_eq!((second.status.code(), second.stderr.is_empty()), (Some(2), true));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Runs the workshop with `words` in `folder`; standard output of a success.
#[track_caller]
fn run(words: &str, folder: &Path) -> String {
    let mut workshop = Command::new(env!("CARGO_BIN_EXE_svitt-workshop"));
    let output = workshop.args(words.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_parity_command_of_the_guide_on_weights_passes() {
    let parity = commands(&repository().join("docs/weights.md"));
    run(&parity[0], &repository().join("tests/fixtures"));
}

/// Those of the workshop's own page that take seconds.
#[test]
fn the_short_commands_of_its_page_run() {
    let lines = commands(&repository().join("crates/svitt-workshop/README.md"));
    let line = |start: &str| lines.iter().find(|line| line.starts_with(start)).unwrap();
    let compared = run(line("parity tests/fixtures"), &repository());
    assert!(compared.contains("video_hybrid_dup_4f.safetensors"), "{compared}");
    let damaged = run(line("fuzz presets"), &repository());
    assert!(damaged.contains("100 files") && damaged.contains("0 panics"), "{damaged}");
}

#[test]
fn help_names_every_command() {
    let help = run("--help", &repository());
    for command in ["parity", "bench", "eval", "fuzz", "faults"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
    assert!(run("eval --help", &repository()).contains("--only"));
}
