//! Question answering: every question ranks the answer list; accuracy overall and by type.

use super::metrics::AccuracyCounter;
use super::retrieval_run::EvalModel;
use super::{
    ClipPlan, ClipSource, EncodeOptions, EncodeStats, EncodedClips, FeatureStore, QuestionSet, ScoreOptions, VideoSet,
    encode_videos, host, match_scoring::padded,
};
use crate::Result;
use crate::model::{AnswerList, FusionOptions, RankedAnswers, SvittQa, TokenBatch, VideoDraws, VideoTokens};
use crate::text::Tokenizer;
use burn::tensor::{Int, Tensor, TensorData};
use std::collections::HashSet;
use svitt_ops::SvittBackend;

/// What a question answering model is asked, and how.
#[derive(Clone, Copy)]
pub struct QaTask<'a> {
    /// The questions and their videos.
    pub asked: &'a QuestionSet,
    /// The questions as ids, without padding.
    pub texts: &'a [Vec<i64>],
    /// The videos.
    pub videos: &'a dyn VideoSet,
    /// The candidates.
    pub answers: &'a Candidates,
    /// Which frames make which clip.
    pub plan: &'a ClipPlan,
    /// How they are read.
    pub encoding: &'a EncodeOptions,
    /// How answers are scored; its batch is questions per forward.
    pub score: &'a ScoreOptions,
}

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
    pub given: Vec<Prediction>,
    /// Questions none of whose answers is in the list.
    pub unanswerable: usize,
    /// Answers that were scored in full per question.
    pub k: usize,
    /// What became of the videos.
    pub coverage: EncodeStats,
}

/// Asks every question of `exam`, taking from `store` what is encoded already. A question whose video is missing, or
/// whose answer is not in the list, is wrong.
///
/// # Errors
/// A video that cannot be read, unless that is allowed; clips of another size than the model's.
pub fn evaluate_questions<B: SvittBackend>(
    examinee: &EvalModel<'_, B, SvittQa<B>>,
    exam: &QaTask<'_>,
    store: &mut FeatureStore,
) -> Result<QuestionOutcome> {
    let (model, device, plan) = (examinee.model, examinee.device, exam.plan);
    let draws = VideoDraws::evaluation(exam.score.seed);
    let coverage = encode_videos(exam.videos, plan, exam.encoding, store, &mut |pixels, count| {
        let size = examinee.config.video.image_size;
        let pixels = TensorData::new(pixels, [count * plan.clips, plan.frames, 3, size, size]);
        let states = host(model.encode_video(Tensor::<B, 5>::from_data(pixels, device), &draws)?);
        let each = (states.len() / count).max(1);
        Ok(states.chunks_exact(each).map(|s| EncodedClips { features: Vec::new(), states: s.to_vec() }).collect())
    })?;
    let Candidates { ids, mask, tokens, .. } = exam.answers;
    let list = AnswerList::<B>::new(ids, mask, *tokens, device);
    let asker = BatchRanker { examinee, exam, list: &list, store };
    let (mut accuracy, mut given) =
        (AccuracyCounter::default(), vec![Prediction::default(); exam.asked.questions.len()]);
    let present = |&number: &usize| store.contains(exam.asked.questions[number].video);
    let numbers: Vec<usize> = (0..given.len()).filter(present).collect();
    let mut ticker = exam.encoding.progress.counter("asking questions", numbers.len());
    for batch in numbers.chunks(exam.score.batch.max(1)) {
        for (&number, ranked) in batch.iter().zip(asker.ask(batch)?) {
            given[number].ranked = ranked;
        }
        ticker.tick(batch.len());
    }
    let known: HashSet<&str> = exam.answers.texts.iter().map(String::as_str).collect();
    let mut unanswerable = 0;
    for (question, given) in exam.asked.questions.iter().zip(&mut given) {
        let best = given.ranked.answers.first().and_then(|&answer| exam.answers.texts.get(answer));
        given.correct = best.is_some_and(|best| question.answers.iter().any(|answer| answer.trim() == best));
        unanswerable += usize::from(!question.answers.iter().any(|answer| known.contains(answer.trim())));
        accuracy.push(given.correct, question.types.iter().map(String::as_str));
    }
    Ok(QuestionOutcome { accuracy, given, unanswerable, k: exam.score.k.min(list.len()), coverage })
}

/// Ranks the answers of batches of questions.
struct BatchRanker<'a, B: SvittBackend> {
    examinee: &'a EvalModel<'a, B, SvittQa<B>>,
    exam: &'a QaTask<'a>,
    list: &'a AnswerList<B>,
    store: &'a FeatureStore,
}

impl<B: SvittBackend> BatchRanker<'_, B> {
    /// The ranked answers of questions `numbers`; each distinct video is uploaded once.
    fn ask(&self, numbers: &[usize]) -> Result<Vec<RankedAnswers>> {
        let EvalModel { model, config, device } = *self.examinee;
        let questions = &self.exam.asked.questions;
        let mut videos: Vec<usize> = numbers.iter().map(|&number| questions[number].video).collect();
        videos.dedup();
        let row =
            |number: &usize| videos.iter().position(|&video| video == questions[*number].video).unwrap_or(0) as i64;
        let rows: Vec<i64> = numbers.iter().map(row).collect();
        let rows = Tensor::<B, 1, Int>::from_data(TensorData::new(rows, [numbers.len()]), device);
        let texts: Vec<Vec<i64>> = numbers.iter().map(|&number| self.exam.texts[number].clone()).collect();
        let (ids, mask, _) = padded::<B>(&texts, device);
        let states = videos.iter().map(|&video| self.store.states(video)).collect::<Result<Vec<_>>>()?;
        let (clips, width) = (self.exam.plan.clips, config.video.hidden);
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
        Ok(model.rank_answers(&per_clip, self.list, self.exam.score.k, self.exam.score.ensemble))
    }
}
