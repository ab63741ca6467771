//! Choices among a few texts or clips: accuracy with ties shared, the strict rule beside it, and an interval.

use serde::Serialize;
use std::collections::BTreeMap;

/// Scores this close, times their size where that is above 1, are equal: sums over the same frames in another order
/// differ by about a tenth of it in f32.
pub const TIE: f32 = 1e-6;

/// Standard deviations of a normal distribution on either side that hold 95 %.
const Z: f64 = 1.959_964;

/// What a choice is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChoiceOutcome {
    /// 1 where the right candidate scores highest, its share where it does so together with others: half for two.
    pub credit: f64,
    /// Whether it scores higher than every other, by any difference: the published rule.
    pub strict: bool,
    /// Whether it shares the highest score.
    pub tie: bool,
}

impl ChoiceOutcome {
    /// The outcome of candidates with these `scores`, of which number `right` is right.
    pub fn of(scores: &[f32], right: usize) -> Self {
        let Some(&own) = scores.get(right) else { return Self::default() };
        let tolerance = TIE * own.abs().max(1.0);
        let others = || scores.iter().enumerate().filter(|(index, _)| *index != right).map(|(_, score)| *score);
        let strict = others().all(|other| own > other);
        if !others().all(|other| other <= own + tolerance) {
            return Self { strict, ..Self::default() };
        }
        let equal = others().filter(|other| *other >= own - tolerance).count();
        Self { credit: 1.0 / (1 + equal) as f64, strict, tie: equal > 0 }
    }
}

/// Percentages over choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ChoiceAccuracy {
    /// Right choices, ties shared.
    pub accuracy: f64,
    /// Right choices by the published rule, to which a tie is wrong.
    pub strict: f64,
    /// Choices.
    pub n: usize,
    /// Ties for the highest score with the right candidate among them.
    pub ties: usize,
    /// Lower end of the 95 % interval of the accuracy (Wilson), which takes choices as independent.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl ChoiceAccuracy {
    /// Over `outcomes`.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a ChoiceOutcome>) -> Self {
        let outcomes: Vec<&ChoiceOutcome> = outcomes.into_iter().collect();
        let count = |holds: fn(&ChoiceOutcome) -> bool| outcomes.iter().filter(|outcome| holds(outcome)).count();
        let (n, ties, strict) = (outcomes.len(), count(|outcome| outcome.tie), count(|outcome| outcome.strict));
        let credit: f64 = outcomes.iter().map(|outcome| outcome.credit).sum();
        let percent = |sum: f64| 100.0 * sum / n.max(1) as f64;
        let [low, high] = wilson(credit, n as f64);
        Self { accuracy: percent(credit), strict: percent(strict as f64), n, ties, low, high }
    }

    /// The same to two decimals.
    #[must_use]
    pub fn rounded(self) -> Self {
        let round = |value: f64| (value * 100.0).round() / 100.0 + 0.0;
        let [accuracy, strict, low, high] = [self.accuracy, self.strict, self.low, self.high].map(round);
        Self { accuracy, strict, low, high, ..self }
    }
}

/// The 95 % interval of `right` of `n`, in percent (Wilson 1927); everything where there is nothing.
fn wilson(right: f64, n: f64) -> [f64; 2] {
    if n == 0.0 {
        return [0.0, 100.0];
    }
    let (share, z2) = (right / n, Z * Z);
    let middle = share + z2 / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    [middle - spread, middle + spread].map(|end| (100.0 * end / (1.0 + z2 / n)).clamp(0.0, 100.0))
}

/// Accuracy over everything and by type.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChoiceFigures {
    /// Over all choices.
    #[serde(flatten)]
    pub overall: ChoiceAccuracy,
    /// By type; a choice may have several.
    pub by_type: BTreeMap<String, ChoiceAccuracy>,
}

impl ChoiceFigures {
    /// Of `outcomes` with their types, to two decimals.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = (ChoiceOutcome, &'a [String])>) -> Self {
        let (mut all, mut by_type) = (Vec::new(), BTreeMap::<String, Vec<ChoiceOutcome>>::new());
        for (outcome, types) in outcomes {
            all.push(outcome);
            types.iter().for_each(|kind| by_type.entry(kind.clone()).or_default().push(outcome));
        }
        let accuracy = |outcomes: &Vec<ChoiceOutcome>| ChoiceAccuracy::of(outcomes).rounded();
        let by_type = by_type.iter().map(|(kind, outcomes)| (kind.clone(), accuracy(outcomes))).collect();
        Self { overall: accuracy(&all), by_type }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_are_shared_and_noise_is_a_tie() {
        let of = |scores: &[f32], right| {
            let outcome = ChoiceOutcome::of(scores, right);
            (outcome.credit, outcome.strict, outcome.tie)
        };
        assert_eq!(of(&[0.2, 0.1], 0), (1.0, true, false));
        assert_eq!(of(&[0.2, 0.1], 1), (0.0, false, false));
        assert_eq!(of(&[0.2, 0.2], 0), (0.5, false, true));
        assert_eq!(of(&[0.2, 0.2 + 3e-7], 0), (0.5, false, true), "noise");
        assert_eq!(of(&[0.2 + 3e-7, 0.2], 0), (0.5, true, true), "the strict rule takes noise for a difference");
        assert_eq!(of(&[0.2, 0.2, 0.1, 0.2], 3), (1.0 / 3.0, false, true));
        assert_eq!(of(&[0.2, 0.2, 0.3], 0), (0.0, false, false), "a tie for the second place is none");
        assert_eq!(of(&[-40.0, -40.00001], 1).0, 0.5, "relative to large scores");
        assert_eq!(of(&[], 0), (0.0, false, false), "a video that is missing");
    }

    #[test]
    fn the_interval_is_wilsons() {
        // By hand: z² = 3.8415; 7 of 10 is (0.7 + 0.19207 ± 1.95996 · √(0.021 + 0.0096036)) / 1.38415.
        let [low, high] = wilson(7.0, 10.0);
        assert!((low - 39.677).abs() < 2e-3 && (high - 89.221).abs() < 2e-3, "{low} {high}");
        let [low, high] = wilson(1_000.0, 1_000.0);
        assert!((low - 99.617).abs() < 2e-3 && (high - 100.0).abs() < 1e-9, "{low} {high}");
        assert_eq!(wilson(0.0, 0.0), [0.0, 100.0]);
    }

    #[test]
    fn types_are_counted_for_each_of_a_choices_types() {
        let right = ChoiceOutcome { credit: 1.0, strict: true, tie: false };
        let both = ["TN".to_owned(), "T".to_owned()];
        let figures = ChoiceFigures::of([(right, &both[..]), (ChoiceOutcome::default(), &both[1..])]);
        assert_eq!((figures.overall.accuracy, figures.overall.n), (50.0, 2));
        assert_eq!((figures.by_type["TN"].accuracy, figures.by_type["T"].accuracy), (100.0, 50.0));
        let json = serde_json::to_value(&figures).unwrap();
        assert_eq!((&json["n"], &json["by_type"]["T"]["n"]), (&2.into(), &2.into()));
    }
}
