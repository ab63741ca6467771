//! `svitt bench`: how fast the base model runs here, and whether that is faster than it was.

use crate::bench::{BenchDirection, BenchOptions, BenchReport, BenchRow, Comparison, PartTiming, Verdict};
use std::path::{Path, PathBuf};
use svitt::backend::BackendKind;
use svitt::cli::{allocator, output};
use svitt::config::check_keep_rate;
use svitt::limits::{self, count, number};
use svitt::{Error, Result};

/// Time the base model and the machine's own matrix product
#[derive(clap::Args)]
pub struct Args {
    /// cuda, wgpu, wgpu-wgsl, flex or ndarray; the fastest of this build by default
    #[arg(long)]
    backend: Option<String>,
    /// svitt-base, singularity-base, umt-base or umt-large: whose encoder
    #[arg(long, value_name = "NAME", default_value = "svitt-base")]
    model: String,
    /// Frames per clip, one or more
    #[arg(long, value_delimiter = ',', default_value = "4,8", value_parser = count(1, limits::FRAMES))]
    frames: Vec<usize>,
    /// dense, edge, node, hybrid: one or more
    #[arg(long, value_delimiter = ',', default_value = "dense,edge,node,hybrid")]
    modes: Vec<String>,
    /// Keep rates of node and hybrid, one or more; those of Table 2 by default
    #[arg(long, value_name = "Q", value_delimiter = ',', value_parser = number(0.0, 1.0))]
    keep: Vec<f64>,
    /// Time forward and backward, too
    #[arg(long)]
    backward: bool,
    /// Time whole training steps, too: three losses, backward and AdamW
    #[arg(long)]
    train: bool,
    /// Time the parts of a layer alone, too: products, attention, branches, selection
    #[arg(long, conflicts_with = "against")]
    parts: bool,
    /// f32, bf16 or int8 (forward alone); weights and optimizer are f32 in every case
    #[arg(long, value_name = "NAME", default_value = "f32")]
    precision: String,
    /// Time only what --backward, --train and --parts ask for, not the forward
    #[arg(long)]
    no_forward: bool,
    /// Clips at once
    #[arg(long, default_value_t = 1, value_parser = count(1, limits::BATCH))]
    batch: usize,
    /// Timed repeats after one warm-up; the median counts
    #[arg(long, default_value_t = 5, value_parser = count(1, 10_000))]
    repeats: usize,
    /// Time this backend as well, the repeats of both taking turns, and compare it with --backend
    #[arg(long, value_name = "BACKEND", conflicts_with = "compare")]
    against: Option<String>,
    /// Measure nothing: compare the second saved report with the first
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"])]
    compare: Option<Vec<PathBuf>>,
    /// Measure nothing: print the table of a saved report as Markdown
    #[arg(long, value_name = "FILE", conflicts_with = "compare")]
    markdown: Option<PathBuf>,
    /// Write the report to this file; with --against or --compare, the comparison
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures and prints row by row, or works on saved reports.
pub fn run(args: Args) -> Result<()> {
    if let Some([first, second]) = args.compare.as_deref() {
        let comparison = Comparison::new(&read(first)?, &read(second)?);
        return show(&comparison, args.json.as_deref());
    }
    if let Some(path) = &args.markdown {
        return output::print(&markdown(&read(path)?));
    }
    let kind = BackendKind::choose(args.backend.as_deref())?;
    check(&args)?;
    let mut directions = Vec::new();
    directions.extend((!args.no_forward).then_some(BenchDirection::Forward));
    directions.extend(args.backward.then_some(BenchDirection::ForwardBackward));
    directions.extend(args.train.then_some(BenchDirection::Train));
    let options = BenchOptions {
        model: args.model.parse()?,
        frames: args.frames,
        modes: args.modes,
        keep: args.keep,
        directions,
        parts: args.parts,
        precision: args.precision.parse()?,
        batch: args.batch,
        repeats: args.repeats,
        prepare,
    };
    output::print("mode, frames, direction: median (fastest to slowest), clips/s, GFLOP/s\n")?;
    if let Some(other) = &args.against {
        let other = BackendKind::choose(Some(other))?;
        let [first, second] = crate::bench::run_both([kind, other], &options, |kind, row| {
            let _ = output::print(&format!("{}: {}", kind.name(), line(row)));
        })?;
        return show(&Comparison::new(&first, &second), args.json.as_deref());
    }
    let mut report = crate::bench::run(kind, &options, |row| {
        let _ = output::print(&line(row));
    })?;
    if options.parts {
        report.parts = crate::bench::parts(kind, &options, |part| {
            let _ = output::print(&part_line(part));
        })?;
    }
    output::print(&format!("\n{}", table(&report)))?;
    output::write_json(args.json.as_deref(), &report)
}

fn read(path: &Path) -> Result<BenchReport> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, &e))?;
    serde_json::from_str(&text)
        .map_err(|e| Error::file(path, format!("this is no report of `bench` ({e})"), "write one with `bench --json`"))
}

