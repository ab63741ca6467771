//! `data compress`, ended while encoders of its own run: none of them lives on, and what they left changes nothing.

use super::{FaultContext, FaultRow, has_partial_files, moment, must_succeed, run_killed, run_signalled, svitt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use svitt::{Error, Result};
use svitt_ops::rng::Rng;
use svitt_video::{ReaderOptions, VideoReader, encode::write_rgb};

/// Videos, and their frames of [`SIZE`]: a second of work each.
const VIDEOS: usize = 4;
const FRAMES: usize = 64;
const SIZE: [usize; 2] = [320, 240];

/// An orphan ends within this time, or counts as one that lives on.
const PATIENCE: Duration = Duration::from_secs(3);

/// Ends `data compress` with SIGTERM and SIGKILL by turns.
pub fn compress(bench: &FaultContext, row: &mut FaultRow) -> Result<()> {
    let source = bench.path("videos");
    make_videos(&source)?;
    let command = |out: &Path| -> Result<Command> {
        let mut command = svitt()?;
        command.args(["data", "compress"]).arg(&source).arg("--out").arg(out).args(["--jobs", "2", "--fps", "25"]);
        Ok(command)
    };
    let (straight, start) = (bench.path("straight"), Instant::now());
    must_succeed(&run_killed(&mut command(&straight)?, &bench.folder, None)?, "an uninterrupted run")?;
    let (whole, expected) = (start.elapsed(), lengths(&straight));
    let mut round = 0;
    while row.faults < bench.rounds {
        let (out, mut rng) = (bench.path(&format!("killed-{round}")), bench.rng(round));
        let signal = if round % 2 == 0 { "TERM" } else { "KILL" };
        let due = moment(whole, &mut rng, || has_partial_files(&out));
        let ended = run_signalled(&mut command(&out)?, &bench.folder, signal, &due)?;
        row.faults += usize::from(ended.killed);
        row.mid_write += usize::from(ended.killed && has_partial_files(&out));
        if let Some(command) = orphan(&out) {
            row.losses.push(format!("run {round}: after SIG{signal} a child lives on: {command}"));
        }
        let ended = run_killed(&mut command(&out)?, &bench.folder, None)?;
        row.resumed += usize::from(ended.success);
        let found = lengths(&out);
        if !ended.success || found != expected {
            let said = ended.err.trim();
            row.losses.push(format!("run {round}: after SIG{signal} {found:?} frames, not {expected:?}: {said}"));
        }
        if has_partial_files(&out) {
            row.losses.push(format!("run {round}: parts of the run that was ended are there still"));
        }
        let _ = std::fs::remove_dir_all(&out);
        round += 1;
    }
    Ok(())
}

/// Videos of noise, which is slow to encode.
fn make_videos(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
    for video in 0..VIDEOS {
        let mut rng = Rng::new(9, &[video as u64]);
        let rgb: Vec<u8> = (0..FRAMES * SIZE[0] * SIZE[1] * 3 / 8).flat_map(|_| rng.bits().to_le_bytes()).collect();
        write_rgb(&folder.join(format!("{video}.mp4")), &rgb, SIZE, 25.0)?;
    }
    Ok(())
}

/// Frames of every video; none for one that cannot be read.
fn lengths(folder: &Path) -> Vec<Option<usize>> {
    let frames = |video: usize| {
        let mut reader = VideoReader::open(&folder.join(format!("{video}.mp4")), &ReaderOptions::default()).ok()?;
        let last = reader.len() - 1;
        reader.get_frames(&[0, last]).ok().map(|_| last + 1)
    };
    (0..VIDEOS).map(frames).collect()
}

/// The command line of a process that names `folder` and does not end soon; none where the system does not list them.
fn orphan(folder: &Path) -> Option<String> {
    let folder = folder.to_string_lossy().into_owned();
    let start = Instant::now();
    loop {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let line = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).ok();
        let lines = processes.filter_map(line).map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        let found = lines.into_iter().find(|line| line.contains(&folder));
        if found.is_none() || start.elapsed() > PATIENCE {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
