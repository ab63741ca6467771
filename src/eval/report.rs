//! The result of an evaluation: JSON, and a text table.

use super::choice::ChoiceMetrics;
use super::metrics::{RetrievalMetrics, TwinScores};
use super::{BidirectionalMetrics, QuestionOutcome};
use crate::data::Unreadable;
use crate::data::shapes::Ceilings;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

mod choice_table;

/// The result of an evaluation.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EvalReport {
    /// The benchmark's name.
    pub benchmark: String,
    /// Everything that decides a score.
    pub protocol: Value,
    /// The figures.
    pub metrics: Metrics,
    /// The paper's row, only where it was made in the same setting.
    pub paper: Option<Value>,
    /// Seconds from the first video to the last score.
    pub seconds: f64,
    /// Share of these that the model waited for frames.
    pub data_wait_share: f64,
    /// Videos that were decoded and encoded.
    pub videos_encoded: usize,
    /// Videos whose features an earlier run had kept.
    pub videos_recalled: usize,
    /// Files that could not be read, each once; what is asked of them counts as missed.
    pub missing: Vec<Unreadable>,
    /// Warnings for the person.
    pub warnings: Vec<String>,
}

/// Figures; recalls and accuracies 0–100. Retrieval has `t2v` and `v2t`, question answering `accuracy` and `by_type`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Metrics {
    /// Text to video: the paper's direction, re-ranked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub t2v: Option<RetrievalMetrics>,
    /// Video to text, re-ranked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v2t: Option<RetrievalMetrics>,
    /// Both directions by the two encoders alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dual: Option<BidirectionalMetrics>,
    /// Right answers, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// The same by question type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_type: Option<BTreeMap<String, f64>>,
    /// Questions by type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub questions_by_type: Option<BTreeMap<String, usize>>,
    /// What the question alone is worth by type, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chance_by_type: Option<BTreeMap<String, f64>>,
    /// Questions asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub questions: Option<usize>,
    /// Questions whose answer is not in the list; they count as wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unanswerable: Option<usize>,
    /// Choices by both scorers, and their controls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<ChoiceMetrics>,
    /// Rankings of a choice benchmark, by the two encoders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranking: Option<Value>,
    /// A clip and its reversal by two texts, by the two encoders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<TwinScores>,
    /// The same by the matching head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs_itm: Option<TwinScores>,
    /// The same with other frame orders, by their name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub probes: BTreeMap<String, ProbeFigures>,
    /// What only `shapes` can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shapes: Option<ShapesFigures>,
}

/// Figures under another frame order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProbeFigures {
    /// Text to video R@1 by the two encoders: re-ranking four times over would cost more than it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r1: Option<f64>,
    /// Right answers, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// The same by question type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_type: Option<BTreeMap<String, f64>>,
}

/// What is known of the `shapes` gallery, by the two encoders.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ShapesFigures {
    /// R@1 of the captions whose object and program occur together in training.
    pub r1_seen: f64,
    /// R@1 of those that were held out.
    pub r1_unseen: f64,
    /// Clips against their reversals; none where the reversed ones were not encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub twins: Option<TwinScores>,
    /// Highest R@1 of observers that see less; none for a part of the gallery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceilings: Option<Ceilings>,
}

/// A percentage as the official evaluation prints it; the sum of nothing, -0, is 0.
pub(super) fn rounded(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0 + 0.0
}

impl Metrics {
    /// Retrieval figures.
    pub fn retrieval(headline: BidirectionalMetrics, dual: BidirectionalMetrics) -> Self {
        let round = |d: BidirectionalMetrics| BidirectionalMetrics { t2v: d.t2v.rounded(), v2t: d.v2t.rounded() };
        let (headline, dual) = (round(headline), round(dual));
        Self { t2v: Some(headline.t2v), v2t: Some(headline.v2t), dual: Some(dual), ..Self::default() }
    }

    /// Question answering figures.
    pub fn answers(outcome: &QuestionOutcome) -> Self {
        let by_type = outcome.accuracy.by_type();
        Self {
            accuracy: Some(rounded(outcome.accuracy.overall().percent)),
            by_type: Some(percents(outcome)),
            questions_by_type: Some(by_type.iter().map(|(kind, a)| (kind.clone(), a.total)).collect()),
            questions: Some(outcome.predictions.len()),
            unanswerable: Some(outcome.unanswerable),
            ..Self::default()
        }
    }
}

