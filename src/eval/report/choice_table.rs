//! The table of a choice benchmark.

use crate::eval::choice::{ChoiceMetrics, Controls};
use crate::eval::metrics::{ChoiceAccuracy, TwinScores};
use crate::eval::report::Metrics;
use std::fmt::{Formatter, Result};

/// Writes both scorers with their types, the controls, what else the benchmark reports, and the verdicts.
pub fn write(f: &mut Formatter<'_>, choice: &ChoiceMetrics, metrics: &Metrics) -> Result {
    let (head, width) = (["%", "low", "high", "strict", "n", "ties"], width(choice));
    writeln!(f, "{:<width$}{}", "", head.map(|name| format!("{name:>8}")).concat())?;
    for (name, scorer) in [("two encoders", &choice.itc), ("matching head", &choice.itm)] {
        row(f, width, name, &scorer.accuracy.overall)?;
        for (kind, accuracy) in &scorer.accuracy.by_type {
            row(f, width, &format!("  {kind}"), accuracy)?;
        }
        let more = [("  words alone", scorer.proficiency), ("  both right", scorer.combined)];
        more.iter().filter_map(|(name, a)| a.map(|a| (name, a))).try_for_each(|(name, a)| row(f, width, name, &a))?;
    }
    controls(f, width, &choice.controls, &choice.controls_itm)?;
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

/// Columns of the names: types are shown whole, because those of Something-Something begin alike.
fn width(choice: &ChoiceMetrics) -> usize {
    let types = choice.itc.accuracy.by_type.keys().map(|kind| kind.chars().count() + 3);
    types.max().unwrap_or_default().max(30)
}

fn row(f: &mut Formatter<'_>, width: usize, name: &str, a: &ChoiceAccuracy) -> Result {
    let shares = [a.accuracy, a.low, a.high, a.strict].map(|value| format!("{value:>8.2}")).concat();
    writeln!(f, "{name:<width$}{shares}{:>8}{:>8}", a.n, a.ties)
}

fn controls(f: &mut Formatter<'_>, width: usize, itc: &Controls, itm: &Controls) -> Result {
    let (n, among_clips) = (itc.n, itc.n - itc.among_texts.min(itc.n));
    writeln!(f, "{:<width$}{:>8}{:>8}", format!("controls of the same {n}"), "dual", "match")?;
    for (name, pair) in [
        ("  frozen frames", [itc.freeze, itm.freeze]),
        ("  shuffled frames", [itc.shuffle, itm.shuffle]),
        ("  reversed frames", [itc.reverse, itm.reverse]),
        ("  the longer text", [Some(itc.text_longer); 2]),
        ("  the shorter text", [Some(itc.text_shorter); 2]),
        ("  chance", [Some(itc.chance); 2]),
    ] {
        let cells = pair.map(|value| value.map_or(format!("{:>8}", "-"), |value| format!("{value:>8.2}"))).concat();
        writeln!(f, "{name:<width$}{cells}")?;
    }
    if among_clips > 0 {
        writeln!(f, "  ({among_clips} of {n} ask for a clip: there the length of the text decides nothing, a tie)")?;
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

#[cfg(test)]
mod tests {
    use crate::eval::EvalReport;
    use crate::eval::choice::{ChoiceMetrics, Controls, ScorerFigures};
    use crate::eval::metrics::{ChoiceAccuracy, ChoiceFigures};
    use crate::eval::report::Metrics;

    #[test]
    fn types_are_shown_whole_and_controls_say_what_they_cover() {
        let kinds =
            ["Lifting something up completely without letting it drop down", "Lifting something up completely, then"];
        let overall = ChoiceAccuracy { n: 80, ..ChoiceAccuracy::default() };
        let by_type = kinds.map(|kind| (kind.to_owned(), overall)).into_iter().collect();
        let figures = ScorerFigures { accuracy: ChoiceFigures { overall, by_type }, ..ScorerFigures::default() };
        let controls = Controls { n: 80, among_texts: 40, ..Controls::default() };
        let choice = ChoiceMetrics { itc: figures, controls, ..ChoiceMetrics::default() };
        let metrics = Metrics { choice: Some(choice), ..Metrics::default() };
        let table = EvalReport { metrics, ..EvalReport::default() }.to_string();
        assert!(kinds.iter().all(|kind| table.contains(kind)), "{table}");
        assert!(table.contains("controls of the same 80 ") && table.contains("(40 of 80 ask for a clip"), "{table}");
        let places =
            ["two encoders", "  Lifting"].map(|start| table.lines().find(|line| line.starts_with(start)).unwrap());
        assert_eq!(places[0].chars().count(), places[1].chars().count(), "the columns stand below each other");
    }
}
