//! Accuracy, overall and by type of question.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many answers were right. `percent` is 0–100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// 100 · correct / total; 0 without a question.
    pub percent: f64,
    /// Right answers.
    pub correct: usize,
    /// Questions; unanswerable and unpredicted ones are among them.
    pub total: usize,
}

impl Accuracy {
    fn count(&mut self, correct: bool) {
        self.total += 1;
        self.correct += usize::from(correct);
        self.percent = 100.0 * self.correct as f64 / self.total as f64;
    }
}

/// Collects answers one by one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccuracyCounter {
    overall: Accuracy,
    by_type: BTreeMap<String, Accuracy>,
}

impl AccuracyCounter {
    /// Counts an answer. A question may have several types (AGQA's reasoning, structure and answer type).
    pub fn push<'a>(&mut self, correct: bool, types: impl IntoIterator<Item = &'a str>) {
        self.overall.count(correct);
        for kind in types {
            match self.by_type.get_mut(kind) {
                Some(accuracy) => accuracy.count(correct),
                None => self.by_type.entry(kind.to_owned()).or_default().count(correct),
            }
        }
    }

    /// Over all questions.
    pub fn overall(&self) -> Accuracy {
        self.overall
    }

    /// By type, in alphabetical order.
    pub fn by_type(&self) -> &BTreeMap<String, Accuracy> {
        &self.by_type
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_a_question_counts_it() {
        let mut counter = AccuracyCounter::default();
        counter.push(true, ["binary", "exists"]);
        counter.push(false, ["binary"]);
        counter.push(false, ["open"]);
        assert_eq!(counter.overall(), Accuracy { percent: 100.0 / 3.0, correct: 1, total: 3 });
        let by_type: Vec<_> = counter.by_type().iter().map(|(kind, a)| (kind.as_str(), a.percent)).collect();
        assert_eq!(by_type, [("binary", 50.0), ("exists", 100.0), ("open", 0.0)]);
    }
}
