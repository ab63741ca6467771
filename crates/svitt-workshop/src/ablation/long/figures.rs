//! R@1 against operations and against seconds of training, as pictures.

use super::rows::{OPERATIONS, SECONDS};
use crate::ablation::{AblationSummary, Measurement, SummaryRow};
use std::path::Path;
use svitt::viz::Chart;
use svitt::{Result, files};

/// The pictures' files, beside the tables.
pub const FILES: [&str; 2] = ["long-operations.svg", "long-seconds.svg"];

/// What a training cost, by its result.
type Cost = fn(&Measurement) -> f64;

/// Draws R@1 of every row against what its training cost: operations in one picture, seconds in the other. Rows at
/// equal operations stand above one another in the first, those at equal seconds in the second.
///
/// # Errors
/// The disk is full or the folder cannot be written.
pub fn write(summary: &AblationSummary, out: &Path) -> Result<()> {
    let costs: [(&str, Cost); 2] = [
        ("TFLOPs of training, forward and backward", |found| found.training_tflops),
        ("seconds of training", |found| found.training_seconds),
    ];
    for (file, (axis, cost)) in FILES.into_iter().zip(costs) {
        let chart = chart(summary, axis, cost);
        if !chart.is_empty() {
            files::write(&out.join(file), chart.file())?;
        }
    }
    Ok(())
}

fn chart(summary: &AblationSummary, axis: &str, cost: Cost) -> Chart {
    let mut chart = Chart::new("R@1 on shapes-long against the cost of training", axis, "R@1, %");
    let of =
        |key: &'static str| summary.tables.iter().filter(move |table| table.key == key).flat_map(|table| &table.rows);
    for (key, alike) in [(OPERATIONS, "equal operations"), (SECONDS, "equal seconds")] {
        for mode in ["dense", "hybrid"] {
            let points =
                of(key).filter(|row| row.label.ends_with(&format!(", {mode}"))).filter_map(|row| point(row, cost));
            chart = chart.line(format!("{mode}, {alike}"), points.collect::<Vec<_>>());
        }
    }
    let others = of("remedies").filter_map(|row| point(row, cost));
    chart.points("remedies", others.collect::<Vec<_>>())
}

fn point(row: &SummaryRow, cost: Cost) -> Option<[f64; 2]> {
    let costs = row.measurements.iter().map(cost);
    let count = row.measurements.len();
    (count > 0).then(|| [costs.sum::<f64>() / count as f64, row.r1.mean])
}
