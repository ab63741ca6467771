//! The folder of an index, deleted while it is written: an error, and a whole index by the next run.

use super::index::{all_saved, worker};
use super::{FaultContext, FaultRow, FinishedProcess, disk, finished, must_succeed, run_killed, spawn_into};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use svitt::Result;
use svitt::index::Index;

/// Deletes the folders of indexers of invented clips and of `search index` by turns.
pub fn deleted(bench: &FaultContext, row: &mut FaultRow) -> Result<()> {
    disk::prepare(bench)?;
    let command = |round: usize, folder: &Path| match round % 2 {
        0 => worker(&folder.join("index")),
        _ => disk::index(bench, folder),
    };
    let mut whole = [Duration::ZERO; 2];
    for (kind, whole) in whole.iter_mut().enumerate() {
        let folder = made(bench.path(&format!("straight-{kind}")))?;
        let start = Instant::now();
        must_succeed(&run_killed(&mut command(kind, &folder)?, &bench.folder, None)?, "an uninterrupted run")?;
        *whole = start.elapsed();
    }
    let clips_of = |kind: usize| Index::open(bench.path(&format!("straight-{kind}/index"))).map(|index| index.clips());
    let clips = [clips_of(0)?, clips_of(1)?];
    let mut round = 0;
    while row.faults < bench.rounds {
        let (folder, mut rng) = (made(bench.path(&format!("deleted-{round}")))?, bench.rng(round));
        let index = folder.join("index");
        let limit = whole[round % 2].mul_f64(rng.between(0.02, 1.0));
        if let Some(ended) = run_deleting(&mut command(round, &folder)?, bench, &index, clips[round % 2], limit)? {
            row.faults += 1;
            if ended.code != Some(2) || !ended.err.contains("error: ") {
                row.losses.push(format!("run {round}: ended with {:?}: {}", ended.code, ended.err.trim()));
            }
        }
        let again = run_killed(&mut command(round, &folder)?, &bench.folder, None)?;
        row.resumed += usize::from(again.success);
        match round % 2 {
            _ if !again.success => row.losses.push(format!("run {round}: again: {}", again.err.trim())),
            0 => all_saved(&index, round, row),
            _ if Index::open(&index).map(|index| index.clips()).ok() == Some(clips[1]) => {}
            _ => row.losses.push(format!("run {round}: the next index lacks clips")),
        }
        let _ = std::fs::remove_dir_all(&folder);
        round += 1;
    }
    Ok(())
}

fn made(folder: std::path::PathBuf) -> Result<std::path::PathBuf> {
    std::fs::create_dir_all(&folder).map_err(|e| svitt::Error::io(&folder, &e))?;
    Ok(folder)
}

/// Runs `command` and deletes `index` after `limit`; nothing if it was not there yet, or held its `clips` already.
fn run_deleting(
    command: &mut Command,
    bench: &FaultContext,
    index: &Path,
    clips: usize,
    limit: Duration,
) -> Result<Option<FinishedProcess>> {
    let mut child = spawn_into(command, &bench.folder)?;
    std::thread::sleep(limit);
    let running = child.try_wait().is_ok_and(|status| status.is_none());
    // It is gone at one moment, and can still be looked at: a run that had finished before could not know.
    let gone = index.with_extension("gone");
    let deleted = running && std::fs::rename(index, &gone).is_ok();
    let whole = Index::open(&gone).is_ok_and(|index| index.clips() == clips);
    let _ = std::fs::remove_dir_all(&gone);
    let ended = finished(&mut child, &bench.folder, false)?;
    Ok((deleted && !whole).then_some(ended))
}
