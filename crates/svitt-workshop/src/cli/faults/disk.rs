//! Disks that fill up: every file may grow to a random size only (`ulimit -f`). The program must end with 2, leave no
//! file in pieces, and succeed when there is space again.

use super::training::pretraining;
use super::{FaultContext, FaultRow, files_below, is_partial, limited, must_succeed, run_killed, svitt};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use svitt::{Error, Result};

/// Bytes of a block of `ulimit -f`.
const BLOCK: u64 = 512;

/// A program that writes below a folder.
pub type Program = (&'static str, fn(&FaultContext, &Path) -> Result<Command>);

const PROGRAMS: [Program; 5] =
    [("index", index), ("eval", eval), ("visualize", visualize), ("query", query), ("pretrain", pretrain)];

/// Fills the disk of one program after another.
pub fn disk(bench: &FaultContext, row: &mut FaultRow) -> Result<()> {
    prepare(bench)?;
    let mut largest = Vec::new();
    for (name, program) in PROGRAMS {
        let folder = bench.path(&format!("straight-{name}"));
        must_succeed(&run(&mut command(bench, program, &folder)?)?, name)?;
        let sizes = files_below(&folder).into_iter().filter_map(|file| Some(file.metadata().ok()?.len()));
        largest.push(sizes.max().unwrap_or_default());
    }
    let mut round = 0;
    while row.faults < bench.rounds {
        let at = round % PROGRAMS.len();
        if let Some(loss) = one_run(bench, row, round, PROGRAMS[at], largest[at])? {
            row.losses.push(format!("run {round}, {}: {loss}", PROGRAMS[at].0));
        }
        round += 1;
    }
    Ok(())
}

/// The checkpoint, the videos and the index that the programs read.
pub fn prepare(bench: &FaultContext) -> Result<()> {
    let base = bench.path("pretrained");
    must_succeed(&run_killed(&mut pretraining(bench, &base)?, &bench.folder, None)?, "pretraining")?;
    let (videos, samples) =
        (bench.path("videos"), Path::new(env!("CARGO_MANIFEST_DIR")).join("../svitt-video/tests/fixtures"));
    std::fs::create_dir_all(&videos).map_err(|e| Error::io(&videos, &e))?;
    for name in ["bframes.mp4", "edit-list.mp4", "fragmented.mp4", "vp9.webm", "rotated.mov"] {
        std::fs::copy(samples.join(name), videos.join(name)).map_err(|e| Error::io(samples.join(name), &e))?;
    }
    must_succeed(&run(&mut index(bench, &bench.folder)?)?, "indexing")
}

/// A run on a full disk, after a whole one every other time, and a run with space again; what was lost.
fn one_run(
    bench: &FaultContext,
    row: &mut FaultRow,
    round: usize,
    (_, program): Program,
    largest: u64,
) -> Result<Option<String>> {
    let (folder, mut rng) = (bench.path(&format!("full-{round}")), bench.rng(round));
    if rng.chance(0.5) {
        must_succeed(&run(&mut command(bench, program, &folder)?)?, "a run before the disk is full")?;
    }
    let blocks = rng.below((largest / BLOCK) as usize + 1);
    let full = run(&mut limited(&command(bench, program, &folder)?, &format!("-f {blocks}")))?;
    let mut loss = None;
    if !full.success {
        row.faults += 1;
        let partial = files_below(&folder).into_iter().find(|file| is_partial(file));
        loss = match () {
            () if full.code != Some(2) => Some(format!("ended with {:?}: {}", full.code, full.err.trim())),
            () if !full.err.contains("error: ") => Some(format!("no error line: {}", full.err.trim())),
            () => partial.map(|file| format!("left {} behind", file.display())),
        };
        loss = loss.or_else(|| in_pieces(&folder, false));
    }
    let again = run(&mut command(bench, program, &folder)?)?;
    row.resumed += usize::from(again.success);
    if !again.success {
        loss = loss.or(Some(format!("with {blocks} blocks, then with space: {}", again.err.trim())));
    }
    loss = loss.or_else(|| in_pieces(&folder, true));
    let _ = std::fs::remove_dir_all(&folder);
    Ok(loss)
}

/// Makes `folder` and the command that writes into it.
fn command(
    bench: &FaultContext,
    program: fn(&FaultContext, &Path) -> Result<Command>,
    folder: &Path,
) -> Result<Command> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
    program(bench, folder)
}

