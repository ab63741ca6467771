//! Cells of several seeds as rows of tables: mean and spread, as text for a terminal and a README.

use super::{Measurement, TableSpec};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;
use svitt::Result;
use svitt::files;

/// One figure over the seeds of a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

/// A row: one cell, all its seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SummaryRow {
    /// What the row is called.
    pub label: String,
    /// Seeds that are in it.
    pub seeds: Vec<u64>,
    /// R@1 by the two encoders, percent.
    pub r1: Spread,
    /// R@1 after re-ranking.
    pub r1_reranked: Spread,
    /// R@1 by cosine and matching head together.
    pub r1_combined: Spread,
    /// The mean of R@1, 5 and 10 after re-ranking.
    pub mean_recall: Spread,
    /// Clips nearer to their own caption than to that of their reverse; chance is 50.
    pub twin_accuracy: Spread,
    /// The results behind it, seeds in order.
    pub measurements: Vec<Measurement>,
}

/// A table with the rows that are there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableSummary {
    /// Its name on the command line.
    pub key: String,
    /// Its heading.
    pub title: String,
    /// Its rows.
    pub rows: Vec<SummaryRow>,
}

/// All tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AblationSummary {
    /// In the order they are run.
    pub tables: Vec<TableSummary>,
}

impl Spread {
    /// Of `values`, at least one.
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let count = values.clone().count().max(1) as f64;
        let (min, max) =
            (values.clone().fold(f64::INFINITY, f64::min), values.clone().fold(f64::NEG_INFINITY, f64::max));
        Self { mean: values.sum::<f64>() / count, min, max }
    }

    fn text(&self) -> String {
        match self.max > self.min {
            true => format!("{:.1} ({:.1}–{:.1})", self.mean, self.min, self.max),
            false => format!("{:.1}", self.mean),
        }
    }
}

impl SummaryRow {
    fn new(label: &str, measurements: Vec<Measurement>) -> Self {
        let spread = |value: &dyn Fn(&Measurement) -> f64| Spread::of(measurements.iter().map(value));
        let [r1, r1_reranked, r1_combined, mean_recall, twin_accuracy] = [
            spread(&|m| m.report.scores.r1),
            spread(&|m| m.report.scores.r1_reranked),
            spread(&|m| m.report.scores.r1_combined),
            spread(&Measurement::mean_recall),
            spread(&|m| m.report.scores.twin_accuracy.unwrap_or_default()),
        ];
        let seeds = measurements.iter().map(|found| found.seed).collect();
        let label = label.into();
        Self { label, seeds, r1, r1_reranked, r1_combined, mean_recall, twin_accuracy, measurements }
    }
}

impl AblationSummary {
    /// Adds a result to row `label` of `table`.
    pub fn add(&mut self, table: &TableSpec, label: &str, found: Measurement) {
        let place = self.tables.iter().position(|known| known.key == table.key).unwrap_or_else(|| {
            self.tables.push(TableSummary { key: table.key.into(), title: table.title.clone(), rows: Vec::new() });
            self.tables.len() - 1
        });
        let rows = &mut self.tables[place].rows;
        match rows.iter_mut().find(|row| row.label == label) {
            Some(row) => {
                let mut all = std::mem::take(&mut row.measurements);
                all.push(found);
                *row = SummaryRow::new(label, all);
            }
            None => rows.push(SummaryRow::new(label, vec![found])),
        }
    }

    /// Writes `ablations.json` and `ablations.md` into `out`.
    ///
    /// # Errors
    /// The disk is full or the folder cannot be written.
    pub fn write(&self, out: &Path) -> Result<()> {
        files::write_json(&out.join("ablations.json"), self)?;
        files::write(&out.join("ablations.md"), self.markdown())
    }

    /// The tables in Markdown. Recalls in percent, mean and range over the seeds.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for table in &self.tables {
            let _ = writeln!(text, "**{}**\n", table.title);
            let cost = ["", "MFLOPs", "edges removed", "training TFLOPs", "seconds"];
            let head = [&cost[..], &["R@1", "re-ranked", "combined", "mean R", "twins", "seeds"]].concat();
            let _ = writeln!(text, "| {} |\n|{}", head.join(" | "), "---|".repeat(head.len()));
            for row in &table.rows {
                let _ = writeln!(text, "{}", line(row));
            }
            text.push('\n');
        }
        text
    }
}

fn line(row: &SummaryRow) -> String {
    let first = row.measurements.first();
    let [mflops, removed] = [first.map_or(0.0, |m| m.mflops), first.map_or(0.0, |m| 100.0 * m.report.edges_removed)];
    let [tflops, seconds] = [|m: &Measurement| m.training_tflops, |m: &Measurement| m.training_seconds]
        .map(|cost| Spread::of(row.measurements.iter().map(cost)).mean);
    let recalls = [&row.r1, &row.r1_reranked, &row.r1_combined, &row.mean_recall, &row.twin_accuracy];
    let figures = recalls.map(Spread::text).join(" | ");
    let cost = format!("{mflops:.1} | {removed:.0} % | {tflops:.2} | {seconds:.0}");
    format!("| {} | {cost} | {figures} | {} |", row.label, row.seeds.len())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use svitt::train::{StageReport, ValidationScores};

    /// A result with R@1 `r1`, made up.
    pub fn found(cell: &str, seed: u64, r1: f64) -> Measurement {
        let scores = ValidationScores {
            r1,
            r1_reranked: r1,
            r5: r1,
            r10: r1,
            r5_reranked: 90.0,
            r10_reranked: 99.0,
            ..ValidationScores::default()
        };
        Measurement {
            cell: cell.into(),
            seed,
            plan: String::new(),
            chain: Vec::new(),
            stage: serde_json::Value::Null,
            test: None,
            mflops: 12.5,
            training_tflops: 1.0,
            training_seconds: 60.0,
            backend: "flex".into(),
            report: StageReport { scores, edges_removed: 0.75, ..StageReport::default() },
        }
    }

    #[test]
    fn rows_have_the_mean_and_the_range_of_their_seeds() {
        let table = TableSpec { key: "table2", title: "T".into(), rows: Vec::new() };
        let mut summary = AblationSummary::default();
        for (seed, r1) in [(0, 40.0), (1, 50.0), (2, 63.0)] {
            summary.add(&table, "a", found("a", seed, r1));
        }
        summary.add(&table, "b", found("b", 0, 20.0));
        let rows = &summary.tables[0].rows;
        assert_eq!(rows[0].r1, Spread { mean: 51.0, min: 40.0, max: 63.0 });
        assert_eq!((rows[0].seeds.as_slice(), rows[0].mean_recall.mean), ([0, 1, 2].as_slice(), 80.0));
        let text = summary.markdown();
        assert!(text.contains("| a | 12.5 | 75 % | 1.00 | 60 | 51.0 (40.0–63.0) |"), "{text}");
        assert!(text.contains("| b | 12.5 | 75 % | 1.00 | 60 | 20.0 |"));
    }
}