/// Accuracy by type, percent.
pub(super) fn percents(outcome: &QuestionOutcome) -> BTreeMap<String, f64> {
    outcome.accuracy.by_type().iter().map(|(kind, a)| (kind.clone(), rounded(a.percent))).collect()
}

impl fmt::Display for EvalReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        writeln!(f, "{} ({})", self.benchmark, self.protocol["summary"].as_str().unwrap_or_default())?;
        if metrics.t2v.is_some() {
            self.retrieval_table(f)?;
        }
        if let Some(accuracy) = metrics.accuracy {
            self.answer_table(f, accuracy)?;
        }
        if let Some(choice) = &metrics.choice {
            choice_table::write(f, choice, metrics)?;
        }
        for (order, figures) in &metrics.probes {
            let value = figures.r1.or(figures.accuracy).unwrap_or_default();
            writeln!(f, "{:<22}{value:>8.2}", format!("frames: {order}"))?;
        }
        if self.paper.is_none() && metrics.choice.is_none() {
            writeln!(f, "paper                 not available for this setting")?;
        }
        if !self.missing.is_empty() {
            writeln!(
                f,
                "{} video files could not be read: what is asked of them counts as missed",
                self.missing.len()
            )?;
        }
        let share = 100.0 * self.data_wait_share;
        writeln!(f, "{:.1} s, {share:.0} % of it waiting for frames", self.seconds)?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "note: {warning}"))
    }
}

impl EvalReport {
    fn retrieval_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["R@1", "R@5", "R@10", "mean", "MedR", "MnR"];
        writeln!(f, "{:<22}{}", "", head.map(|name| format!("{name:>8}")).concat())?;
        let metrics = &self.metrics;
        let dual = metrics.dual.as_ref();
        for (name, row) in [
            ("text → video", metrics.t2v),
            ("video → text", metrics.v2t),
            ("text → video, dual", dual.map(|d| d.t2v)),
            ("video → text, dual", dual.map(|d| d.v2t)),
        ] {
            if let Some(m) = row {
                let cells = [m.r1, m.r5, m.r10, m.mean, m.median_rank, m.mean_rank];
                writeln!(f, "{name:<22}{}", cells.map(|value| format!("{value:>8.2}")).concat())?;
            }
        }
        if let Some(paper) = &self.paper {
            let cell = |name: &str| paper["t2v"][name].as_f64().map_or("-".into(), |value| format!("{value:.1}"));
            let cells = ["r1", "r5", "r10", "mean"].map(|name| format!("{:>8}", cell(name))).concat();
            let source = paper["source"].as_str().unwrap_or_default();
            writeln!(f, "{:<22}{cells}", format!("paper, {source}"))?;
        }
        let Some(shapes) = &metrics.shapes else { return Ok(()) };
        writeln!(f, "R@1 of seen / unseen combinations, dual: {:.2} / {:.2}", shapes.r1_seen, shapes.r1_unseen)?;
        if let Some(twins) = shapes.twins {
            writeln!(f, "twins, dual: pair {:.2} (chance 50), group {:.2} (chance 16.7)", twins.pair, twins.group)?;
        }
        match &shapes.ceilings {
            Some(c) => writeln!(
                f,
                "ceilings of R@1: chance {:.2}, one frame {:.2}, unordered {:.2}, ordered {:.2}",
                c.chance, c.static_frame, c.unordered, c.ordered
            ),
            None => Ok(()),
        }
    }

    fn answer_table(&self, f: &mut fmt::Formatter<'_>, accuracy: f64) -> fmt::Result {
        let metrics = &self.metrics;
        writeln!(f, "{:<22}{:>8}{:>10}{:>8}", "", "%", "questions", "chance")?;
        let questions = metrics.questions.unwrap_or_default();
        writeln!(f, "{:<22}{accuracy:>8.2}{questions:>10}", "accuracy")?;
        for (kind, value) in metrics.by_type.iter().flatten() {
            let count = metrics.questions_by_type.as_ref().and_then(|counts| counts.get(kind)).copied().unwrap_or(0);
            let chance = metrics.chance_by_type.as_ref().and_then(|chance| chance.get(kind));
            let chance = chance.map_or(String::new(), |chance| format!("{chance:.1}"));
            writeln!(f, "{}", format!("  {kind:<20}{value:>8.2}{count:>10}{chance:>8}").trim_end())?;
        }
        let unanswerable = metrics.unanswerable.unwrap_or_default();
        writeln!(f, "{unanswerable} questions have answers outside the list and count as wrong")
    }
}
