//! One manifest in a dozen forms, which every command that takes one must read in one way.

use crate::project::{checkpoint, fixture, refusal, stdout, svitt};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const PRESET: &str = concat!(
    include_str!("fixtures/tiny-preset.toml"),
    r#"
[[stages]]
name = "only"
frames = 2
length = { steps = 2 }
learning_rate = 1e-3
batch = 3
"#
);

const FINETUNE: &str = r#"
description = "test"
command = "test"
benchmarks = ["msrvtt"]
flip = false
keep_checkpoint_sparsity = true
hold_out = 0.34
validate_every = { steps = 9 }
rerank_k = 2

[stage]
name = "only"
frames = 8
length = { steps = 2 }
learning_rate = 1e-3
batch = 3
"#;

/// Video, caption, and the seconds where a clip begins and ends.
const ROWS: [(&str, &str, &str, &str); 3] = [
    ("a.mp4", "the red square, moving \"left\"", "0.6", "0.9"),
    ("b.mp4", "the blue circle", "", ""),
    ("c.webm", "12\" of green", "", "0.4"),
];

/// The rows as JSON objects under these names.
fn objects([video, caption, start, end]: [&str; 4]) -> Vec<Value> {
    let seconds = |text: &str| text.parse::<f64>().map_or(Value::Null, Value::from);
    let object = |row: &(&str, &str, &str, &str)| json!({video: row.0, "score": 5.1, caption: row.1, start: seconds(row.2), end: seconds(row.3)});
    ROWS.iter().map(object).collect()
}

/// The rows as a table under these names, quoted where `quoted` says so.
fn table(names: [&str; 4], part: &str, quoted: bool) -> String {
    let caption = |text: &str| if quoted { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() };
    let row = |row: &(&str, &str, &str, &str)| [row.0, &caption(row.1), row.2, row.3].join(part);
    let rows = ROWS.iter().map(row);
    std::iter::once(names.join(part)).chain(rows).collect::<Vec<_>>().join("\n")
}

fn forms() -> [String; 15] {
    let plain = ["video", "caption", "start", "end"];
    let list = |names| serde_json::to_string_pretty(&objects(names)).unwrap();
    let lines = objects(plain).iter().map(|object| format!("{object}\n\n")).collect::<String>();
    [
        list(plain),
        lines,
        list(["video_path", "text", "start_time", "end_time"]),
        list(["path", "captions", "Start", "End"]).replace("5.1", "{\"deep\": [NaN]}"),
        list(["filename", "sentence", "begin", "stop"]).replace("5.1", "NaN"),
        format!("\u{feff}{}", list(["video_id", "title", "startSec", "endSec"]).replace('\n', "\r\n")),
        table(["Video", "Caption", "Start", "End"], ",", true),
        // times as texts
        list(plain).replace("0.6", "\"0.6\"").replace("0.9", "\"0:00.9\""),
        // the columns of MSR-VTT's file, and spans
        table(["video_id", "sentence", "start", "end"], ",", true),
        table(["video_id", "sentence", "start_time", "end_time"], ";", true),
        table(["video", "caption", "start_time", "end_time"], ";", true),
        table(["videoid", "desc", "start", "end"], "\t", false),
        table(["PATH", "TEXT", "BEGIN", "END"], "\t", true).replace('\n', "\r\n"),
        table(["file path", "description", "start_sec", "end_sec"], "|", true) + "\n\n",
        format!("\u{feff}{}", table(["media", "caption", "Start_timestamp", "End_timestamp"], ",", true)),
    ]
}

/// A folder with the videos, and settings for both kinds of training.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [("bframes.mp4", "a.mp4"), ("fragmented.mp4", "b.mp4"), ("vp9.webm", "c.webm")] {
        fs::copy(fixture(from), folder.path().join(to)).unwrap();
    }
    fs::write(folder.path().join("pretrain.toml"), PRESET).unwrap();
    fs::write(folder.path().join("finetune.toml"), FINETUNE).unwrap();
    folder
}

