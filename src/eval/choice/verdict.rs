//! Whether a score shows knowledge of order, in words.

use super::{Controls, ScorerFigures};

/// One sentence: the accuracy with its interval, and whether all of it lies above every control.
pub fn verdict(scorer: &str, figures: &ScorerFigures, controls: &Controls) -> String {
    let overall = figures.accuracy.overall;
    let (name, best) = controls.best();
    let interval = format!("{:.1} % [{:.1}, {:.1}] of {}", overall.accuracy, overall.low, overall.high, overall.n);
    let relation = if overall.low > best {
        format!("above every control, the best of which is {name} at {best:.1} %")
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
