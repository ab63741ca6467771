//! Whether a score shows knowledge of order, in words: all of its interval against each control over the same choices.

use super::{Controls, ScorerFigures};

/// One sentence: the accuracy with its interval, and whether all of it lies above every control.
pub fn verdict(scorer: &str, figures: &ScorerFigures, controls: &Controls) -> String {
    let overall = figures.accuracy.overall;
    let (name, best) = controls.best();
    let interval = format!("{:.1} % [{:.1}, {:.1}] of {}", overall.accuracy, overall.low, overall.high, overall.n);
    let relation = if overall.low > best {
        format!("above every control of the same choices, the best of which is {name} at {best:.1} %")
    } else if overall.high < best {
        format!("below a control that knows no order: {name} at {best:.1} %")
    } else {
        format!("not distinguishable from a control that knows no order: {name} at {best:.1} %")
    };
    let reversed = match controls.reverse {
        Some(reverse) if overall.low > best && reverse >= overall.low => {
            format!("; but reversed frames score {reverse:.1} %, so it is not the order of frames that it knows")
        }
        _ => String::new(),
    };
    format!("{scorer}: {interval}, {relation}{reversed}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::metrics::{ChoiceAccuracy, ChoiceFigures};

    fn said([accuracy, low, high]: [f64; 3], freeze: f64, reverse: f64) -> String {
        let overall = ChoiceAccuracy { accuracy, low, high, n: 400, ..ChoiceAccuracy::default() };
        let accuracy = ChoiceFigures { overall, ..ChoiceFigures::default() };
        let figures = ScorerFigures { accuracy, ..ScorerFigures::default() };
        let controls = Controls {
            freeze: Some(freeze),
            shuffle: Some(49.0),
            reverse: Some(reverse),
            text_longer: 46.3,
            text_shorter: 53.7,
            chance: 50.0,
            n: 400,
            among_texts: 200,
        };
        verdict("two encoders", &figures, &controls)
    }

    #[test]
    fn the_whole_interval_has_to_lie_above_the_best_control() {
        let above = said([64.0, 59.2, 68.6], 52.0, 41.0);
        let expected = "two encoders: 64.0 % [59.2, 68.6] of 400, above every control of the same choices, the best of \
                        which is the shorter text at 53.7 %";
        assert_eq!(above, expected);
        assert!(
            said([57.0, 52.1, 61.8], 52.0, 41.0).contains("not distinguishable from a control that knows no order")
        );
        assert!(
            said([64.0, 59.2, 68.6], 72.0, 41.0).contains("below a control that knows no order: frozen frames at 72")
        );
        let backwards = said([64.0, 59.2, 68.6], 52.0, 63.5);
        assert!(backwards.ends_with("reversed frames score 63.5 %, so it is not the order of frames that it knows"));
    }
}
