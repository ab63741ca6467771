//! Accuracy against operations, as a picture.

use super::training::MODES;
use super::{Entry, Summary};
use crate::Result;
use crate::train::write_atomically;
use crate::viz::Chart;
use std::path::Path;

/// The picture's file, beside the tables.
const FILE: &str = "accuracy-flops.svg";

/// Draws Table 2 (a line per mode, a point per clip length) with the single stages and late fusion as points.
///
/// # Errors
/// The disk is full or the folder cannot be written.
pub fn write(summary: &Summary, out: &Path) -> Result<()> {
    match chart(summary) {
        Some(chart) => write_atomically(&out.join(FILE), chart.file().as_bytes()),
        None => Ok(()),
    }
}

fn chart(summary: &Summary) -> Option<Chart> {
    let rows = |key: &str| {
        let table = summary.tables.iter().find(|table| table.key == key);
        table.map_or(&[][..], |table| &table.rows)
    };
    let point = |row: &Entry| Some([row.measurements.first()?.mflops, row.r1.mean]);
    let cell = |row: &Entry, begin: &str| row.measurements.first().is_some_and(|m| m.cell.starts_with(begin));
    let chosen = |key: &str, begin: &str| -> Vec<[f64; 2]> {
        rows(key).iter().filter(|row| cell(row, begin)).filter_map(point).collect()
    };
    let mut chart = Chart::new("R@1 on shapes against operations", "MFLOPs of the video encoder per clip", "R@1, %");
    for mode in MODES {
        chart = chart.line(mode, chosen("table2", &format!("{mode}-")));
    }
    chart = chart.points("single stage", chosen("table3", "single-"));
    chart = chart.points("late fusion", chosen("late-fusion", "late-fusion-"));
    let unordered = rows("table2").last()?.measurements.first()?.report.scores.ceilings.unordered;
    (!chart.is_empty()).then(|| unordered.map_or(chart.clone(), |y| chart.clone().rule("frames without order", y)))
}

#[cfg(test)]
mod tests {
    use super::super::TableSpec;
    use super::super::summary::tests::found;
    use super::*;

    #[test]
    fn a_picture_of_its_own_is_written() {
        let table = TableSpec { key: "table2", title: "T".into(), rows: Vec::new() };
        let mut summary = Summary::default();
        summary.add(&table, "4 frames, dense", found("dense-4", 0, 40.0));
        summary.add(&table, "4 frames, hybrid", found("hybrid-4", 0, 45.0));
        let folder = tempfile::tempdir().unwrap();
        write(&summary, folder.path()).unwrap();
        let svg = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(svg.starts_with("<svg xmlns=") && svg.contains("hybrid") && svg.contains("<style>"), "{svg}");
        assert!(chart(&Summary::default()).is_none());
    }
}
