//! Accuracy against operations, as a picture.

use super::tables::{BUDGET_LINES, BUDGET_POINTS};
use super::training::MODES;
use super::{AblationSummary, SummaryRow};
use std::path::Path;
use svitt::Result;
use svitt::files;
use svitt::viz::Chart;

const AXES: [&str; 2] = ["MFLOPs of the video encoder per clip", "R@1, %"];

/// The pictures' files, beside the tables.
const FILES: [&str; 2] = ["accuracy-flops.svg", "accuracy-budget.svg"];

/// Draws Table 2 (a line per mode, a point per clip length) with the single stages and late fusion as points, and the
/// table of budgets (a line per way of training).
///
/// # Errors
/// The disk is full or the folder cannot be written.
pub fn write(summary: &AblationSummary, out: &Path) -> Result<()> {
    for (file, chart) in FILES.into_iter().zip([modes(summary), budgets(summary)]) {
        if let Some(chart) = chart {
            files::write(&out.join(file), chart.file())?;
        }
    }
    Ok(())
}

/// The rows of table `key`; none where it was not run.
fn rows<'a>(summary: &'a AblationSummary, key: &str) -> &'a [SummaryRow] {
    let table = summary.tables.iter().find(|table| table.key == key);
    table.map_or(&[][..], |table| &table.rows)
}

/// MFLOPs and R@1 of the rows of table `key` that `chosen` takes.
fn points(summary: &AblationSummary, key: &str, chosen: impl Fn(&SummaryRow) -> bool) -> Vec<[f64; 2]> {
    let point = |row: &SummaryRow| Some([row.measurements.first()?.mflops, row.r1.mean]);
    rows(summary, key).iter().filter(|row| chosen(row)).filter_map(point).collect()
}

fn begins(row: &SummaryRow, text: &str) -> bool {
    row.measurements.first().is_some_and(|found| found.cell.starts_with(text))
}

fn budgets(summary: &AblationSummary) -> Option<Chart> {
    let mut chart = Chart::new("R@1 on shapes by keep rate", AXES[0], AXES[1]);
    let begun = |label: &str| points(summary, "budgets", |row| row.label.starts_with(label));
    for label in BUDGET_LINES {
        chart = chart.line(label, begun(label));
    }
    chart = chart.points(BUDGET_POINTS, begun(BUDGET_POINTS));
    (!chart.is_empty()).then_some(chart)
}

fn modes(summary: &AblationSummary) -> Option<Chart> {
    let mut chart = Chart::new("R@1 on shapes against operations", AXES[0], AXES[1]);
    for mode in MODES {
        chart = chart.line(mode, points(summary, "table2", |row| begins(row, &format!("{mode}-"))));
    }
    chart = chart.points("single stage", points(summary, "table3", |row| begins(row, "single-")));
    chart = chart.points("late fusion", points(summary, "late-fusion", |row| begins(row, "late-fusion-")));
    let longest = rows(summary, "table2").last().and_then(|row| row.measurements.first());
    let unordered = longest.and_then(|found| found.report.scores.ceilings.unordered);
    (!chart.is_empty())
        .then(|| unordered.map_or(chart.clone(), |y| chart.clone().horizontal_rule("frames without order", y)))
}

#[cfg(test)]
mod tests {
    use super::super::TableSpec;
    use super::super::summary::tests::found;
    use super::*;

    #[test]
    fn a_picture_of_its_own_is_written() {
        let table = TableSpec { key: "table2", title: "T".into(), rows: Vec::new() };
        let mut summary = AblationSummary::default();
        summary.add(&table, "4 frames, dense", found("dense-4", 0, 40.0));
        summary.add(&table, "4 frames, hybrid", found("hybrid-4", 0, 45.0));
        let folder = tempfile::tempdir().unwrap();
        let curve = TableSpec { key: "budgets", title: "B".into(), rows: Vec::new() };
        summary.add(&curve, "rates drawn in training, q_v = 0.5", found("any-rate-8+q-0.5", 0, 60.0));
        write(&summary, folder.path()).unwrap();
        assert!(std::fs::read_to_string(folder.path().join(FILES[1])).unwrap().contains("rates drawn in training"));
        let svg = std::fs::read_to_string(folder.path().join(FILES[0])).unwrap();
        assert!(svg.starts_with("<svg xmlns=") && svg.contains("hybrid") && svg.contains("<style>"), "{svg}");
        assert!(modes(&AblationSummary::default()).is_none() && budgets(&AblationSummary::default()).is_none());
    }
}
