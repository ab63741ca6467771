//! An indexer, killed: what it had reported as saved is found, and the next one goes on from there.

use super::{FaultContext, FaultRow, has_partial_files, moment, must_succeed, run_killed, run_signalled, this_program};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use svitt::Result;
use svitt::cli::output;
use svitt::index::{ClipEmbedding, Index, IndexWriter, ModelId, Stamp};
use svitt_ops::rng::Rng;

const DIM: usize = 256;
pub const FILES: u64 = 400;

fn model() -> ModelId {
    ModelId { weights: "f".repeat(64), ..ModelId::of_no_model("faults", DIM) }
}

fn name(file: u64) -> PathBuf {
    PathBuf::from(format!("clips/{file:04}.mp4"))
}

fn clips(file: u64) -> Vec<ClipEmbedding> {
    let mut rng = Rng::new(5, &[file]);
    let mut vector = || (0..DIM).map(|_| rng.normal() as f32).collect();
    (0..8).map(|clip| ClipEmbedding { start: f64::from(clip), end: f64::from(clip) + 2.0, vector: vector() }).collect()
}

/// Indexes invented clips; a line for each file that is saved.
pub fn work(folder: &Path) -> Result<()> {
    let mut indexer = IndexWriter::open(folder, &model())?;
    for file in 0..FILES {
        let stamp = Stamp { size: file, modified_ns: 1, clip_windows: "2 s".into() };
        if !indexer.index().is_current(&name(file), &stamp) {
            indexer.add(&name(file), stamp, clips(file))?;
        }
        indexer.commit()?;
        output::print(&format!("{file}\n"))?;
    }
    indexer.finish().map(drop)
}

/// Kills the indexer.
pub fn index(bench: &FaultContext, row: &mut FaultRow) -> Result<()> {
    let (straight, start) = (bench.path("straight"), Instant::now());
    must_succeed(&run_killed(&mut worker(&straight)?, &bench.folder, None)?, "an uninterrupted run")?;
    let whole = start.elapsed();
    let mut round = 0;
    while row.faults < bench.rounds {
        let (folder, mut rng) = (bench.path(&format!("killed-{round}")), bench.rng(round));
        for _ in 0..1 + rng.below(3) {
            let due = moment(whole, &mut rng, || has_partial_files(&folder));
            let ended = run_signalled(&mut worker(&folder)?, &bench.folder, "KILL", &due)?;
            row.faults += usize::from(ended.killed);
            row.mid_write += usize::from(ended.killed && has_partial_files(&folder));
            // The last line may be cut short, and then says less than was saved.
            let saved: Vec<u64> = ended
                .out
                .split_inclusive('\n')
                .filter(|l| l.ends_with('\n'))
                .filter_map(|l| l.trim().parse().ok())
                .collect();
            if !saved.is_empty() {
                check(&folder, &saved, round, row);
            }
        }
        let ended = run_killed(&mut worker(&folder)?, &bench.folder, None)?;
        if ended.success {
            row.resumed += 1;
            all_saved(&folder, round, row);
        } else {
            row.losses.push(format!("run {round}: {}", ended.err.trim()));
        }
        let _ = std::fs::remove_dir_all(&folder);
        round += 1;
    }
    Ok(())
}

/// The command that indexes invented clips into `folder`.
pub fn worker(folder: &Path) -> Result<Command> {
    let mut command = Command::new(this_program()?);
    command.args(["faults", "--index-worker"]).arg(folder);
    Ok(command)
}

/// Checks that the index in `folder` holds all of the invented clips.
pub fn all_saved(folder: &Path, round: usize, row: &mut FaultRow) {
    check(folder, &(0..FILES).collect::<Vec<_>>(), round, row);
}

fn check(folder: &Path, saved: &[u64], round: usize, row: &mut FaultRow) {
    let index = match Index::open(folder) {
        Ok(index) => index,
        Err(error) => return row.losses.push(format!("run {round}: {error}")),
    };
    let whole = |file: &&u64| {
        let (found, expected) = (index.clips_of(&name(**file)), clips(**file));
        let same = |(a, b): (&ClipEmbedding, &ClipEmbedding)| a.start == b.start && parallel(&a.vector, &b.vector);
        found.len() == expected.len() && found.iter().zip(&expected).all(same)
    };
    let lost = saved.iter().filter(|file| !whole(file)).count();
    if lost > 0 {
        row.losses.push(format!("run {round}: {lost} of {} saved files are lost or changed", saved.len()));
    }
}

/// Stored vectors have length 1.
fn parallel(stored: &[f32], given: &[f32]) -> bool {
    let length = given.iter().map(|x| x * x).sum::<f32>().sqrt();
    stored.iter().zip(given).all(|(a, b)| (a * length - b).abs() < 1e-3)
}
