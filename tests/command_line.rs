//! The command line itself: help, completions, manual pages, ranges of numbers, and where output goes.

use crate::project::{example, refusal, stdout, svitt};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs `svitt WORDS` in `dir`.
fn run(dir: &Path, words: &[&str]) -> Output {
    Command::new(svitt()).args(words).current_dir(dir).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn every_command_says_what_it_is_for() {
    let dir = tempfile::tempdir().unwrap();
    let overview = stdout(&run(dir.path(), &["--help"]));
    for (command, about) in [
        ("pretrain", "Train a sparse video-text transformer"),
        ("finetune", "Fine-tune a pretrained checkpoint"),
        ("eval", "Evaluate a checkpoint on a benchmark"),
        ("search", "Search your own videos"),
        ("visualize", "Draw what the model keeps"),
        ("completions", "Print the completions"),
        ("man", "Print the manual page"),
    ] {
        assert!(overview.contains(about), "{overview}");
        let help = stdout(&run(dir.path(), &[command, "--help"]));
        assert!(help.starts_with(about), "{command}: {help}");
    }
    let help = stdout(&run(dir.path(), &["eval", "--help"]));
    for flag in
        ["--checkpoint <DIR>", "--frame-order", "--clip-sampling", "--rerank-k", "--keep", "--video-key", "--json"]
    {
        assert!(help.contains(flag), "{flag}: {help}");
    }
}

#[test]
fn completions_and_manual_pages_come_from_the_same_definitions() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let text = stdout(&run(dir.path(), &["completions", shell]));
        assert!(["pretrain", "visualize", "clip-seconds"].iter().all(|word| text.contains(word)), "{shell}");
    }
    let page = stdout(&run(dir.path(), &["man"]));
    assert!(page.contains(".TH svitt") && page.contains("finetune"), "{page}");
    let page = stdout(&run(dir.path(), &["man", "search", "index"]));
    assert!(page.contains("overlap"), "{page}");
    assert!(refusal(&run(dir.path(), &["man", "nonsense"])).contains("`nonsense` is not a command"));
}

/// Before anything is allocated or written, and within a second.
#[test]
fn numbers_out_of_range_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 14] = [
        (&["eval", "shapes", "--frames", "1000000000000000000"], "--frames"),
        (&["eval", "shapes", "--clips", "1000000000000"], "--clips"),
        (&["eval", "shapes", "--batch", "1000000000"], "--batch"),
        (&["eval", "shapes", "--keep", "nan"], "--keep"),
        (&["eval", "shapes", "--budget-ms", "inf"], "--budget-ms"),
        (&["search", "index", ".", "--threads", "18446744073709551615"], "--threads"),
        (&["search", "index", ".", "--clip-seconds", "nan"], "--clip-seconds"),
        (&["search", "speed", "--clips", "1000000", "--dim", "1000000"], "--dim"),
        (&["data", "compress", ".", "--out", "x", "--jobs", "100000"], "--jobs"),
        (&["data", "tokenize", "--vocab", "x", "--max-length", "1000000000000000000"], "--max-length"),
        (&["data", "frames", "x.mp4", "--frames", "1000000000"], "--frames"),
        (&["profile", "--frames", "99999999"], "--frames"),
        (&["pretrain", "--max-steps", "99999999999999999999999"], "--max-steps"),
        (&["finetune", "shapes", "--batch", "0"], "--batch"),
    ];
    for (words, flag) in cases {
        let message = refusal(&run(dir.path(), words));
        assert!(
            message.contains(flag) && ["use ", "give "].iter().any(|word| message.contains(word)),
            "{words:?}: {message}"
        );
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is written");
}

