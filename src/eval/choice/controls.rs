//! What a score is worth without the order of frames, and without the video.

use super::ChoiceSet;
use crate::eval::FrameOrder;
use crate::eval::metrics::{ChoiceAccuracy, ChoiceOutcome};
use crate::eval::report::rounded;
use serde::Serialize;

/// Accuracies, percent, of the same scorer under altered frames, and of guesses from the texts alone: each over the same
/// choices as the accuracy that it is held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Controls {
    /// The middle frame repeated, the same one for a clip and its reversal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeze: Option<f64>,
    /// Frames in a drawn order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffle: Option<f64>,
    /// Frames backwards: below chance for a scorer that knows order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverse: Option<f64>,
    /// Always the longer text, in characters.
    pub text_longer: f64,
    /// Always the shorter one.
    pub text_shorter: f64,
    /// What a blind guess is worth.
    pub chance: f64,
    /// Choices that every control covers: all of them.
    pub n: usize,
    /// Those among different texts of one clip; in the others, a text among clips, guesses from the text alone are ties.
    pub among_texts: usize,
}

impl Controls {
    /// The guesses for `set`; the frames are put in with [`Controls::put`].
    pub fn of(set: &ChoiceSet) -> Self {
        let share = |question: &super::ChoiceQuestion| 100.0 / question.candidates.len().max(1) as f64;
        let chance = set.questions.iter().map(share).sum::<f64>() / set.questions.len().max(1) as f64;
        Self {
            text_longer: text_guess(set, |length| length),
            text_shorter: text_guess(set, |length| -length),
            chance: rounded(chance),
            n: set.questions.len(),
            among_texts: set.questions.iter().filter(|question| question.is_among_texts()).count(),
            ..Self::default()
        }
    }

    /// Sets the accuracy under `order`.
    pub fn put(&mut self, order: FrameOrder, accuracy: f64) {
        match order {
            FrameOrder::Freeze => self.freeze = Some(accuracy),
            FrameOrder::Shuffle => self.shuffle = Some(accuracy),
            FrameOrder::Reverse => self.reverse = Some(accuracy),
            FrameOrder::None => {}
        }
    }

    /// The best of those that a scorer has to beat, with its name. Reversed frames are not among them.
    pub fn best(&self) -> (&'static str, f64) {
        let frames = [("frozen frames", self.freeze), ("shuffled frames", self.shuffle)];
        let guesses =
            [("the longer text", self.text_longer), ("the shorter text", self.text_shorter), ("chance", self.chance)];
        let frames = frames.into_iter().filter_map(|(name, accuracy)| Some((name, accuracy?)));
        let all = guesses.into_iter().rev().chain(frames);
        all.fold(("chance", 0.0), |best, next| if next.1 > best.1 { next } else { best })
    }
}

/// Accuracy, percent, of the text whose `score` of the length in characters is highest, over all choices; one text among
/// clips is a tie. 0 where there are no choices.
pub fn text_guess(set: &ChoiceSet, score: impl Fn(f32) -> f32) -> f64 {
    let lengths: Vec<f32> = set.texts.iter().map(|text| score(text.chars().count() as f32)).collect();
    let outcomes: Vec<ChoiceOutcome> = set
        .questions
        .iter()
        .map(|question| {
            let scores: Vec<f32> = question.candidates.iter().map(|candidate| lengths[candidate.text]).collect();
            ChoiceOutcome::of(&scores, question.right)
        })
        .collect();
    rounded(ChoiceAccuracy::of(&outcomes).accuracy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Benchmark, Choice, Record};

    fn record(right: &str, wrong: &[&str]) -> Record {
        let texts = std::iter::once(right).chain(wrong.iter().copied()).map(str::to_owned).collect();
        let choice = Choice { texts, right: 0, proficiency: None };
        Record { media: format!("{right}.mp4"), choice: Some(choice.into()), ..Record::default() }
    }

    #[test]
    fn guesses_look_at_characters_and_share_ties() {
        // Letters count, not bytes.
        let records = [record("é longer", &["short"]), record("abc", &["abd"]), record("ab", &["abc", "x"])];
        let controls = Controls::of(&ChoiceSet::new(Benchmark::Vitatecs, &records, None));
        assert_eq!((controls.text_longer, controls.text_shorter), (50.0, 16.67));
        assert_eq!(controls.chance, 44.44);
    }

    #[test]
    fn a_text_among_clips_is_a_tie_so_that_guesses_cover_what_the_accuracy_does() {
        let set = ChoiceSet::new(Benchmark::Rtime, &[record("much longer", &["short"])], None);
        let controls = Controls::of(&set);
        assert_eq!((controls.text_longer, controls.text_shorter, controls.chance), (75.0, 25.0, 50.0));
        assert_eq!((controls.n, controls.among_texts), (2, 1));
    }
}
