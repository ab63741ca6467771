//! The losses of a seeded run, on file: a change of the model, the draws, the data or the optimizer shows here.

use crate::project::example;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Twenty steps: ten dense, ten sparse, pruned and accumulating.
const PRESET: &str = concat!(
    include_str!("fixtures/tiny-preset.toml"),
    r#"
[[stages]]
name = "dense"
frames = 3
segments = [1]
length = { steps = 10 }
warmup = { steps = 3 }
learning_rate = 2e-3
batch = 6

[[stages]]
name = "sparse"
frames = 5
segments = [1, 2]
edge = { local = 1, random = 1, block = 16 }
node = { keep_rate = 0.7, layers = [0] }
length = { steps = 10 }
learning_rate = 1e-3
batch = 5
accumulate = 2
max_norm = 1.0
"#
);

/// CPUs differ in the width of their sums, which changes the last digits over twenty steps; a different random draw
/// changes the losses by a hundredth or more.
const TOLERANCE: f64 = 1e-3;

/// `[step, vtc, vtm, mlm]` of every logged step on `backend`.
fn losses(backend: &str) -> Vec<Vec<f64>> {
    let folder = tempfile::tempdir().unwrap();
    let (preset, out) = (folder.path().join("golden.toml"), folder.path().join("run"));
    fs::write(&preset, PRESET).unwrap();
    let mut command = Command::new(example("pretrain"));
    command.args(["--seed", "3", "--backend", backend, "--preset"]).arg(&preset).arg("--out").arg(&out);
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    let row = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let loss = |name: &str| line["losses"][name].as_f64().unwrap();
        vec![line["step"].as_f64().unwrap(), loss("vtc"), loss("vtm"), loss("mlm")]
    };
    fs::read_to_string(out.join("metrics.jsonl")).unwrap().lines().map(row).collect()
}

#[test]
fn a_seeded_run_has_the_recorded_losses() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden-losses.json");
    // `SVITT_GOLDEN=write cargo test golden` puts them down anew, for a change that is meant to move them.
    if std::env::var("SVITT_GOLDEN").is_ok_and(|wish| wish == "write") {
        let rows: Vec<String> = losses("flex").iter().map(|row| format!("  {}", json!(row))).collect();
        fs::write(&file, format!("[\n{}\n]\n", rows.join(",\n"))).unwrap();
    }
    let expected: Vec<Vec<f64>> = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(expected.iter().map(|row| row[0]).collect::<Vec<_>>(), [1.0, 10.0, 11.0, 20.0]);
    for backend in ["flex", "ndarray"] {
        for (ours, expected) in losses(backend).iter().zip(&expected) {
            let apart = ours.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart < TOLERANCE, "{backend}: [step, vtc, vtm, mlm] is {ours:?}, was {expected:?}");
        }
    }
}