/// Runs `command` with pipes, which no limit of file sizes cuts.
fn run(command: &mut Command) -> Result<super::FinishedProcess> {
    let output = command.output().map_err(|e| Error::io(command.get_program(), &e))?;
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let status = output.status;
    Ok(super::FinishedProcess { killed: false, success: status.success(), code: status.code(), out, err })
}

/// A file of `folder` that does not end as such files do. The log of training is appended to, and cut where it is read;
/// it has to be whole only when a run has ended (`ended`).
fn in_pieces(folder: &Path, ended: bool) -> Option<String> {
    let broken = |file: &PathBuf| {
        let bytes = std::fs::read(file).unwrap_or_default();
        let ends = |end: &[u8]| bytes.trim_ascii_end().ends_with(end);
        match file.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
            "json" => serde_json::from_slice::<Value>(&bytes).is_err(),
            "jsonl" if ended || file.file_name().is_some_and(|name| name != "metrics.jsonl") => {
                let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                !bytes.ends_with(b"\n") || lines.any(|line| serde_json::from_slice::<Value>(line).is_err())
            }
            "html" => !ends(b"</html>"),
            "svg" => !ends(b"</svg>"),
            "png" => !bytes.ends_with(b"IEND\xaeB`\x82"),
            _ => false,
        }
    };
    files_below(folder).into_iter().find(broken).map(|file| format!("{} is in pieces", file.display()))
}

fn with_checkpoint(bench: &FaultContext, words: &[&str]) -> Result<Command> {
    let mut command = svitt()?;
    command.args(words).args(["--backend", "flex", "--checkpoint"]).arg(bench.path("pretrained/stage-2"));
    Ok(command)
}

/// `search index` of a few videos.
pub fn index(bench: &FaultContext, folder: &Path) -> Result<Command> {
    let mut command = with_checkpoint(bench, &["search", "index"])?;
    command.arg(bench.path("videos")).args(["--clip-seconds", "0.4", "--overlap", "0.9"]);
    command.arg("--index").arg(folder.join("index")).arg("--json").arg(folder.join("report.json"));
    Ok(command)
}

fn eval(bench: &FaultContext, folder: &Path) -> Result<Command> {
    let mut command = with_checkpoint(bench, &["eval", "shapes", "--limit", "40"])?;
    command.arg("--features").arg(folder.join("features"));
    command.arg("--json").arg(folder.join("report.json")).arg("--dump").arg(folder.join("dump.jsonl"));
    Ok(command)
}

fn visualize(bench: &FaultContext, folder: &Path) -> Result<Command> {
    let mut command = with_checkpoint(bench, &["visualize"])?;
    command.arg(bench.path("videos/bframes.mp4")).arg("--out").arg(folder.join("pictures"));
    Ok(command)
}

fn query(bench: &FaultContext, folder: &Path) -> Result<Command> {
    let mut command = with_checkpoint(bench, &["search", "query", "a red square moves left"])?;
    command.arg("--index").arg(bench.path("index")).arg("--html").arg(folder.join("found.html"));
    command.arg("--json").arg(folder.join("found.json"));
    Ok(command)
}

/// Pretraining, resumed where it was begun.
fn pretrain(bench: &FaultContext, folder: &Path) -> Result<Command> {
    let run = folder.join("run");
    let mut command = pretraining(bench, &run)?;
    if run.join("checkpoint").exists() {
        command.arg("--resume");
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_files_are_told_from_whole_ones() {
        let folder = tempfile::tempdir().unwrap();
        let cases: [(&str, &[u8], usize); 5] = [
            ("a.json", b"{\"a\": [1]}\n", 8),
            ("a.jsonl", b"{\"a\": 1}\n{\"a\": 2}\n", 15),
            ("a.html", b"<html></html>\n", 9),
            ("a.svg", b"<svg></svg>", 5),
            ("a.png", b"..IEND\xaeB`\x82", 8),
        ];
        for (name, bytes, cut) in cases {
            let file = folder.path().join(name);
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(in_pieces(folder.path(), true), None);
            std::fs::write(&file, &bytes[..cut]).unwrap();
            assert!(in_pieces(folder.path(), true).is_some_and(|problem| problem.contains(name)));
            std::fs::remove_file(&file).unwrap();
        }
        std::fs::write(folder.path().join("metrics.jsonl"), "{\"step\"").unwrap();
        assert!(in_pieces(folder.path(), false).is_none() && in_pieces(folder.path(), true).is_some());
    }
}
