//! `svitt data frames`: what the model would see of a video.

use crate::Result;
use crate::cli::output::{self, JsonArg};
use crate::limits::{self, count, number};
use clap::ValueEnum;
use std::fmt::Write as _;
use std::path::PathBuf;
use svitt_ops::rng::Rng;
use svitt_video::{ClipRequest, FrameSampling, Inspection, ReaderKind, ReaderOptions, inspect};

/// Say which frames of a video the model would see, and through which decoder
#[derive(clap::Args)]
pub struct Args {
    /// The video
    file: PathBuf,
    /// Frames of the clip
    #[arg(long, value_name = "N", value_parser = count(1, limits::VIDEO_FRAMES))]
    frames: usize,
    /// middle (evaluation) or rand (training)
    #[arg(long, default_value = "middle")]
    sample: Sample,
    /// Seed of rand
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Seconds after the first frame where the clip begins
    #[arg(long, value_name = "S", value_parser = number(0.0, 1e9))]
    start: Option<f64>,
    /// Seconds after the first frame where the clip ends
    #[arg(long, value_name = "S", value_parser = number(0.0, 1e9))]
    end: Option<f64>,
    /// The decoder: auto takes the built-in one where it can
    #[arg(long, default_value = "auto")]
    reader: ReaderKind,
    /// Write the frames as pictures to this folder
    #[arg(long, value_name = "DIR")]
    png: Option<PathBuf>,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sample {
    Middle,
    Rand,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let sampling = match args.sample {
        Sample::Middle => FrameSampling::Middle,
        Sample::Rand => FrameSampling::Rand,
    };
    let request = ClipRequest { start: args.start, end: args.end, ..ClipRequest::new(args.frames, sampling) };
    let options = ReaderOptions { kind: args.reader, ..ReaderOptions::default() };
    let report = inspect(&args.file, &request, Rng::new(args.seed, &[]).into_uniform(), args.png.as_deref(), &options)?;
    report.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    output::print(&text(&report))?;
    args.json.write(&report)
}

fn text(report: &Inspection) -> String {
    let Inspection { media, decoder, frames_total, width, height, duration_s, fps, .. } = report;
    let mut text = format!(
        "{media}\n{decoder} decoder, {frames_total} frames of {width} x {height}, {duration_s:.2} s, {fps:.2} per second\n"
    );
    for frame in &report.frames {
        let [r, g, b] = frame.mean_rgb;
        let (index, seconds) = (frame.index, frame.pts_s);
        let _ = writeln!(text, "frame {index:>6} at {seconds:>9.3} s, mean colour {r:5.1} {g:5.1} {b:5.1}");
    }
    text
}
