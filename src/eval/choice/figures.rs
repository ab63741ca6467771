//! The figures of a choice benchmark.

use super::measure::Outcomes;
use super::{ChoiceSet, Controls, Measured};
use crate::eval::FrameOrder;
use crate::eval::metrics::{ChoiceAccuracy, ChoiceFigures, ChoiceOutcome};
use serde::Serialize;

/// The figures of one scorer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ScorerFigures {
    /// Overall and by type.
    #[serde(flatten)]
    pub accuracy: ChoiceFigures,
    /// Of the choices that test the words alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proficiency: Option<ChoiceAccuracy>,
    /// Of both together: right only where both are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub combined: Option<ChoiceAccuracy>,
}

/// The figures of both scorers, and what they have to be compared with.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChoiceMetrics {
    /// By the two encoders.
    pub itc: ScorerFigures,
    /// By the matching head.
    pub itm: ScorerFigures,
    /// Of the two encoders, and of texts.
    pub controls: Controls,
    /// The same of the matching head.
    pub controls_itm: Controls,
    /// Whether each scorer is above its controls, in words.
    pub verdict: Vec<String>,
}

impl ChoiceMetrics {
    /// Of `measured` and of the same set under other orders of frames.
    pub fn of(set: &ChoiceSet, measured: &Measured, probes: &[(FrameOrder, [f64; 2])]) -> Self {
        let [mut controls, mut controls_itm] = [Controls::of(set); 2];
        for (order, [itc, itm]) in probes {
            controls.put(*order, *itc);
            controls_itm.put(*order, *itm);
        }
        let [itc, itm] = [&measured.itc, &measured.itm].map(|outcomes| ScorerFigures::of(set, outcomes));
        let verdict = vec![
            super::verdict::verdict("two encoders", &itc, &controls),
            super::verdict::verdict("matching head", &itm, &controls_itm),
        ];
        Self { itc, itm, controls, controls_itm, verdict }
    }
}

impl ScorerFigures {
    /// Of the `outcomes` of one scorer.
    pub fn of(set: &ChoiceSet, outcomes: &Outcomes) -> Self {
        let typed = set.questions.iter().zip(&outcomes.questions);
        let accuracy = ChoiceFigures::of(typed.map(|(question, outcome)| (*outcome, &question.types[..])));
        if set.proficiency.is_empty() {
            return Self { accuracy, ..Self::default() };
        }
        let both = set.questions.iter().zip(&outcomes.questions).filter_map(|(question, main)| {
            let words = outcomes.proficiency.get(question.proficiency?)?;
            Some(ChoiceOutcome {
                credit: main.credit * words.credit,
                strict: main.strict && words.strict,
                tie: (main.tie || words.tie) && main.credit * words.credit > 0.0,
            })
        });
        let both: Vec<ChoiceOutcome> = both.collect();
        let percent = |outcomes: &[ChoiceOutcome]| Some(ChoiceAccuracy::of(outcomes).rounded());
        Self { accuracy, proficiency: percent(&outcomes.proficiency), combined: percent(&both) }
    }
}
