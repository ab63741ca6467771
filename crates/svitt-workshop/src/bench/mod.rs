//! Measurements of the base-size model: warm-up, repeats, medians, and the share of what the machine's matrix product
//! reaches in the same run.

mod compare;
mod gemm;
mod machine;
mod parts;
mod workload;

pub use compare::{Comparison, RowPair, Verdict};
pub use machine::MachineInfo;
pub use parts::PartTiming;

use serde::{Deserialize, Serialize};
use svitt::Result;
use svitt::backend::{BackendKind, BackendTask, arithmetic, dispatch, precision};
use svitt::config::{Compat, ModelConfig, NamedModel, Precision};
use svitt::profile::{Convention, Profile, peak_memory_mb, published, reset_peak_memory};
use svitt_ops::TrainBackend;
use svitt_ops::device::Arithmetic;
use workload::{TimedWork, prepare};

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BenchDirection {
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
    /// Whose encoder.
    pub model: NamedModel,
    /// Clip lengths.
    pub frames: Vec<usize>,
    /// dense, edge, node, hybrid.
    pub modes: Vec<String>,
    /// Keep rates q_v of node and hybrid; empty: those of Table 2.
    pub keep: Vec<f64>,
    /// Which directions.
    pub directions: Vec<BenchDirection>,
    /// Whether the parts of a layer are timed alone, too.
    pub parts: bool,
    /// What is computed in.
    pub precision: Precision,
    /// Clips at once.
    pub batch: usize,
    /// Timed repeats after one warm-up.
    pub repeats: usize,
    /// Called before every row: gives the free pages of the program's allocator back, so that what earlier rows freed
    /// is not counted as this row's memory, and sets the allocator as programs that do such work set it.
    pub prepare: fn(BenchDirection),
}

/// One line of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BenchRow {
    /// dense, edge, node or hybrid; edge is (K_l, K_r, G) = (1, 3, 56), keep rates are those of Table 2 or named here.
    pub mode: String,
    /// T.
    pub frames: usize,
    /// What was timed.
    pub direction: BenchDirection,
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
    /// GFLOP/s by the true convention (docs/model.md, "Operations"), three times the forward's where gradients are
    /// computed; 0 for `train`, whose text side that convention does not count.
    pub gflops: f64,
    /// `gflops` over the measured peak, 0-1.
    pub share_of_peak: f64,
    /// Largest resident memory of the process during the row's repeats, MB: weights, batch and work, not what earlier
    /// rows freed (host memory: on a GPU not the card's; of both backends together where two take turns).
    pub peak_memory_mb: f64,
    /// What the device's allocator holds after the row's repeats, MB, earlier rows of the run included: measure one row
    /// per run to have its own. 0 on CPUs.
    #[serde(default)]
    pub device_memory_mb: f64,
}

/// Everything one run measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BenchReport {
    /// Backend name.
    pub backend: String,
    /// The best of ten 1536³ products: on CPUs in the precision of the rows, on GPUs in f32.
    pub gemm_peak_gflops: f64,
    /// Threads the CPU backends use.
    pub threads: usize,
    /// What was computed in.
    #[serde(default)]
    pub precision: Precision,
    /// What products were computed in; empty in older files.
    #[serde(default)]
    pub arithmetic: String,
    /// Where, when and of which commit.
    #[serde(default)]
    pub machine: MachineInfo,
    /// Parts of the first layer, where they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartTiming>,
    /// One per frames × mode × direction.
    pub rows: Vec<BenchRow>,
}

/// Measures `options` on `kind`, handing every finished row to `seen`.
///
/// # Errors
/// The backend cannot be used, or a mode's settings do not fit.
pub fn run(kind: BackendKind, options: &BenchOptions, mut seen: impl FnMut(&BenchRow)) -> Result<BenchReport> {
    let mut reports = measure(&[kind], options, |_, row| seen(row))?;
    Ok(reports.remove(0))
}

/// Measures the parts of the base encoder's first layer on `kind`, handing every finished one to `seen`.
///
/// # Errors
/// The backend cannot be used, or does not compute in the precision.
pub fn parts(kind: BackendKind, options: &BenchOptions, mut seen: impl FnMut(&PartTiming)) -> Result<Vec<PartTiming>> {
    dispatch(kind, parts::PartsTask { kind, options, seen: &mut seen })?
}

/// Measures `options` on `first` and `second`, their repeats taking turns so that what else the machine does meets
/// both; a finished row comes with its backend.
///
/// # Errors
/// As [`run`].
pub fn run_both(
    [first, second]: [BackendKind; 2],
    options: &BenchOptions,
    seen: impl FnMut(BackendKind, &BenchRow),
) -> Result<[BenchReport; 2]> {
    let mut reports = measure(&[first, second], options, seen)?.into_iter();
    match (reports.next(), reports.next()) {
        (Some(first), Some(second)) => Ok([first, second]),
        _ => unreachable!("a report per backend"),
    }
}

