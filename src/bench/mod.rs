//! Measurements of the base-size model: warm-up, repeats, medians, and the share of what the machine's matrix product
//! reaches in the same run.

mod gemm;
mod workload;

use crate::Result;
use crate::backend::{BackendKind, Task, TrainBackend, dispatch};
use crate::config::Compat;
use crate::profile::{Convention, Profile, peak_memory_mb, published, reset_peak_memory};
use serde::Serialize;
use workload::Workload;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The video encoder's forward, without gradients.
    Forward,
    /// The video encoder, forward and backward.
    ForwardBackward,
    /// The whole model: three losses, backward, AdamW.
    Train,
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Clip lengths.
    pub frames: Vec<usize>,
    /// dense, edge, node, hybrid.
    pub modes: Vec<String>,
    /// Which directions.
    pub directions: Vec<Direction>,
    /// Clips at once.
    pub batch: usize,
    /// Timed repeats after one warm-up.
    pub repeats: usize,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// dense, edge, node or hybrid; edge is (K_l, K_r, G) = (1, 3, 56), keep rates are those of Table 2.
    pub mode: String,
    /// T.
    pub frames: usize,
    /// What was timed.
    pub direction: Direction,
    /// Clips at once.
    pub batch: usize,
    /// Median of the repeats, seconds.
    pub median_s: f64,
    /// Fastest repeat, seconds.
    pub min_s: f64,
    /// Slowest repeat, seconds: the spread tells which differences mean something.
    pub max_s: f64,
    /// Clips per second, by the median.
    pub clips_per_s: f64,
    /// GFLOP/s by the true convention of SPEC §11, three times the forward's where gradients are computed; 0 for
    /// `train`, whose text side that convention does not count.
    pub gflops: f64,
    /// `gflops` over the measured peak, 0-1.
    pub share_of_peak: f64,
    /// Largest resident memory of the process during the row, MB (host memory: on a GPU not the card's).
    pub peak_memory_mb: f64,
}

/// Everything one run measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Backend name.
    pub backend: String,
    /// The best of ten 1536³ f32 products.
    pub gemm_peak_gflops: f64,
    /// Threads the CPU backends use.
    pub threads: usize,
    /// One per frames × mode × direction.
    pub rows: Vec<Row>,
}

/// Measures `options` on `kind`, handing every finished row to `seen`.
///
/// # Errors
/// The backend cannot be used, or a mode's settings do not fit.
pub fn run(kind: BackendKind, options: BenchOptions, seen: impl FnMut(&Row)) -> Result<Report> {
    dispatch(kind, Bench { kind, options, seen })?
}

struct Bench<F> {
    kind: BackendKind,
    options: BenchOptions,
    seen: F,
}

impl<F: FnMut(&Row)> Task for Bench<F> {
    type Output = Result<Report>;

    fn run<B: TrainBackend>(mut self, device: B::Device) -> Self::Output {
        let peak = gemm::peak_gflops::<B>(&device);
        let mut rows = Vec::new();
        for &frames in &self.options.frames {
            for mode in &self.options.modes {
                for &direction in &self.options.directions {
                    let row = measure::<B>(frames, mode, direction, &self.options, peak, &device)?;
                    (self.seen)(&row);
                    rows.push(row);
                }
            }
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Report { backend: self.kind.name().into(), gemm_peak_gflops: peak, threads, rows })
    }
}

fn measure<B: TrainBackend>(
    frames: usize,
    mode: &str,
    direction: Direction,
    options: &BenchOptions,
    peak: f64,
    device: &B::Device,
) -> Result<Row> {
    let mut config = published::base_in_mode(frames, mode);
    let flops = Profile::of(&config, Convention::True)?.flops() as f64 * options.batch as f64;
    config.compat = Compat::Corrected;
    let mut workload = Workload::<B>::new(&config, direction, options.batch, device)?;
    workload.run()?;
    reset_peak_memory();
    let mut seconds = (0..options.repeats.max(1)).map(|_| workload.timed()).collect::<Result<Vec<f64>>>()?;
    let memory = peak_memory_mb();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let passes = match direction {
        Direction::Forward => 1.0,
        Direction::ForwardBackward => 3.0,
        Direction::Train => 0.0,
    };
    let gflops = passes * flops / median / 1e9;
    Ok(Row {
        mode: mode.into(),
        frames,
        direction,
        batch: options.batch,
        median_s: median,
        min_s: seconds[0],
        max_s: seconds[seconds.len() - 1],
        clips_per_s: options.batch as f64 / median,
        gflops,
        share_of_peak: gflops / peak,
        peak_memory_mb: memory,
    })
}