fn check(args: &Args) -> Result<()> {
    let setting = |name: &str, problem: String, remedy: &str| Err(Error::setting(name, problem, remedy));
    if let Some(mode) = args.modes.iter().find(|mode| !["dense", "edge", "node", "hybrid"].contains(&mode.as_str())) {
        return setting("--modes", format!("`{mode}` is not a mode"), "use dense, edge, node or hybrid");
    }
    match () {
        () if args.frames.contains(&0) => {
            setting("--frames", "a clip of 0 frames shows nothing".into(), "use 1 or more")
        }
        () if args.no_forward && !args.backward && !args.train && !args.parts => {
            setting("--no-forward", "nothing is left to be timed".into(), "add --backward, --train or --parts")
        }
        () if args.batch == 0 => setting("--batch", "a batch of 0 clips takes no time".into(), "use 1 or more"),
        () => args.keep.iter().try_for_each(|&rate| check_keep_rate("--keep", rate)),
    }
}

/// Prepares the allocator for a row: no free pages of earlier rows, and the settings of training where training is
/// timed.
fn prepare(direction: BenchDirection) {
    allocator::release_pages();
    allocator::save_memory(direction == BenchDirection::Train);
}

fn name(direction: BenchDirection) -> &'static str {
    match direction {
        BenchDirection::Forward => "forward",
        BenchDirection::ForwardBackward => "forward + backward",
        BenchDirection::Train => "train",
    }
}

fn line(row: &BenchRow) -> String {
    let BenchRow { mode, frames, direction, median_s, min_s, max_s, clips_per_s, gflops, .. } = row;
    let direction = name(*direction);
    format!(
        "{mode}, {frames}, {direction}: {median_s:.3} s ({min_s:.3} to {max_s:.3}), {clips_per_s:.2}, {gflops:.0}\n"
    )
}

fn part_line(part: &PartTiming) -> String {
    let PartTiming { name, frames, backward, median_ms, min_ms, max_ms, gflops, .. } = part;
    let direction = if *backward { ", forward + backward" } else { "" };
    let rate = if *gflops > 0.0 { format!(", {gflops:.0} GFLOP/s") } else { String::new() };
    format!("{name}, {frames}{direction}: {median_ms:.2} ms ({min_ms:.2} to {max_ms:.2}){rate}\n")
}

const HEAD: [&str; 9] = ["mode", "T", "direction", "median s", "clips/s", "GFLOP/s", "of peak", "peak MB", "device MB"];

fn cells(row: &BenchRow) -> Vec<String> {
    // The true convention counts the video encoder alone; a training step has no number.
    let known = |text: String| if row.gflops > 0.0 { text } else { "-".to_owned() };
    vec![
        row.mode.clone(),
        row.frames.to_string(),
        name(row.direction).to_owned(),
        format!("{:.3}", row.median_s),
        format!("{:.2}", row.clips_per_s),
        known(format!("{:.0}", row.gflops)),
        known(format!("{:.0} %", 100.0 * row.share_of_peak)),
        format!("{:.0}", row.peak_memory_mb),
        if row.device_memory_mb > 0.0 { format!("{:.0}", row.device_memory_mb) } else { "-".to_owned() },
    ]
}

fn peak(report: &BenchReport) -> String {
    format!("matrix product, best of ten 1536³: {:.0} GFLOP/s", report.gemm_peak_gflops)
}

fn table(report: &BenchReport) -> String {
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    rows.extend(report.rows.iter().map(cells));
    let rows = if report.rows.is_empty() { String::new() } else { output::columns(&rows) };
    rows + &peak(report) + "\n"
}

fn markdown(report: &BenchReport) -> String {
    let machine = &report.machine;
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = format!(
        "{}, {} threads of {} ({}), commit {}, {}; {}:\n\n",
        report.backend,
        report.threads,
        machine.cpu,
        machine.vectors,
        machine.commit,
        machine.date,
        peak(report)
    );
    text += &line(&HEAD.map(str::to_owned));
    text += &line(&HEAD.map(|_| "---".to_owned()));
    report.rows.iter().for_each(|row| text += &line(&cells(row)));
    text
}

/// Prints a comparison and writes it to `json`.
fn show(comparison: &Comparison, json: Option<&Path>) -> Result<()> {
    let head = ["mode", "T", "direction", "first s", "second s", "change", "spread s", "verdict"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(comparison.pairs.iter().map(|pair| {
        let verdict = match pair.verdict {
            Verdict::Gain => "faster",
            Verdict::Loss => "slower",
            Verdict::WithinSpread => "within the spread",
        };
        let [first, second] = pair.median_s.map(|s| format!("{s:.3}"));
        let (change, spread) = (format!("{:+.1} %", 100.0 * pair.change), format!("{:.3}", pair.spread_s));
        let work = [pair.mode.clone(), pair.frames.to_string(), name(pair.direction).to_owned()];
        work.into_iter().chain([first, second, change, spread, verdict.to_owned()]).collect()
    }));
    let [first, second] = &comparison.of;
    let [a, b] = comparison.gemm_peak_gflops;
    let mut text = format!("first: {first}; matrix product {a:.0} GFLOP/s\n");
    text += &format!("second: {second}; matrix product {b:.0} GFLOP/s\n\n{}", output::columns(&rows));
    comparison.unpaired.iter().for_each(|row| text += &format!("not compared: {row}\n"));
    output::print(&text)?;
    output::write_json(json, comparison)
}
