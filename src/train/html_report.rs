//! `report.html`: one self-contained file with curves as inline SVG; and the text table of stages.

use super::metrics_log::{LogLine, format_duration};
use super::report::{PretrainReport, ProbeScore, Probes, StageReport};
use crate::Result;
use crate::viz::{Chart, Page, Table};
use std::path::Path;

/// The columns of the table of stages.
const HEAD: [&str; 15] = [
    "stage",
    "frames",
    "mode",
    "R@1",
    "R@5",
    "R@10",
    "re-ranked",
    "seen",
    "unseen",
    "twins",
    "match",
    "word",
    "freeze",
    "shuffle",
    "reverse",
];

fn number(value: f64) -> String {
    format!("{value:.1}")
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), number)
}

/// One row of the table.
fn row(stage: &StageReport) -> [String; 15] {
    let s = &stage.scores;
    let probe = |of: fn(&Probes) -> ProbeScore| optional(s.probes.as_ref().map(|probes| of(probes).r1));
    let [freeze, shuffle, reverse] = [probe(|p| p.freeze), probe(|p| p.shuffle), probe(|p| p.reverse)];
    [
        stage.name.clone(),
        stage.frames.to_string(),
        stage.mode.clone(),
        number(s.r1),
        number(s.r5),
        number(s.r10),
        number(s.r1_reranked),
        optional(s.r1_seen),
        optional(s.r1_unseen),
        optional(s.twin_accuracy),
        number(s.vtm_accuracy),
        optional(s.mlm_direction_accuracy),
        freeze,
        shuffle,
        reverse,
    ]
}

/// What observers that see less of the clips can reach, and what a guess does.
pub fn stage_ceilings(stage: &StageReport) -> String {
    let c = stage.scores.ceilings;
    match (c.static_frame, c.unordered, c.ordered) {
        (Some(one), Some(unordered), Some(ordered)) => format!(
            "{}: R@1 at most {one:.1} from one frame, {unordered:.1} from all frames without their order, {ordered:.1} \
             with it; chance {:.2}",
            stage.name, c.chance
        ),
        _ => format!("{}: chance is {:.2}", stage.name, c.chance),
    }
}

/// The table of stages: its head, then a row per stage.
pub fn stage_rows(stages: &[StageReport]) -> Vec<Vec<String>> {
    std::iter::once(HEAD.map(String::from)).chain(stages.iter().map(row)).map(Vec::from).collect()
}

fn curve(lines: &[LogLine], value: impl Fn(&LogLine) -> f64) -> Vec<[f64; 2]> {
    lines.iter().map(|line| [line.step as f64, value(line)]).collect()
}

/// Curves over steps; where a stage begins is marked.
fn run_charts(lines: &[LogLine]) -> Vec<Chart> {
    let chart = |title: &str, unit: &str| Chart::new(title, "optimizer step", unit).from_zero();
    let curves = [
        chart("Losses", "nats")
            .line("contrastive", curve(lines, |l| l.losses.vtc))
            .line("matching", curve(lines, |l| l.losses.vtm))
            .line("masked words", curve(lines, |l| l.losses.mlm)),
        chart("Learning rate", "").line("learning rate", curve(lines, |l| l.lr)),
        chart("Throughput", "clips per second").line("clips/s", curve(lines, |l| l.clips_per_s)),
        chart("Waiting for data", "percent of the time").line("wait", curve(lines, |l| 100.0 * l.data_wait_share)),
        chart("Memory", "MB, largest so far").line("largest so far", curve(lines, |l| l.memory_mb)),
    ];
    let mut begun: Vec<&LogLine> = Vec::new();
    for line in lines {
        if begun.last().is_none_or(|last| last.stage != line.stage) {
            begun.push(line);
        }
    }
    let mark =
        |chart: Chart| begun.iter().fold(chart, |c, line| c.vertical_rule(line.stage_name.clone(), line.step as f64));
    curves.into_iter().map(mark).collect()
}

/// Recalls after every stage, and what observers that see less can reach with as many frames.
fn recall_chart(stages: &[StageReport]) -> Chart {
    let points = |value: fn(&StageReport) -> Option<f64>| -> Vec<[f64; 2]> {
        let numbered = stages.iter().enumerate();
        numbered.filter_map(|(i, stage)| Some([(i + 1) as f64, value(stage)?])).collect()
    };
    let mut chart = Chart::new("Text to video on the gallery", "stage", "percent")
        .line("R@1", points(|s| Some(s.scores.r1)))
        .line("R@1, re-ranked", points(|s| Some(s.scores.r1_reranked)))
        .line("R@5", points(|s| Some(s.scores.r5)));
    for (name, points) in [
        ("twins told apart", points(|s| s.scores.twin_accuracy)),
        ("ceiling: one frame", points(|s| s.scores.ceilings.static_frame)),
        ("ceiling: no order", points(|s| s.scores.ceilings.unordered)),
    ] {
        if !points.is_empty() {
            chart = if name.starts_with("ceiling") { chart.dashes(name, points) } else { chart.line(name, points) };
        }
    }
    chart.from_zero().integer_ticks()
}

fn token_chart(stages: &[StageReport]) -> Chart {
    let mut chart = Chart::new("Patch tokens entering each layer", "layer, counted from 1", "");
    for stage in stages {
        let tokens = stage.tokens_per_layer.iter().enumerate().map(|(layer, &n)| [(layer + 1) as f64, n as f64]);
        chart = chart.line(format!("{} ({} frames)", stage.name, stage.frames), tokens);
    }
    chart.from_zero().integer_ticks()
}

fn stage_table(caption: &str, stages: &[StageReport]) -> Table {
    let mut table = Table::new(caption, HEAD);
    stages.iter().for_each(|stage| {
        table.row(row(stage));
    });
    table
}

/// Writes `report.html` for `report` and the logged `lines`.
///
/// # Errors
/// The folder cannot be written.
pub fn write(file: &Path, report: &PretrainReport, lines: &[LogLine]) -> Result<()> {
    let mut page = Page::new(format!("svitt: {}", report.preset));
    page.paragraph(&format!(
        "Seed {}, backend {}, {} in all, {:.0} MB at most.",
        report.seed,
        report.backend,
        format_duration(report.seconds),
        report.peak_memory_mb
    ));
    page.heading("Stages").table(&stage_table("Text to video on the fixed gallery, percent", &report.stages));
    report.stages.iter().for_each(|stage| {
        page.paragraph(&stage_ceilings(stage));
    });
    if !report.baselines.is_empty() {
        page.heading("Baselines").table(&stage_table("At equal compute, on the same data", &report.baselines));
    }
    page.heading("Curves").charts(&[recall_chart(&report.stages), token_chart(&report.stages)]);
    page.charts(&run_charts(lines));
    if !report.unreadable.is_empty() {
        let mut table = Table::new("Videos that could not be read", ["media", "reason"]);
        report.unreadable.iter().for_each(|u| {
            table.row([u.media.clone(), u.reason.clone()]);
        });
        page.heading("Unreadable").table(&table);
    }
    page.write(file)
}
