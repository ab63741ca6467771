//! Question answering: every question ranks the answer list; accuracy overall and by type.

use super::metrics::AccuracyCounter;
use super::{
    ClipSource, EncodeStats, EncodedClips, EvalInputs, EvalModel, FeatureStore, QuestionSet, host,
    match_scoring::padded, require_finite,
};
use crate::Result;
use crate::model::{AnswerList, FusionOptions, RankedAnswers, SvittQa, TokenBatch, VideoTokens};
use crate::text::Tokenizer;
use burn::tensor::{Int, Tensor, TensorData};
use std::collections::HashSet;
use svitt_ops::SvittBackend;

/// The answer list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    /// The answers.
    pub texts: Vec<String>,
    /// Their ids `[answers, tokens]`, closed by `[SEP]` and padded.
    pub ids: Vec<i64>,
    /// `[answers, tokens]`, 1 where a token stands.
    pub mask: Vec<f32>,
    /// Tokens per answer.
    pub tokens: usize,
}

impl Candidates {
    /// The list `texts`, at most `max_answer` tokens each.
    pub fn new(texts: Vec<String>, tokenizer: &Tokenizer, max_answer: usize) -> Self {
        let encodings: Vec<_> = texts.iter().map(|answer| tokenizer.encode_answer(answer, max_answer)).collect();
        Self {
            ids: encodings.iter().flat_map(|e| e.ids.iter().copied()).collect(),
            mask: encodings.iter().flat_map(|e| e.mask.iter().copied()).collect(),
            tokens: max_answer,
            texts,
        }
    }
}

/// The predicted answer of a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// Best answers, as positions in the list, best first; empty where the video is missing.
    pub ranked: RankedAnswers,
    /// Whether the best one is what an annotator said.
    pub correct: bool,
}

/// Accuracy, and what it was made of.
#[derive(Clone, Debug)]
pub struct QuestionOutcome {
    /// Overall and by type.
    pub accuracy: AccuracyCounter,
    /// One per question.
    pub predictions: Vec<Prediction>,
    /// Questions none of whose answers is in the list.
    pub unanswerable: usize,
    /// Answers that were scored in full per question.
    pub k: usize,
    /// What became of the videos.
    pub coverage: EncodeStats,
}

/// Encodes the videos of `inputs` that `store` does not hold yet.
///
/// # Errors
/// A video that cannot be read, unless that is allowed; clips of another size than the model's.
pub(super) fn encode_asked_videos<B: SvittBackend>(
    eval_model: &EvalModel<'_, B, SvittQa<B>>,
    inputs: &EvalInputs<'_>,
    store: &mut FeatureStore,
) -> Result<EncodeStats> {
    eval_model.encode_missing(inputs, store, |pixels, count, draws| {
        let states = host(eval_model.model.encode_video(pixels, draws)?);
        let each = (states.len() / count).max(1);
        Ok(states.chunks_exact(each).map(|s| EncodedClips { features: Vec::new(), states: s.to_vec() }).collect())
    })
}

/// Ranks the answers of `candidates` for every question of `asked`, taking from `store` what is encoded already. A question
/// whose video is missing, or whose answer is not in the list, is wrong.
///
/// # Errors
/// A video that cannot be read, unless that is allowed; clips of another size than the model's.
pub fn evaluate_questions<B: SvittBackend>(
    eval_model: &EvalModel<'_, B, SvittQa<B>>,
    asked: &QuestionSet,
    candidates: &Candidates,
    inputs: &EvalInputs<'_>,
    store: &mut FeatureStore,
) -> Result<QuestionOutcome> {
    let EvalModel { device, .. } = *eval_model;
    let EvalInputs { encoding, score, .. } = *inputs;
    let coverage = encode_asked_videos(eval_model, inputs, store)?;
    let Candidates { ids, mask, tokens, .. } = candidates;
    let list = AnswerList::<B>::new(ids, mask, *tokens, device);
    let batches = QuestionBatches { eval_model, asked, inputs, list: &list, store };
    let mut predictions = vec![Prediction::default(); asked.questions.len()];
    let present = |&number: &usize| store.contains(asked.questions[number].video);
    let numbers: Vec<usize> = (0..predictions.len()).filter(present).collect();
    let mut ticker = encoding.progress.counter("asking questions", numbers.len());
    for batch in numbers.chunks(score.batch.max(1)) {
        for (&number, ranked) in batch.iter().zip(batches.rank(batch)?) {
            require_finite("answer probabilities", &ranked.probabilities)?;
            predictions[number].ranked = ranked;
        }
        ticker.tick(batch.len());
    }
    let known: HashSet<&str> = candidates.texts.iter().map(String::as_str).collect();
    let (mut accuracy, mut unanswerable) = (AccuracyCounter::default(), 0);
    for (question, prediction) in asked.questions.iter().zip(&mut predictions) {
        let best = prediction.ranked.answers.first().and_then(|&answer| candidates.texts.get(answer));
        prediction.correct = best.is_some_and(|best| question.answers.iter().any(|answer| answer.trim() == best));
        unanswerable += usize::from(!question.answers.iter().any(|answer| known.contains(answer.trim())));
        accuracy.push(prediction.correct, question.types.iter().map(String::as_str));
    }
    Ok(QuestionOutcome { accuracy, predictions, unanswerable, k: score.k.min(list.len()), coverage })
}

/// Ranks the answers of batches of questions.
struct QuestionBatches<'a, B: SvittBackend> {
    eval_model: &'a EvalModel<'a, B, SvittQa<B>>,
    asked: &'a QuestionSet,
    inputs: &'a EvalInputs<'a>,
    list: &'a AnswerList<B>,
    store: &'a FeatureStore,
}

impl<B: SvittBackend> QuestionBatches<'_, B> {
    /// The ranked answers of questions `numbers`; each distinct video is uploaded once.
    fn rank(&self, numbers: &[usize]) -> Result<Vec<RankedAnswers>> {
        let EvalModel { model, config, device } = *self.eval_model;
        let questions = &self.asked.questions;
        let mut videos: Vec<usize> = numbers.iter().map(|&number| questions[number].video).collect();
        videos.dedup();
        let row =
            |number: &usize| videos.iter().position(|&video| video == questions[*number].video).unwrap_or(0) as i64;
        let rows: Vec<i64> = numbers.iter().map(row).collect();
        let rows = Tensor::<B, 1, Int>::from_data(TensorData::new(rows, [numbers.len()]), device);
        let texts: Vec<Vec<i64>> = numbers.iter().map(|&number| self.inputs.texts[number].clone()).collect();
        let (ids, mask, _) = padded::<B>(&texts, device);
        let states = videos.iter().map(|&video| self.store.states(video)).collect::<Result<Vec<_>>>()?;
        let (clips, width) = (self.inputs.plan.clips, config.video.hidden);
        let tokens = states.first().map_or(0, Vec::len) / (clips * width).max(1);
        let per_clip: Vec<_> = (0..clips)
            .map(|clip| {
                let size = tokens * width;
                let values: Vec<f32> =
                    states.iter().flat_map(|s| &s[clip * size..(clip + 1) * size]).copied().collect();
                let embeds = Tensor::from_data(TensorData::new(values, [videos.len(), tokens, width]), device);
                let video = VideoTokens { embeds, rows: Some(rows.clone()) };
                model.ask(TokenBatch { ids: ids.clone(), mask: mask.clone() }, video, FusionOptions::default())
            })
            .collect();
        Ok(model.rank_answers(&per_clip, self.list, self.inputs.score.k, self.inputs.score.ensemble))
    }
}
