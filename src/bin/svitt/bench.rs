//! `svitt bench`: how fast the base model runs here.

use crate::output;
use std::path::PathBuf;
use svitt::Result;
use svitt::backend::BackendKind;
use svitt::bench::{BenchOptions, Direction, Report, Row};

/// Time the base model and the machine's own matrix product
#[derive(clap::Args)]
pub struct Args {
    /// cuda, wgpu, wgpu-wgsl, flex or ndarray; the fastest of this build by default
    #[arg(long)]
    backend: Option<String>,
    /// Frames per clip, one or more
    #[arg(long, value_delimiter = ',', default_value = "4,8")]
    frames: Vec<usize>,
    /// dense, edge, node, hybrid: one or more
    #[arg(long, value_delimiter = ',', default_value = "dense,edge,node,hybrid")]
    modes: Vec<String>,
    /// Time forward and backward, too
    #[arg(long)]
    backward: bool,
    /// Time whole training steps, too: three losses, backward and AdamW
    #[arg(long)]
    train: bool,
    /// Clips at once
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Timed repeats after one warm-up; the median counts
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Write the report to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures and prints row by row.
pub fn run(args: Args) -> Result<()> {
    let kind = BackendKind::choose(args.backend.as_deref())?;
    check(&args)?;
    let mut directions = vec![Direction::Forward];
    directions.extend(args.backward.then_some(Direction::ForwardBackward));
    directions.extend(args.train.then_some(Direction::Train));
    let options =
        BenchOptions { frames: args.frames, modes: args.modes, directions, batch: args.batch, repeats: args.repeats };
    output::print(&format!("{kind:?}: mode, frames, direction: median (fastest to slowest), clips/s, GFLOP/s\n"))?;
    let report = svitt::bench::run(kind, options, |row| {
        let _ = output::print(&line(row));
    })?;
    output::print(&format!("\n{}", table(&report)))?;
    output::write_json(args.json.as_deref(), &report)
}

fn check(args: &Args) -> Result<()> {
    let setting = |name: &str, problem: String, remedy: &str| Err(svitt::Error::setting(name, problem, remedy));
    if let Some(mode) = args.modes.iter().find(|mode| !["dense", "edge", "node", "hybrid"].contains(&mode.as_str())) {
        return setting("--modes", format!("`{mode}` is not a mode"), "use dense, edge, node or hybrid");
    }
    match () {
        () if args.frames.contains(&0) => {
            setting("--frames", "a clip of 0 frames shows nothing".into(), "use 1 or more")
        }
        () if args.batch == 0 => setting("--batch", "a batch of 0 clips takes no time".into(), "use 1 or more"),
        () => Ok(()),
    }
}

fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "forward",
        Direction::ForwardBackward => "forward + backward",
        Direction::Train => "train",
    }
}

fn line(row: &Row) -> String {
    let Row { mode, frames, direction, median_s, min_s, max_s, clips_per_s, gflops, .. } = row;
    let direction = name(*direction);
    format!(
        "{mode}, {frames}, {direction}: {median_s:.3} s ({min_s:.3} to {max_s:.3}), {clips_per_s:.2}, {gflops:.0}\n"
    )
}

fn table(report: &Report) -> String {
    let head = ["mode", "T", "direction", "median s", "clips/s", "GFLOP/s", "of peak", "peak MB"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(report.rows.iter().map(|row| {
        vec![
            row.mode.clone(),
            row.frames.to_string(),
            name(row.direction).to_owned(),
            format!("{:.3}", row.median_s),
            format!("{:.2}", row.clips_per_s),
            format!("{:.0}", row.gflops),
            format!("{:.0} %", 100.0 * row.share_of_peak),
            format!("{:.0}", row.peak_memory_mb),
        ]
    }));
    let peak = format!("matrix product, best of ten 1536³: {:.0} GFLOP/s\n", report.gemm_peak_gflops);
    output::columns(&rows) + &peak
}