fn measure(
    kinds: &[BackendKind],
    options: &BenchOptions,
    mut seen: impl FnMut(BackendKind, &BenchRow),
) -> Result<Vec<BenchReport>> {
    let mut reports = kinds.iter().map(|&kind| empty_report(kind, options)).collect::<Result<Vec<_>>>()?;
    for &frames in &options.frames {
        for mode in &options.modes {
            for case in BenchCase::all(frames, mode, options) {
                let peaks: Vec<f64> = reports.iter().map(|report| report.gemm_peak_gflops).collect();
                for ((row, report), &kind) in case.rows(kinds, &peaks)?.into_iter().zip(&mut reports).zip(kinds) {
                    seen(kind, &row);
                    report.rows.push(row);
                }
            }
        }
    }
    Ok(reports)
}

fn empty_report(kind: BackendKind, options: &BenchOptions) -> Result<BenchReport> {
    struct Peak(BackendKind, Precision);
    impl BackendTask for Peak {
        type Output = Result<(f64, Precision)>;

        fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
            let Self(kind, asked) = self;
            let precision = precision::<B>(kind, &device, Some(asked), Precision::F32)?;
            let arithmetic = if kind.is_cpu() { precision.arithmetic() } else { Arithmetic::F32 };
            // weights that a gradient may ask for are not kept packed
            Ok((gemm::peak_gflops::<B::InnerBackend>(arithmetic, &device), precision))
        }
    }
    let (peak, precision) = dispatch(kind, Peak(kind, options.precision))??;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(BenchReport {
        backend: kind.name().into(),
        gemm_peak_gflops: peak,
        threads,
        precision,
        arithmetic: arithmetic(kind, precision).into(),
        machine: MachineInfo::here(),
        parts: Vec::new(),
        rows: Vec::new(),
    })
}

/// One line of the table to be measured.
struct BenchCase<'a> {
    frames: usize,
    mode: &'a str,
    keep: Option<f64>,
    direction: BenchDirection,
    options: &'a BenchOptions,
}

impl<'a> BenchCase<'a> {
    /// The rows of one mode and clip length: every keep rate where the mode has one, every direction.
    fn all(frames: usize, mode: &'a str, options: &'a BenchOptions) -> Vec<Self> {
        let rates: Vec<Option<f64>> = match mode {
            "node" | "hybrid" if !options.keep.is_empty() => options.keep.iter().copied().map(Some).collect(),
            _ => vec![None],
        };
        let directions = |keep| options.directions.iter().map(move |&direction| (keep, direction));
        let cases = rates.into_iter().flat_map(directions);
        cases.map(|(keep, direction)| Self { frames, mode, keep, direction, options }).collect()
    }

    fn config(&self) -> ModelConfig {
        let mut config = published::in_mode(self.options.model.config(self.frames), self.mode);
        config.compat = Compat::Corrected;
        config.video.sparsity = config.video.sparsity.at_keep_rate(self.keep);
        config
    }

    /// A row per backend, the repeats taking turns.
    fn rows(&self, kinds: &[BackendKind], peaks: &[f64]) -> Result<Vec<BenchRow>> {
        let options = self.options;
        (options.prepare)(self.direction);
        let mut work: Vec<Box<dyn TimedWork>> = kinds
            .iter()
            .map(|&kind| prepare(kind, &self.config(), self.direction, options.batch, options.precision))
            .collect::<Result<_>>()?;
        for work in &mut work {
            work.run()?;
        }
        reset_peak_memory();
        let mut seconds = vec![Vec::new(); kinds.len()];
        for _ in 0..options.repeats.max(1) {
            for (work, seconds) in work.iter_mut().zip(&mut seconds) {
                seconds.push(work.timed()?);
            }
        }
        let memory = peak_memory_mb();
        let rows = seconds
            .into_iter()
            .zip(peaks)
            .zip(&work)
            .map(|((seconds, &peak), work)| self.row(seconds, peak, [memory, work.device_bytes() as f64 / 1e6]));
        rows.collect()
    }

    fn row(&self, mut seconds: Vec<f64>, peak: f64, [memory, device_memory]: [f64; 2]) -> Result<BenchRow> {
        seconds.sort_by(f64::total_cmp);
        let (batch, median) = (self.options.batch, seconds[seconds.len() / 2]);
        let passes = match self.direction {
            BenchDirection::Forward => 1.0,
            BenchDirection::ForwardBackward => 3.0,
            BenchDirection::Train => 0.0,
        };
        let flops = Profile::of(&self.config(), Convention::True)?.flops();
        let gflops = passes * flops as f64 * batch as f64 / median / 1e9;
        Ok(BenchRow {
            mode: self.keep.map_or_else(|| self.mode.into(), |rate| format!("{} q {rate}", self.mode)),
            frames: self.frames,
            direction: self.direction,
            batch,
            median_s: median,
            min_s: seconds[0],
            max_s: seconds[seconds.len() - 1],
            clips_per_s: batch as f64 / median,
            gflops,
            share_of_peak: gflops / peak,
            peak_memory_mb: memory,
            device_memory_mb: device_memory,
        })
    }
}
