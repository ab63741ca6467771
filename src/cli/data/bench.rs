//! `svitt data bench`: how fast videos are decoded here.

use crate::cli::output::{self, JsonArg};
use crate::limits::{self, count};
use crate::{Error, Result};
use serde::Serialize;
use std::path::PathBuf;
use svitt_video::{DecodeSpeed, videos_below};

/// Time the built-in decoders against the ffmpeg program, one thread each
#[derive(clap::Args)]
pub struct Args {
    /// A folder of videos, or one
    folder: PathBuf,
    /// Frames of a clip
    #[arg(long, default_value_t = 12, value_parser = count(1, limits::FRAMES))]
    frames: usize,
    /// Timed repeats after one warm-up
    #[arg(long, default_value_t = 5, value_parser = count(1, 1_000))]
    repeats: usize,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct DecodeReport {
    frames: usize,
    rows: Vec<DecodeSpeed>,
    /// Files that the built-in decoders leave to the ffmpeg program.
    left_out: Vec<String>,
    clips_per_s: f64,
    ffmpeg_clips_per_s: f64,
    frames_per_s: f64,
    ffmpeg_frames_per_s: f64,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let found = videos_below(&args.folder)?;
    let unreadable = found.unreadable.iter().map(|(path, reason)| format!("{}: {reason}", path.display()));
    let (mut rows, mut left_out) = (Vec::new(), unreadable.collect::<Vec<_>>());
    for path in found.videos {
        match DecodeSpeed::measure(&path, args.frames, args.repeats)? {
            Some(row) => rows.push(row),
            None => left_out.push(path.display().to_string()),
        }
    }
    if rows.is_empty() {
        let problem = format!("holds no video that is decoded without ffmpeg ({} others)", left_out.len());
        return Err(Error::file(&args.folder, problem, "give a folder of H.264 or VP9 videos"));
    }
    let sum = |seconds: fn(&DecodeSpeed) -> f64| rows.iter().map(seconds).sum::<f64>();
    let (clips, frames) = (rows.len() as f64, rows.iter().map(|row| row.frames_total).sum::<usize>() as f64);
    let report = DecodeReport {
        frames: args.frames,
        clips_per_s: clips / sum(|row| row.clip_s),
        ffmpeg_clips_per_s: clips / sum(|row| row.ffmpeg_clip_s),
        frames_per_s: frames / sum(|row| row.whole_s),
        ffmpeg_frames_per_s: frames / sum(|row| row.ffmpeg_whole_s),
        rows,
        left_out,
    };
    output::print(&table(&report))?;
    args.json.write(&report)
}

fn table(report: &DecodeReport) -> String {
    let head = ["file", "size", "frames", "clip ms", "ffmpeg ms", "speed", "whole ms", "ffmpeg ms", "speed"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let ms = |seconds: f64| format!("{:.0}", 1000.0 * seconds);
    rows.extend(report.rows.iter().map(|row| {
        vec![
            row.media.rsplit('/').next().unwrap_or_default().to_owned(),
            format!("{}x{}", row.size[0], row.size[1]),
            row.frames_total.to_string(),
            ms(row.clip_s),
            ms(row.ffmpeg_clip_s),
            format!("{:.2}", row.ffmpeg_clip_s / row.clip_s),
            ms(row.whole_s),
            ms(row.ffmpeg_whole_s),
            format!("{:.2}", row.ffmpeg_whole_s / row.whole_s),
        ]
    }));
    let DecodeReport { frames, clips_per_s, ffmpeg_clips_per_s, frames_per_s, ffmpeg_frames_per_s, .. } = report;
    let others = if report.left_out.is_empty() {
        String::new()
    } else {
        format!("left to ffmpeg: {}\n", report.left_out.join(", "))
    };
    format!(
        "{}clips of {frames} frames per second on one core: {clips_per_s:.1}, ffmpeg {ffmpeg_clips_per_s:.1} ({:.2} \
         of it)\nwhole videos, frames per second: {frames_per_s:.0}, ffmpeg {ffmpeg_frames_per_s:.0} ({:.2} of \
         it)\n{others}",
        output::columns(&rows),
        clips_per_s / ffmpeg_clips_per_s,
        frames_per_s / ffmpeg_frames_per_s,
    )
}
