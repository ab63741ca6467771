//! `eval`, killed: its report is complete or missing, and cached features give the same metrics.

use super::training::pretraining;
use super::{FaultContext, FaultRow, has_partial_files, moment, must_succeed, run_killed, run_signalled, svitt};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use svitt::Result;

/// Kills `eval`.
pub fn eval(bench: &FaultContext, row: &mut FaultRow) -> Result<()> {
    let base = bench.path("pretrained");
    must_succeed(&run_killed(&mut pretraining(bench, &base)?, &bench.folder, None)?, "pretraining")?;
    let command = |folder: &Path| -> Result<Command> {
        let mut command = svitt()?;
        command
            .args(["eval", "shapes", "--backend", "flex", "--limit", "60", "--checkpoint"])
            .arg(base.join("stage-2"));
        command.arg("--features").arg(folder.join("features"));
        command.arg("--json").arg(folder.join("report.json")).arg("--dump").arg(folder.join("dump.jsonl"));
        Ok(command)
    };
    let straight = bench.path("straight");
    std::fs::create_dir_all(&straight).map_err(|e| svitt::Error::io(&straight, &e))?;
    let start = Instant::now();
    must_succeed(&run_killed(&mut command(&straight)?, &bench.folder, None)?, "an uninterrupted run")?;
    let (whole, end) = (start.elapsed(), figures(&straight).unwrap_or_default());
    let mut round = 0;
    while row.faults < bench.rounds {
        let (folder, mut rng) = (bench.path(&format!("killed-{round}")), bench.rng(round));
        std::fs::create_dir_all(&folder).map_err(|e| svitt::Error::io(&folder, &e))?;
        for _ in 0..1 + rng.below(3) {
            let being_written = || has_partial_files(&folder) || has_partial_files(&folder.join("features"));
            let due = moment(whole, &mut rng, being_written);
            let ended = run_signalled(&mut command(&folder)?, &bench.folder, "KILL", &due)?;
            row.faults += usize::from(ended.killed);
            row.mid_write += usize::from(ended.killed && being_written());
            if folder.join("report.json").exists() && figures(&folder).is_none() {
                row.losses.push(format!("run {round}: report.json is not whole"));
            }
        }
        let ended = run_killed(&mut command(&folder)?, &bench.folder, None)?;
        row.resumed += usize::from(ended.success);
        match figures(&folder) {
            _ if !ended.success => row.losses.push(format!("run {round}: {}", ended.err.trim())),
            Some(found) if found == end => {}
            found => row.losses.push(format!("run {round}: metrics {found:?} instead of {end}")),
        }
        let _ = std::fs::remove_dir_all(&folder);
        round += 1;
    }
    Ok(())
}

/// The metrics of a report that is whole.
fn figures(folder: &Path) -> Option<Value> {
    let report: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("report.json")).ok()?).ok()?;
    report.get("metrics").cloned()
}