/// One command on `manifest.txt` in `folder`; what it writes is removed first.
fn run(folder: &Path, command: &str) -> Output {
    let _ = fs::remove_dir_all(folder.join("out"));
    for old in ["features.npy", "features.json"] {
        let _ = fs::remove_file(folder.join(old));
    }
    let mut program = Command::new(svitt());
    program.args(command.split_whitespace()).current_dir(folder);
    if !command.contains("manifest.txt") {
        program.args(["--annotations", "manifest.txt"]);
    }
    if !command.starts_with("data") {
        program.args(["--backend", "flex"]);
    }
    if !command.starts_with("data") && !command.starts_with("pretrain") {
        program.arg("--checkpoint").arg(checkpoint());
    }
    if command.starts_with("finetune") {
        program.args(["--validation", "manifest.txt"]);
    }
    program.args(["--media", "."]).output().unwrap()
}

const PRETRAIN: &str = "pretrain --preset pretrain.toml --max-steps 2 --out out";
const FINETUNE_RUN: &str = "finetune msrvtt --preset finetune.toml --max-steps 2 --out out";
const EMBED: &str = "embed manifest.txt --out features.npy";
const EVAL: &str = "eval msrvtt --clips 1 --no-cache --json report.json --dump queries.jsonl";

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The losses of every step of the last training.
fn losses(folder: &Path) -> Vec<Value> {
    let log = fs::read_to_string(folder.join("out/metrics.jsonl")).unwrap();
    log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["losses"].clone()).collect()
}

/// What every command makes of `manifest`.
fn results(folder: &Path, manifest: &str) -> Value {
    fs::write(folder.join("manifest.txt"), manifest).unwrap();
    stdout(&run(folder, "data inspect manifest.txt --json inspected.json"));
    let inspected = json(&folder.join("inspected.json"));
    let counts = ["records", "videos", "captions", "distinct_captions", "missing", "unusable"];
    stdout(&run(folder, PRETRAIN));
    let pretrained = losses(folder);
    stdout(&run(folder, FINETUNE_RUN));
    let finetuned = losses(folder);
    stdout(&run(folder, EVAL));
    stdout(&run(folder, EMBED));
    json!({
        "inspect": counts.map(|name| inspected[name].clone()),
        "pretrain": pretrained,
        "finetune": finetuned,
        "eval": json(&folder.join("report.json"))["metrics"],
        "embed": fs::read(folder.join("features.npy")).unwrap(),
        "ids": json(&folder.join("features.json"))["ids"],
        "queries": fs::read_to_string(folder.join("queries.jsonl")).unwrap(),
    })
}

#[test]
fn every_command_reads_every_form_of_a_manifest_alike() {
    let folder = folder();
    let forms = forms();
    let expected = results(folder.path(), &forms[0]);
    assert_eq!(expected["inspect"], json!([3, 3, 3, 3, 0, 0]));
    assert_eq!(
        (expected["pretrain"].as_array().unwrap().len(), expected["eval"]["t2v"]["queries"].as_u64()),
        (2, Some(3))
    );
    for form in &forms[1..] {
        let found = results(folder.path(), form);
        for (command, result) in expected.as_object().unwrap() {
            assert_eq!(found[command], *result, "{command} of {form}");
        }
    }
    // The seconds are obeyed by all: without them other frames are seen.
    let whole = results(folder.path(), &forms[0].replace("\"start\"", "\"from\"").replace("\"end\"", "\"to\""));
    for command in ["pretrain", "finetune", "queries", "embed"] {
        assert_ne!(whole[command], expected[command], "{command}");
    }
}

#[test]
fn seconds_behind_the_end_of_a_video_make_its_record_unreadable_for_every_command() {
    let folder = folder();
    fs::write(folder.path().join("manifest.txt"), forms()[6].replace("0.6,0.9", "100,101")).unwrap();
    for command in [PRETRAIN, FINETUNE_RUN] {
        let told = String::from_utf8_lossy(&run(folder.path(), command).stderr).into_owned();
        assert_eq!(told.matches("warning: a.mp4#t=100,101 is left out").count(), 1, "{command}: {told}");
        assert!(told.contains("no frame lies between 100.00 s and 101.00 s"), "{told}");
    }
    for command in [EVAL, EMBED] {
        let refused = refusal(&run(folder.path(), command));
        assert!(refused.contains("a.mp4") && refused.contains("100.00 s and 101.00 s"), "{command}: {refused}");
    }
    assert!(!folder.path().join("report.json").exists());
    let allowed = run(folder.path(), &format!("{EVAL} --allow-missing"));
    assert!(stdout(&allowed).contains("3 texts"), "a miss counts");
}
