//! A run that is killed at any moment and resumed ends like an uninterrupted one.

use crate::project::example;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Two stages of six steps, the second sparse and accumulating with a tail; dropout and stochastic depth are off in the
/// tiny model, negatives, masks and block graphs are drawn at every step.
const PRESET: &str = concat!(
    include_str!("fixtures/tiny-preset.toml"),
    r#"
[[stages]]
name = "first"
frames = 3
segments = [1]
length = { steps = 6 }
warmup = { steps = 2 }
learning_rate = 2e-3
batch = 5

[[stages]]
name = "second"
frames = 5
segments = [1, 2]
edge = { local = 1, random = 1, block = 16 }
node = { keep_rate = 0.7, layers = [0] }
length = { steps = 6 }
learning_rate = 1e-3
batch = 4
accumulate = 2
max_norm = 1.0
"#
);

fn command(preset: &Path, out: &Path) -> Command {
    let mut command = Command::new(example("pretrain"));
    command.arg("--preset").arg(preset).arg("--out").arg(out).args(["--checkpoint-every", "2", "--seed", "7"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn report(out: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(out.join("report.json")).unwrap()).unwrap()
}

/// Kills the run as soon as `moment` has come; false if it ended before.
fn kill_when(mut child: Child, moment: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(300) {
        if moment() {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    panic!("the run neither ended nor came to the moment it was to be killed at");
}

fn assert_same_end(straight: &Value, resumed: &Value, moment: &str) {
    for loss in ["vtc", "vtm", "mlm"] {
        let [a, b] = [straight, resumed].map(|report| report["final_losses"][loss].as_f64().unwrap());
        assert!(a > 0.0 && (a - b).abs() < 1e-6, "{moment}: {loss} is {b}, not {a}");
    }
    for stage in 0..2 {
        let [a, b] = [straight, resumed].map(|report| report["stages"][stage]["r1"].clone());
        assert_eq!(a, b, "{moment}: stage {stage}");
    }
}

fn logged_steps(out: &Path) -> Vec<u64> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].as_u64().unwrap()).collect()
}

#[test]
fn killed_and_resumed_runs_end_like_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let preset = folder.path().join("test.toml");
    fs::write(&preset, PRESET).unwrap();
    let straight = folder.path().join("straight");
    assert!(command(&preset, &straight).status().unwrap().success());
    let end = report(&straight);
    let checkpoint = |out: &Path, name: &str| out.join("checkpoint").join(name).exists();
    type Moment<'a> = Box<dyn Fn(&Path) -> bool + 'a>;
    let in_second = |out: &Path| (7..12).any(|step| checkpoint(out, &format!("step-{step:09}-001")));
    let being_written = |out: &Path| checkpoint(out, "unfinished/model.safetensors");
    let moments: [(&str, Moment); 5] = [
        ("in the first stage", Box::new(|out: &Path| checkpoint(out, "step-000000004-000"))),
        ("while a checkpoint of the first stage is written", Box::new(being_written)),
        ("between the stages", Box::new(|out: &Path| checkpoint(out, "step-000000006-001"))),
        ("in the second stage", Box::new(|out: &Path| checkpoint(out, "step-000000010-001"))),
        (
            "while a checkpoint of the second stage is written",
            Box::new(move |out: &Path| in_second(out) && being_written(out)),
        ),
    ];
    for (index, (moment, come)) in moments.iter().enumerate() {
        // A write lasts milliseconds and may be missed: then another run is tried.
        let outs = (0..8).map(|attempt| folder.path().join(format!("killed-{index}-{attempt}")));
        let out = outs.into_iter().find(|out| kill_when(command(&preset, out).spawn().unwrap(), || come(out)));
        let out = out.unwrap_or_else(|| panic!("every run ended before {moment}"));
        assert!(command(&preset, &out).arg("--resume").status().unwrap().success(), "{moment}");
        assert_same_end(&end, &report(&out), moment);
        assert_eq!(logged_steps(&out), logged_steps(&straight), "{moment}");
    }
    let finished = command(&preset, &straight).arg("--resume").status().unwrap();
    assert!(finished.success(), "resuming a finished run is no error");
    assert_eq!(report(&straight)["final_losses"], end["final_losses"]);
}

/// `--max-steps` stops inside a stage, reports, and leaves a run that goes on.
#[test]
fn a_run_of_few_steps_reports_and_can_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let preset = folder.path().join("test.toml");
    fs::write(&preset, PRESET).unwrap();
    let out = folder.path().join("run");
    assert!(command(&preset, &out).args(["--max-steps", "3"]).status().unwrap().success());
    let short = report(&out);
    assert_eq!((short["stages"].as_array().unwrap().len(), short["stages"][0]["steps"].as_u64()), (1, Some(3)));
    assert!(out.join("report.html").exists() && out.join("stage-1/config.json").exists());
    assert!(command(&preset, &out).args(["--max-steps", "8", "--resume"]).status().unwrap().success());
    assert_eq!(report(&out)["stages"][1]["steps"].as_u64(), Some(2));
    assert_eq!(logged_steps(&out), [1, 3, 6, 7, 8]);
}

/// Two workers on one CPU: the data, the draws and the averages of every step are the same after a kill.
#[test]
fn a_killed_run_of_two_workers_resumes_too() {
    let folder = tempfile::tempdir().unwrap();
    let preset = folder.path().join("test.toml");
    fs::write(&preset, PRESET).unwrap();
    let two = |out: &Path| {
        let mut command = command(&preset, out);
        command.args(["--devices", "2", "--global-negatives"]);
        command
    };
    let (straight, killed) = (folder.path().join("straight"), folder.path().join("killed"));
    assert!(two(&straight).status().unwrap().success());
    let come = || killed.join("checkpoint/step-000000010-001").exists();
    assert!(kill_when(two(&killed).spawn().unwrap(), come), "the run ended too soon");
    assert!(two(&killed).arg("--resume").status().unwrap().success());
    assert_same_end(&report(&straight), &report(&killed), "two workers");
    assert_eq!(logged_steps(&straight), logged_steps(&killed));
}

/// What the machine does not have ends the command with 2, before a folder is made.
#[test]
fn missing_devices_and_precisions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for (arguments, sentence) in [
        (vec!["--devices", "0"], "use 1 or more"),
        (vec!["--precision", "bf16", "--backend", "ndarray"], "use --precision f32"),
        (vec!["--precision", "half"], "use f32, bf16 or int8"),
    ] {
        let output = Command::new(example("pretrain")).arg("--out").arg(&out).args(&arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(sentence) && !out.exists(), "{arguments:?}: {message}");
    }
}
