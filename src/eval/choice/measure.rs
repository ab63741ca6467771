//! The choices of a set, scored: by any scorer, so that one whose knowledge is known can be measured like a model.

use super::{ChoiceQuestion, ChoiceSet};
use crate::Result;
use crate::eval::metrics::{ChoiceOutcome, TwinScores, twin_scores};
use crate::eval::{EncodeStats, FrameOrder};
use std::collections::HashMap;

/// What scores clips and texts of a [`ChoiceSet`].
pub trait ChoiceScorer {
    /// Looks at every clip with its frames in `order`, and scores each with the texts that `wanted` names for it.
    ///
    /// # Errors
    /// A video that cannot be read, scores that are no numbers.
    fn score(&mut self, order: FrameOrder, wanted: &[Vec<usize>]) -> Result<Scored>;
}

/// Clips and texts in the shared space, and matching scores.
#[derive(Clone, Debug, Default)]
pub struct Scored {
    /// `[videos][width]`; empty for a video that is missing.
    pub videos: Vec<Vec<f32>>,
    /// `[texts][width]`.
    pub texts: Vec<Vec<f32>>,
    /// Scores of the matching head by clip and text.
    pub matching: HashMap<(usize, usize), f32>,
    /// Statistics of the encoded videos.
    pub coverage: EncodeStats,
}

impl Scored {
    /// Whether `video` could be read.
    pub fn is_present(&self, video: usize) -> bool {
        !self.videos[video].is_empty()
    }

    /// The score of the two encoders.
    pub fn dual(&self, video: usize, text: usize) -> f32 {
        self.videos[video].iter().zip(&self.texts[text]).map(|(v, t)| v * t).sum()
    }

    /// The score of the matching head; that of a pair that was not asked for is no number.
    pub fn matched(&self, video: usize, text: usize) -> f32 {
        self.matching.get(&(video, text)).copied().unwrap_or(f32::NAN)
    }

    /// Scores of the candidates by one of the two; none where a clip is missing.
    fn candidates(&self, question: &ChoiceQuestion, score: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        if question.candidates.iter().any(|candidate| !self.is_present(candidate.video)) {
            return Vec::new();
        }
        question.candidates.iter().map(|candidate| score(candidate.video, candidate.text)).collect()
    }
}

/// The outcome of every choice by one scorer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcomes {
    /// Scores of the candidates of each question; none where a clip is missing.
    pub scores: Vec<Vec<f32>>,
    /// By question.
    pub questions: Vec<ChoiceOutcome>,
    /// By proficiency question.
    pub proficiency: Vec<ChoiceOutcome>,
    /// Over twins, where there are any.
    pub twins: Option<TwinScores>,
}

/// What both scorers make of a set.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// By the two encoders.
    pub itc: Outcomes,
    /// By the matching head.
    pub itm: Outcomes,
    /// Features, for rankings.
    pub scored: Scored,
}

/// Scores `set` with frames in `order`. A choice with a missing clip is wrong.
///
/// # Errors
/// What the scorer returns.
pub fn measure(set: &ChoiceSet, scorer: &mut dyn ChoiceScorer, order: FrameOrder) -> Result<Measured> {
    let scored = scorer.score(order, &set.texts_by_video())?;
    let itc = outcomes(set, &scored, |video, text| scored.dual(video, text));
    let itm = outcomes(set, &scored, |video, text| scored.matched(video, text));
    Ok(Measured { itc, itm, scored })
}

fn outcomes(set: &ChoiceSet, scored: &Scored, score: impl Fn(usize, usize) -> f32) -> Outcomes {
    let scores: Vec<Vec<f32>> = set.questions.iter().map(|question| scored.candidates(question, &score)).collect();
    let questions = set.questions.iter().zip(&scores).map(|(question, s)| ChoiceOutcome::of(s, question.right));
    let proficiency = set.proficiency.iter().map(|question| {
        let scores = scored.candidates(question, &score);
        ChoiceOutcome::of(&scores, question.right)
    });
    let (questions, proficiency) = (questions.collect(), proficiency.collect());
    let present = set.twins.iter().filter(|twins| twins.videos.iter().all(|&video| scored.is_present(video)));
    let squares = present.map(|twins| twins.videos.map(|video| twins.texts.map(|text| score(video, text))));
    let twins = (!set.twins.is_empty()).then(|| twin_scores(squares));
    Outcomes { scores, questions, proficiency, twins }
}
