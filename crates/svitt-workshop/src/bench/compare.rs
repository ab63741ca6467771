//! Compares two bench reports row by row. A difference counts only if it exceeds the spread of the repeats.

use super::{BenchDirection, BenchReport, BenchRow};
use serde::Serialize;

/// What a pair of rows tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The second is faster by more than the spread.
    Gain,
    /// The second is slower by more than the spread.
    Loss,
    /// The difference is within the spread: repeat more often, or treat both as equal.
    WithinSpread,
}

/// The same work in both results.
#[derive(Clone, Debug, Serialize)]
pub struct RowPair {
    /// dense, edge, node or hybrid.
    pub mode: String,
    /// T.
    pub frames: usize,
    /// What was timed.
    pub direction: BenchDirection,
    /// Clips at once.
    pub batch: usize,
    /// Medians of the first and the second, seconds.
    pub median_s: [f64; 2],
    /// Second median over first, minus 1: −0.1 is 10 % less time.
    pub change: f64,
    /// The larger of both results' slowest minus fastest repeat, seconds.
    pub spread_s: f64,
    /// Whether the change counts.
    pub verdict: Verdict,
}

/// Two results, compared.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Backend, commit and machine of the first and the second.
    pub of: [String; 2],
    /// Matrix products of both, GFLOP/s: where they differ, so did the machine.
    pub gemm_peak_gflops: [f64; 2],
    /// Rows that both have.
    pub pairs: Vec<RowPair>,
    /// Rows that only one has, and which: not comparable.
    pub unpaired: Vec<String>,
}

impl Comparison {
    /// Compares `first` with `second`.
    pub fn new(first: &BenchReport, second: &BenchReport) -> Self {
        let mut pairs = Vec::new();
        let mut unpaired = Vec::new();
        for row in &first.rows {
            match second.rows.iter().find(|other| same_work(row, other)) {
                Some(other) => pairs.push(RowPair::new(row, other)),
                None => unpaired.push(format!("{}: only in the first", name(row))),
            }
        }
        let new = second.rows.iter().filter(|row| !first.rows.iter().any(|other| same_work(row, other)));
        unpaired.extend(new.map(|row| format!("{}: only in the second", name(row))));
        Self {
            of: [first, second].map(title),
            gemm_peak_gflops: [first.gemm_peak_gflops, second.gemm_peak_gflops],
            pairs,
            unpaired,
        }
    }
}

impl RowPair {
    fn new(first: &BenchRow, second: &BenchRow) -> Self {
        let spread_s = [first, second].map(|row| row.max_s - row.min_s).into_iter().fold(0.0, f64::max);
        let difference = second.median_s - first.median_s;
        let verdict = match difference {
            d if d.abs() <= spread_s => Verdict::WithinSpread,
            d if d < 0.0 => Verdict::Gain,
            _ => Verdict::Loss,
        };
        Self {
            mode: first.mode.clone(),
            frames: first.frames,
            direction: first.direction,
            batch: first.batch,
            median_s: [first.median_s, second.median_s],
            change: difference / first.median_s,
            spread_s,
            verdict,
        }
    }
}

fn same_work(a: &BenchRow, b: &BenchRow) -> bool {
    (&a.mode, a.frames, a.direction, a.batch) == (&b.mode, b.frames, b.direction, b.batch)
}

fn name(row: &BenchRow) -> String {
    format!("{}, T = {}, {:?}, batch {}", row.mode, row.frames, row.direction, row.batch)
}

fn title(report: &BenchReport) -> String {
    let machine = &report.machine;
    let precision = if report.precision.is_f32() { "" } else { report.precision.name() };
    let parts = [&report.backend, precision, &machine.commit, &machine.date, &machine.cpu];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(mode: &str, frames: usize, seconds: [f64; 3]) -> BenchRow {
        let [min_s, median_s, max_s] = seconds;
        BenchRow {
            mode: mode.into(),
            frames,
            direction: BenchDirection::Forward,
            batch: 1,
            median_s,
            min_s,
            max_s,
            clips_per_s: 1.0 / median_s,
            gflops: 1.0,
            share_of_peak: 0.5,
            device_memory_mb: 0.0,
            peak_memory_mb: 1.0,
        }
    }

    fn report(rows: Vec<BenchRow>) -> BenchReport {
        BenchReport {
            backend: "flex".into(),
            gemm_peak_gflops: 200.0,
            threads: 2,
            precision: Default::default(),
            arithmetic: String::new(),
            machine: Default::default(),
            parts: Vec::new(),
            rows,
        }
    }

    #[test]
    fn a_difference_within_the_spread_is_no_gain() {
        let before = report(vec![row("dense", 4, [0.9, 1.0, 1.2]), row("edge", 4, [1.0, 1.0, 1.01])]);
        let after = report(vec![row("dense", 4, [0.78, 0.8, 0.81]), row("edge", 4, [0.9, 0.95, 0.96])]);
        let verdicts: Vec<Verdict> = Comparison::new(&before, &after).pairs.iter().map(|p| p.verdict).collect();
        assert_eq!(verdicts, [Verdict::WithinSpread, Verdict::WithinSpread], "0.2 of 0.3 s, 0.05 of 0.06 s");
        let after = report(vec![row("dense", 4, [0.6, 0.65, 0.7]), row("edge", 4, [1.1, 1.12, 1.13])]);
        let comparison = Comparison::new(&before, &after);
        let verdicts: Vec<Verdict> = comparison.pairs.iter().map(|p| p.verdict).collect();
        assert_eq!(verdicts, [Verdict::Gain, Verdict::Loss]);
        assert!((comparison.pairs[0].change + 0.35).abs() < 1e-9 && (comparison.pairs[0].spread_s - 0.3).abs() < 1e-9);
    }

    #[test]
    fn only_the_same_work_is_compared() {
        let before = report(vec![row("dense", 4, [1.0; 3]), row("edge", 4, [1.0; 3])]);
        let after = report(vec![row("dense", 8, [2.0; 3]), row("edge", 4, [0.5; 3])]);
        let comparison = Comparison::new(&before, &after);
        assert_eq!(comparison.pairs.len(), 1);
        let expected =
            ["dense, T = 4, Forward, batch 1: only in the first", "dense, T = 8, Forward, batch 1: only in the second"];
        assert_eq!(comparison.unpaired, expected);
    }
}
