//! The table of a choice benchmark.

use crate::eval::choice::{ChoiceMetrics, Controls};
use crate::eval::metrics::{ChoiceAccuracy, TwinScores};
use crate::eval::report::Metrics;
use std::fmt::{Formatter, Result};

/// Writes both scorers with their types, the controls, what else the benchmark reports, and the verdicts.
pub fn write(f: &mut Formatter<'_>, choice: &ChoiceMetrics, metrics: &Metrics) -> Result {
    let head = ["%", "low", "high", "strict", "n", "ties"];
    writeln!(f, "{:<30}{}", "", head.map(|name| format!("{name:>8}")).concat())?;
    for (name, scorer) in [("two encoders", &choice.itc), ("matching head", &choice.itm)] {
        row(f, name, &scorer.accuracy.overall)?;
        for (kind, accuracy) in &scorer.accuracy.by_type {
            row(f, &format!("  {}", kind.chars().take(27).collect::<String>()), accuracy)?;
        }
        let more = [("  words alone", scorer.proficiency), ("  both right", scorer.combined)];
        more.iter().filter_map(|(name, a)| a.map(|a| (name, a))).try_for_each(|(name, a)| row(f, name, &a))?;
    }
    controls(f, &choice.controls, &choice.controls_itm)?;
    for (name, twins) in [("two encoders", metrics.pairs), ("matching head", metrics.pairs_itm)] {
        if let Some(TwinScores { text, video, group, pairs, .. }) = twins {
            writeln!(
                f,
                "two clips by two texts, {name}: text {text:.2} (chance 25), video {video:.2} (25), group {group:.2} \
                 (16.7) of {pairs}"
            )?;
        }
    }
    if let Some(ranking) = &metrics.ranking {
        for (name, figures) in ranking.as_object().into_iter().flatten().filter(|(name, _)| *name != "by_pair") {
            writeln!(f, "ranking, {name}: {}", flat(figures))?;
        }
    }
    choice.verdict.iter().try_for_each(|sentence| writeln!(f, "{sentence}"))
}

fn row(f: &mut Formatter<'_>, name: &str, a: &ChoiceAccuracy) -> Result {
    let shares = [a.accuracy, a.low, a.high, a.strict].map(|value| format!("{value:>8.2}")).concat();
    writeln!(f, "{name:<30}{shares}{:>8}{:>8}", a.n, a.ties)
}

fn controls(f: &mut Formatter<'_>, itc: &Controls, itm: &Controls) -> Result {
    writeln!(f, "{:<30}{:>8}{:>8}", "controls", "dual", "match")?;
    for (name, pair) in [
        ("  frozen frames", [itc.freeze, itm.freeze]),
        ("  shuffled frames", [itc.shuffle, itm.shuffle]),
        ("  reversed frames", [itc.reverse, itm.reverse]),
        ("  the longer text", [Some(itc.text_longer); 2]),
        ("  the shorter text", [Some(itc.text_shorter); 2]),
        ("  chance", [Some(itc.chance); 2]),
    ] {
        let cells = pair.map(|value| value.map_or(format!("{:>8}", "-"), |value| format!("{value:>8.2}"))).concat();
        writeln!(f, "{name:<30}{cells}")?;
    }
    Ok(())
}

/// Numbers by name, those below another name behind it.
fn flat(figures: &serde_json::Value) -> String {
    let each = figures.as_object().into_iter().flatten().map(|(name, value)| match value.as_object() {
        Some(inner) => {
            let recalls =
                ["r1", "r5", "r10"].map(|k| format!("{k} {}", inner.get(k).unwrap_or(&serde_json::Value::Null)));
            format!("{name} {}", recalls.join(" "))
        }
        None => format!("{name} {value}"),
    });
    each.collect::<Vec<_>>().join(", ")
}
