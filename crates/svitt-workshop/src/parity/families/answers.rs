//! Question answering: what the question becomes, and which answers are chosen.

use super::FamilySet;
use crate::parity::report::FileCheck;
use crate::parity::tolerance::TensorKind;
use burn::tensor::{Int, Tensor, TensorData, activation::softmax};
use svitt::Result;
use svitt::config::ClipEnsemble;
use svitt::loss::answer_losses;
use svitt::model::layers::Mode;
use svitt::model::{AnswerList, FusionOptions, QuestionStates, SvittQa, TokenBatch, VideoDraws, WeightedAnswers};
use svitt_ops::SvittBackend;

/// The questions and the list of answers of a set.
pub struct Exam<B: SvittBackend> {
    questions: TokenBatch<B>,
    answers: TokenBatch<B>,
    list: AnswerList<B>,
    first_words: Vec<i64>,
}

impl<B: SvittBackend> Exam<B> {
    /// Reads them; `model` has their words.
    pub fn read(set: &FamilySet<B>, model: &SvittQa<B>) -> Result<Self> {
        let (outputs, words) = (&set.outputs, model.text.embeddings.word.weight.dims()[0]);
        let tokens = |ids: &str, mask: &str| {
            let ids = outputs.ids::<B, 2>(ids, words, None, &set.device)?;
            outputs.expect(mask, &ids.dims())?;
            Ok::<_, svitt::Error>(TokenBatch { ids, mask: outputs.float(mask, &set.device)? })
        };
        let (questions, answers) = (tokens("question_ids", "question_mask")?, tokens("answer_ids", "answer_mask")?);
        let length = answers.ids.dims()[1];
        let ids = outputs.integers("answer_ids")?;
        let list = AnswerList::new(&ids, &outputs.get("answer_mask")?.values, length, &set.device);
        let first_words = ids.chunks(length.max(1)).map(|answer| answer.get(1).copied().unwrap_or(0)).collect();
        Ok(Self { questions, answers, list, first_words })
    }

    /// The questions after seeing `video` `[clips, frames, 3, size, size]`, one clip each; comparing what
    /// `TAG.embeds`, `TAG.question.N` and `TAG.states` name.
    pub fn ask(
        &self,
        set: &FamilySet<B>,
        model: &SvittQa<B>,
        tag: &str,
        video: Tensor<B, 5>,
        check: &mut FileCheck,
    ) -> Result<QuestionStates<B>> {
        let embeds = model.encode_video(video, &VideoDraws::evaluation(0))?;
        set.outputs.check(&format!("{tag}.embeds"), TensorKind::Hidden, embeds.clone(), check);
        let TokenBatch { ids, mask } = self.questions.clone();
        let mut trace = Vec::new();
        let run = FusionOptions::default();
        let states = model.text.multi_modal(ids, mask.clone(), embeds.into(), run, Some(&mut trace)).hidden;
        for (layer, hidden) in trace.into_iter().skip(1).enumerate() {
            set.outputs.check(&format!("{tag}.question.{layer}"), TensorKind::Hidden, hidden, check);
        }
        set.outputs.check(&format!("{tag}.states"), TensorKind::Hidden, states.clone(), check);
        Ok(QuestionStates { states, mask })
    }

    /// Compares `TAG.topk_ids` and `TAG.topk_probs`: the answers to questions after `clips` of their videos.
    pub fn compare_best(
        &self,
        set: &FamilySet<B>,
        model: &SvittQa<B>,
        tag: &str,
        clips: &[QuestionStates<B>],
        ensemble: ClipEnsemble,
        check: &mut FileCheck,
    ) -> Result<()> {
        let name = format!("{tag}.topk_ids");
        let [_, k] = set.outputs.shape::<2>(&name)?;
        let ranked = model.rank_answers(clips, &self.list, k, ensemble);
        let ids: Vec<f64> = ranked.iter().flat_map(|row| row.answers.iter().map(|&answer| answer as f64)).collect();
        check.compare(&name, TensorKind::Exact, &ids, &set.outputs.get(&name)?.values);
        let ours: Vec<f32> = ranked.iter().flat_map(|row| row.probabilities.clone()).collect();
        let name = format!("{tag}.topk_probs");
        check.compare(&name, TensorKind::Probability, &ours, &set.outputs.get(&name)?.values);
        Ok(())
    }

