//! Pretraining and fine-tuning, killed and resumed until they end: the end is that of a run that was never killed.

use super::{
    FaultContext, FaultRow, FinishedProcess, has_partial_files, moment, must_succeed, run_killed, run_signalled, svitt,
};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use svitt::{Error, Result};

/// Two stages of six steps, the second sparse and accumulating with a tail; a second in all.
const PRETRAIN: &str = r#"
description = "faults"
command = "cargo xtask faults"
text_tokens = 11
rerank_k = 3
gallery_programs = 2
[model]
size = "tiny"
hidden = 32
video_layers = 2
text_layers = 2
fusion_layer = 1
[[stages]]
name = "first"
frames = 3
segments = [1]
length = { steps = 6 }
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
"#;

const FINETUNE: &str = r#"
description = "faults"
command = "cargo xtask faults"
benchmarks = ["shapes"]
flip = false
keep_checkpoint_sparsity = true
hold_out = 0.0
validation_limit = 12
validate_every = { steps = 2 }
rerank_k = 3
[stage]
name = "shapes"
frames = 5
length = { steps = 8 }
learning_rate = 1e-3
batch = 4
segments = [1, 2]
"#;

/// Kills `pretrain`.
pub fn pretrain(bench: &FaultContext, row: &mut FaultRow) -> Result<()> {
    kill_test(bench, row, &|out| pretraining(bench, out))
}

/// Kills `finetune` of a checkpoint that is pretrained first.
pub fn finetune(bench: &FaultContext, row: &mut FaultRow) -> Result<()> {
    let base = bench.path("pretrained");
    must_succeed(&run_killed(&mut pretraining(bench, &base)?, &bench.folder, None)?, "pretraining")?;
    kill_test(bench, row, &|out| {
        let preset = bench.path("finetune.toml");
        std::fs::write(&preset, FINETUNE).map_err(|e| Error::io(&preset, &e))?;
        let mut command = svitt()?;
        command.args(["finetune", "shapes", "--backend", "flex", "--checkpoint"]).arg(base.join("stage-2"));
        command.arg("--preset").arg(preset).arg("--out").arg(out);
        Ok(command)
    })
}

/// `pretrain` beside this program.
pub(super) fn pretraining(bench: &FaultContext, out: &Path) -> Result<Command> {
    let preset = bench.path("pretrain.toml");
    std::fs::write(&preset, PRETRAIN).map_err(|e| Error::io(&preset, &e))?;
    let mut command = svitt()?;
    command
        .args(["pretrain", "--checkpoint-every", "1", "--backend", "flex", "--preset"])
        .arg(preset)
        .arg("--out")
        .arg(out);
    Ok(command)
}

fn kill_test(bench: &FaultContext, row: &mut FaultRow, command: &dyn Fn(&Path) -> Result<Command>) -> Result<()> {
    let (straight, start) = (bench.path("straight"), Instant::now());
    must_succeed(&run_killed(&mut command(&straight)?, &bench.folder, None)?, "an uninterrupted run")?;
    let whole = start.elapsed();
    let end = RunResult::read(&straight)?;
    let mut round = 0;
    while row.faults < bench.rounds {
        let out = bench.path(&format!("killed-{round}"));
        let lost = one_run(bench, row, &out, round, whole, command)?;
        match lost {
            None => end.compare(&out, row),
            Some(loss) => row.losses.push(format!("run {round}: {loss}")),
        }
        let _ = std::fs::remove_dir_all(&out);
        round += 1;
    }
    Ok(())
}

/// A run that is killed up to three times and then brought to its end; what was lost, if anything was.
fn one_run(
    bench: &FaultContext,
    row: &mut FaultRow,
    out: &Path,
    round: usize,
    whole: Duration,
    command: &dyn Fn(&Path) -> Result<Command>,
) -> Result<Option<String>> {
    let mut rng = bench.rng(round);
    let kills = (1 + rng.below(3)).min(bench.rounds - row.faults);
    for attempt in 0..=kills {
        let saved = saved_step(out);
        let mut command = command(out)?;
        if attempt > 0 {
            command.arg("--resume");
        }
        let due = moment(whole, &mut rng, || being_written(out));
        let ended = run_signalled(&mut command, &bench.folder, "KILL", &|elapsed| attempt < kills && due(elapsed))?;
        if let Some(loss) = lost_steps(&ended, saved) {
            return Ok(Some(loss));
        }
        row.faults += usize::from(ended.killed);
        row.mid_write += usize::from(ended.killed && being_written(out));
        if !ended.killed {
            if !ended.success {
                return Ok(Some(format!("after {attempt} kills: {}", ended.err.trim())));
            }
            row.resumed += 1;
            return Ok(None);
        }
    }
    Ok(Some("it did not end".into()))
}

/// The step of the newest complete checkpoint in `out`.
fn saved_step(out: &Path) -> Option<usize> {
    let names = std::fs::read_dir(out.join("checkpoint")).ok()?.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.strip_prefix("step-")?.split('-').next()?.parse().ok()).max()
}

/// A run must go on from what was saved, not from before.
fn lost_steps(ended: &FinishedProcess, saved: Option<usize>) -> Option<String> {
    let saved = saved?;
    let said = ended.err.lines().find_map(|line| line.strip_prefix("resuming after step "));
    match said.and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok()) {
        Some(step) if step >= saved => None,
        // Killed before it could say anything.
        None if ended.killed && !ended.err.contains("starting afresh") => None,
        _ => Some(format!("step {saved} was saved, but: {}", ended.err.trim())),
    }
}

fn being_written(out: &Path) -> bool {
    has_partial_files(out) || out.join("checkpoint/unfinished").exists()
}

/// The figures a run ends with.
struct RunResult {
    losses: Value,
    validations: Value,
    steps: Vec<u64>,
}

impl RunResult {
    fn read(out: &Path) -> Result<Self> {
        let (file, log) = (out.join("report.json"), out.join("metrics.jsonl"));
        let text = std::fs::read_to_string(&file).map_err(|e| Error::io(&file, &e))?;
        let damaged = |e: serde_json::Error| Error::file(&file, format!("is damaged: {e}"), "report this");
        let report: Value = serde_json::from_str(&text).map_err(damaged)?;
        let lines = std::fs::read_to_string(&log).map_err(|e| Error::io(&log, &e))?;
        let step = |line: &str| serde_json::from_str::<Value>(line).ok()?["step"].as_u64();
        let recalls = report["stages"].as_array().into_iter().flatten().map(|stage| stage["r1"].clone()).collect();
        let validations = if report["validations"].is_array() { report["validations"].clone() } else { recalls };
        Ok(Self {
            losses: report["final_losses"].clone(),
            validations,
            steps: lines.lines().map(|line| step(line).unwrap_or(0)).collect(),
        })
    }

    fn compare(&self, out: &Path, row: &mut FaultRow) {
        let other = match Self::read(out) {
            Ok(other) => other,
            Err(error) => return row.losses.push(error.to_string()),
        };
        let value = |losses: &Value, name: &str| losses[name].as_f64().unwrap_or(0.0);
        let apart = ["vtc", "vtm", "mlm"].map(|name| (value(&self.losses, name) - value(&other.losses, name)).abs());
        if apart.iter().any(|apart| *apart >= 1e-6) {
            row.losses.push(format!("final losses {} instead of {}", other.losses, self.losses));
        }
        if self.validations != other.validations {
            row.losses.push(format!("validations {} instead of {}", other.validations, self.validations));
        }
        if self.steps != other.steps {
            row.losses.push(format!("logged steps {:?} instead of {:?}", other.steps, self.steps));
        }
    }
}