#[test]
fn keys_of_a_preset_that_cannot_work_are_refused_before_anything_is_written() {
    const PRESET: &str = include_str!("../data/presets/shapes-smoke.toml");
    let dir = tempfile::tempdir().unwrap();
    let line = |key: &str| PRESET.lines().find(|line| line.starts_with(key)).unwrap();
    let preset = dir.path().join("p.toml");
    for (key, value, named) in [
        ("segments =", "[0]", "segments"),
        ("length =", "{ steps = 1000000000000000000 }", "length.steps"),
        ("learning_rate =", "nan", "learning_rate"),
        ("frames =", "1000000000000000000", "frames"),
        ("batch =", "1000000000", "batch"),
        ("name =", &format!("\"{}\"", "n".repeat(50_000)), "stages.name"),
    ] {
        fs::write(&preset, PRESET.replacen(line(key), &format!("{key} {value}"), 1)).unwrap();
        let message = refusal(&run(dir.path(), &["pretrain", "--preset", "p.toml", "--out", "run"]));
        assert!(
            message.contains(named) && message.len() < 6_000,
            "{key} {value}: {}",
            &message[..message.len().min(500)]
        );
        assert!(!dir.path().join("run").exists(), "{key}");
    }
}

#[test]
#[cfg(unix)]
fn reports_go_where_they_are_sent() {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let profile =
        |json: &str| stdout(&run(dir.path(), &["profile", "--size", "tiny", "--frames", "4", "--json", json]));
    // Standard output by its name, after what is printed there, and never replaced.
    assert!(profile("/dev/stdout").trim_end().ends_with('}'));
    // A link stays, and what it points to keeps its mode.
    fs::write(at("real.json"), "old").unwrap();
    fs::set_permissions(at("real.json"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("real.json", at("link.json")).unwrap();
    profile("link.json");
    assert!(fs::symlink_metadata(at("link.json")).unwrap().is_symlink());
    assert!(fs::read_to_string(at("real.json")).unwrap().starts_with('{'));
    assert_eq!(fs::metadata(at("real.json")).unwrap().permissions().mode() & 0o777, 0o600);
    // A pipe is written to.
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = at("pipe");
        move || fs::read_to_string(pipe).unwrap()
    });
    profile("pipe");
    assert!(reader.join().unwrap().starts_with('{'));
    assert!(fs::metadata(at("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing temporary is left");
}

/// A name that would set the title of the terminal or clear it.
#[test]
#[cfg(unix)]
fn control_characters_of_names_are_written_out() {
    let dir = tempfile::tempdir().unwrap();
    let message = refusal(&run(dir.path(), &["data", "inspect", "\u{1b}]0;title\u{7}\u{1b}[2J.json"]));
    assert!(!message.contains('\u{1b}') && message.contains("\\u{1b}]0;title"), "{message:?}");
    let message = refusal(&run(dir.path(), &["eval", "\u{1b}[2J"]));
    assert!(!message.contains('\u{1b}'), "{message:?}");
    fs::write(dir.path().join("p.toml"), format!("x = \"\u{9b}\"\ny = {}", "z".repeat(3_000_000))).unwrap();
    let message = refusal(&run(dir.path(), &["pretrain", "--preset", "p.toml"]));
    assert!(!message.contains('\u{9b}') && message.len() < 20_000, "{}", message.len());
}

/// The first signal saves and ends a run that takes steps, and one that does not ends at once.
#[test]
#[cfg(unix)]
fn one_signal_ends_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let mut command = Command::new(example("pretrain"));
    command.args(["--preset", "shapes-smoke", "--checkpoint-every", "1", "--out"]).arg(&out);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let saved = || fs::read_dir(out.join("checkpoint")).is_ok_and(|mut entries| entries.next().is_some());
    let start = std::time::Instant::now();
    while !saved() {
        assert!(start.elapsed().as_secs() < 120 && child.try_wait().unwrap().is_none(), "no checkpoint was written");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(130), "{message}");
    assert!(
        message.contains("--resume goes on from there") || message.contains("nothing was left to save"),
        "{message}"
    );
    assert!(
        !fs::read_dir(&out).unwrap().flatten().any(|entry| entry.file_name().to_string_lossy().ends_with(".partial"))
    );
}