    /// Compares what the decoder makes of the questions: `TAG.first_logits`, `TAG.first_probs`, `TAG.answer_losses`.
    pub fn compare_decoder(
        &self,
        set: &FamilySet<B>,
        model: &SvittQa<B>,
        tag: &str,
        states: &QuestionStates<B>,
        check: &mut FileCheck,
    ) {
        let (questions, device) = (states.mask.dims()[0], &set.device);
        let start = self.answers.ids.clone().slice([0..1, 0..1]).expand([questions, 1]);
        let first = TokenBatch { ids: start, mask: Tensor::ones([questions, 1], device) };
        let logits = model.answer_logits(first, states, None, Mode::Eval);
        let logits: Tensor<B, 2> = logits.squeeze_dim(1);
        set.outputs.check(&format!("{tag}.first_logits"), TensorKind::Hidden, logits.clone(), check);
        let words =
            Tensor::<B, 1, Int>::from_data(TensorData::new(self.first_words.clone(), [self.first_words.len()]), device);
        let of_answers = softmax(logits, 1).select(1, words);
        set.outputs.check(&format!("{tag}.first_probs"), TensorKind::Probability, of_answers, check);
        let answers = self.list.len();
        let index = |of: &dyn Fn(usize) -> usize| {
            let places: Vec<i64> = (0..questions * answers).map(|pair| of(pair) as i64).collect();
            Tensor::<B, 1, Int>::from_data(TensorData::new(places, [questions * answers]), device)
        };
        let (question, answer) = (index(&|pair| pair / answers), index(&|pair| pair % answers));
        let TokenBatch { ids, mask } = self.answers.clone();
        let (ids, mask) = (ids.select(0, answer.clone()), mask.select(0, answer));
        let logits = model.answer_logits(
            TokenBatch { ids: ids.clone(), mask: mask.clone() },
            states,
            Some(question),
            Mode::Eval,
        );
        let losses = answer_losses(logits, ids, mask).reshape([questions, answers]);
        set.outputs.check(&format!("{tag}.answer_losses"), TensorKind::Hidden, losses, check);
    }

    /// Compares `TAG.loss`, of as many of the first answers of the list as `TAG.loss_weights` has, `per_question` of
    /// them to each question.
    pub fn compare_loss(
        &self,
        set: &FamilySet<B>,
        model: &SvittQa<B>,
        tag: &str,
        states: &QuestionStates<B>,
        per_question: &[usize],
        check: &mut FileCheck,
    ) -> Result<()> {
        let weight = set.outputs.float::<B, 1>(&format!("{tag}.loss_weights"), &set.device)?;
        let [count] = weight.dims();
        let question: Vec<i64> = per_question.iter().enumerate().flat_map(|(q, &n)| vec![q as i64; n]).collect();
        if question.len() != count || count > self.list.len() || per_question.len() != states.mask.dims()[0] {
            return Err(set.outputs.invalid(format!("`{tag}.loss_weights` does not fit the questions and answers")));
        }
        let TokenBatch { ids, mask } = self.answers.clone();
        let answers = WeightedAnswers {
            tokens: TokenBatch { ids: ids.slice([0..count]), mask: mask.slice([0..count]) },
            question: Tensor::from_data(TensorData::new(question, [count]), &set.device),
            weight,
        };
        let (loss, _) = model.loss(states, &answers, per_question.len(), Mode::Eval);
        set.outputs.check(&format!("{tag}.loss"), TensorKind::Loss, loss, check);
        Ok(())
    }
}
