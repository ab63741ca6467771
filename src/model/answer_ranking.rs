//! Answer ranking: all answers by their first word, then the best k by all words (docs/model.md, "Answer ranking").

use super::layers::Mode;
use super::vqa::{QuestionStates, SvittQa, TokenBatch};
use crate::config::ClipEnsemble;
use crate::loss::answer_losses;
use burn::tensor::{Int, Tensor, TensorData, activation::softmax, backend::Backend};
use svitt_ops::SvittBackend;

/// The list answers are chosen from, on the host and on the device.
#[derive(Clone, Debug)]
pub struct AnswerList<B: Backend> {
    /// First word of each answer, behind [CLS].
    first: Vec<i64>,
    /// [CLS], with which every answer starts.
    start: i64,
    tokens: TokenBatch<B>,
}

/// The best answers of a question, best first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RankedAnswers {
    /// Positions in the answer list.
    pub answers: Vec<usize>,
    /// Their probabilities; they sum to 1.
    pub probabilities: Vec<f32>,
}

impl<B: Backend> AnswerList<B> {
    /// A list of `ids` and `mask` `[answers, tokens]`, row-major, all starting with `[CLS]` and closed by `[SEP]`.
    pub fn new(ids: &[i64], mask: &[f32], tokens: usize, device: &B::Device) -> Self {
        let shape = [ids.len() / tokens.max(1), tokens];
        Self {
            first: ids.chunks(tokens.max(1)).map(|answer| answer.get(1).copied().unwrap_or_default()).collect(),
            start: ids.first().copied().unwrap_or_default(),
            tokens: TokenBatch {
                ids: Tensor::from_data(TensorData::new(ids.to_vec(), shape), device),
                mask: Tensor::from_data(TensorData::new(mask.to_vec(), shape), device),
            },
        }
    }

    /// Answers in the list.
    pub fn len(&self) -> usize {
        self.first.len()
    }

    /// Whether there is no answer to choose.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

impl<B: SvittBackend> SvittQa<B> {
    /// Ranks `list` for every question; `clips` holds the questions after seeing each clip of their videos.
    ///
    /// The `k` answers (at most the list) with the likeliest first word are scored by log p(first word) + log p(all
    /// words): the first word counts twice, as in the official code. Clips are joined by `ensemble` twice: their
    /// probabilities of the first word, after which a softmax over the vocabulary follows, and their final scores.
    pub fn rank_answers(
        &self,
        clips: &[QuestionStates<B>],
        list: &AnswerList<B>,
        k: usize,
        ensemble: ClipEnsemble,
    ) -> Vec<RankedAnswers> {
        let k = k.min(list.len());
        if k == 0 || clips.is_empty() {
            return vec![RankedAnswers::default(); clips.first().map_or(0, |clip| clip.mask.dims()[0])];
        }
        let first = self.first_words(clips, list, ensemble);
        let candidates: Vec<Vec<usize>> = first.chunks(list.len()).map(|row| best(row, k)).collect();
        let clip_scores: Vec<Vec<f32>> = clips.iter().map(|clip| self.answer_scores(clip, list, &candidates)).collect();
        let joined = |i: usize| ensemble.join(&clip_scores.iter().map(|scores| scores[i]).collect::<Vec<_>>());
        let rank = |(question, candidates): (usize, &Vec<usize>)| {
            let score = |(place, &answer): (usize, &usize)| {
                first[question * list.len() + answer].max(f32::MIN_POSITIVE).ln() + joined(question * k + place)
            };
            ranked(candidates, &candidates.iter().enumerate().map(score).collect::<Vec<f32>>())
        };
        candidates.iter().enumerate().map(rank).collect()
    }

    /// Probability of the first word of every answer, `[questions, answers]` row-major.
    fn first_words(&self, clips: &[QuestionStates<B>], list: &AnswerList<B>, ensemble: ClipEnsemble) -> Vec<f32> {
        let per_clip: Vec<Tensor<B, 2>> = clips.iter().map(|clip| self.first_word(clip, list.start)).collect();
        let joint = match &per_clip[..] {
            [one] => one.clone(),
            _ => softmax(join(per_clip, ensemble), 1),
        };
        let device = joint.device();
        let first = TensorData::new(list.first.clone(), [list.len()]);
        host(joint.select(1, Tensor::<B, 1, Int>::from_data(first, &device)))
    }

    /// Probability of every word behind [CLS], `[questions, vocab]`.
    fn first_word(&self, clip: &QuestionStates<B>, start: i64) -> Tensor<B, 2> {
        let (questions, device) = (clip.mask.dims()[0], clip.mask.device());
        let tokens = TokenBatch {
            ids: Tensor::full([questions, 1], start, &device),
            mask: Tensor::ones([questions, 1], &device),
        };
        let logits = self.answer_logits(tokens, clip, None, Mode::Eval);
        let vocab = logits.dims()[2];
        softmax(logits.reshape([questions, vocab]), 1)
    }

    /// log p(all words) of the candidates of every question, one after the other.
    fn answer_scores(&self, clip: &QuestionStates<B>, list: &AnswerList<B>, candidates: &[Vec<usize>]) -> Vec<f32> {
        let device = clip.mask.device();
        let int = |values: Vec<i64>| {
            let count = values.len();
            Tensor::<B, 1, Int>::from_data(TensorData::new(values, [count]), &device)
        };
        let answers = int(candidates.iter().flatten().map(|&answer| answer as i64).collect());
        let question = |(question, candidates): (usize, &Vec<usize>)| vec![question as i64; candidates.len()];
        let questions = int(candidates.iter().enumerate().flat_map(question).collect());
        let tokens = TokenBatch {
            ids: list.tokens.ids.clone().select(0, answers.clone()),
            mask: list.tokens.mask.clone().select(0, answers),
        };
        let logits = self.answer_logits(tokens.clone(), clip, Some(questions), Mode::Eval);
        host(answer_losses(logits, tokens.ids, tokens.mask).neg())
    }
}

/// Element by element the joint value of clips, `[questions, vocab]` each.
fn join<B: Backend>(clips: Vec<Tensor<B, 2>>, ensemble: ClipEnsemble) -> Tensor<B, 2> {
    let [questions, vocab] = clips[0].dims();
    let stacked: Tensor<B, 3> = Tensor::stack(clips, 0);
    let joint = match ensemble {
        ClipEnsemble::Mean => stacked.mean_dim(0),
        ClipEnsemble::Max => stacked.max_dim(0),
        // Probabilities are at most 1: no shift is needed.
        ClipEnsemble::Lse => stacked.exp().sum_dim(0).log(),
    };
    joint.reshape([questions, vocab])
}

/// The positions of the `k` largest of `values`, largest first, the lower position on ties.
fn best(values: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
    order.truncate(k);
    order
}

/// `candidates` by `scores`, best first, with the softmax of the scores.
fn ranked(candidates: &[usize], scores: &[f32]) -> RankedAnswers {
    let order = best(scores, scores.len());
    let largest = order.first().map_or(0.0, |&i| scores[i]);
    let weights: Vec<f32> = order.iter().map(|&i| (scores[i] - largest).exp()).collect();
    let sum: f32 = weights.iter().sum();
    RankedAnswers {
        answers: order.iter().map(|&i| candidates[i]).collect(),
        probabilities: weights.iter().map(|w| w / sum).collect(),
    }
}

fn host<B: Backend, const D: usize>(x: Tensor<B, D>) -> Vec<f32> {
    x.into_data().convert::<f32>().into_vec().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Compat;
    use crate::model::FusionOptions;
    use crate::testing::{noise, on_cpu_backends, randomized, small_config};

    const ANSWERS: [[i64; 4]; 5] = [[1, 7, 2, 0], [1, 8, 9, 2], [1, 5, 2, 0], [1, 8, 2, 0], [1, 30, 31, 2]];

    fn setting<B: SvittBackend>() -> (SvittQa<B>, Vec<QuestionStates<B>>, AnswerList<B>) {
        let device = Default::default();
        let model = randomized(SvittQa::new(&small_config(Compat::Corrected), 1, &device).unwrap(), 2);
        let clip = |seed| {
            let ids = Tensor::<B, 2, Int>::from_data([[1, 9, 30, 4], [1, 17, 0, 0]], &device);
            let mask = ids.clone().not_equal_elem(0).float();
            model.ask(TokenBatch { ids, mask }, noise::<B, 3>(seed, [2, 28, 15]), FusionOptions::default())
        };
        let clips = vec![clip(3), clip(4)];
        let mask: Vec<f32> = ANSWERS.concat().iter().map(|&id| f32::from(u8::from(id != 0))).collect();
        (model, clips, AnswerList::new(&ANSWERS.concat(), &mask, 4, &device))
    }

    /// The formula of docs/model.md, "Answer ranking", on one question at a time, all answers, no selection.
    fn brute_force<B: SvittBackend>(
        model: &SvittQa<B>,
        clip: &QuestionStates<B>,
        list: &AnswerList<B>,
    ) -> Vec<Vec<f32>> {
        let words = host(model.first_word(clip, 1));
        let all: Vec<Vec<usize>> = vec![(0..5).collect(); 2];
        let scores = model.answer_scores(clip, list, &all);
        let score = |q: usize, a: usize| words[q * 41 + ANSWERS[a][1] as usize].ln() + scores[q * 5 + a];
        (0..2).map(|q| (0..5).map(|a| score(q, a)).collect()).collect()
    }

    fn the_whole_list_is_ranked_by_the_formula<B: SvittBackend>() {
        let (model, clips, list) = setting::<B>();
        let found = model.rank_answers(&clips[..1], &list, 128, ClipEnsemble::Lse);
        for (found, scores) in found.iter().zip(brute_force(&model, &clips[0], &list)) {
            let expected = ranked(&[0, 1, 2, 3, 4], &scores);
            assert_eq!(found.answers, expected.answers);
            assert!((found.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            assert!(found.probabilities.iter().zip(&expected.probabilities).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }

    fn equal_clips_change_the_ranking_only_by_first_words<B: SvittBackend>() {
        let (model, clips, list) = setting::<B>();
        let twice = vec![clips[0].clone(), clips[0].clone()];
        for ensemble in [ClipEnsemble::Mean, ClipEnsemble::Max, ClipEnsemble::Lse] {
            let found = model.rank_answers(&twice, &list, 3, ensemble);
            let one = model.rank_answers(&clips[..1], &list, 3, ensemble);
            for (found, one) in found.iter().zip(one) {
                let sorted = |mut answers: Vec<usize>| {
                    answers.sort_unstable();
                    answers
                };
                assert_eq!(sorted(found.answers.clone()), sorted(one.answers), "the same three first words");
            }
        }
    }

    fn no_answers_and_no_clips_are_empty_rankings<B: SvittBackend>() {
        let (model, clips, list) = setting::<B>();
        assert_eq!(model.rank_answers(&[], &list, 3, ClipEnsemble::Lse), []);
        let none = AnswerList::<B>::new(&[], &[], 4, &Default::default());
        assert_eq!(model.rank_answers(&clips, &none, 3, ClipEnsemble::Lse), vec![RankedAnswers::default(); 2]);
    }

    on_cpu_backends!(
        the_whole_list_is_ranked_by_the_formula,
        equal_clips_change_the_ranking_only_by_first_words,
        no_answers_and_no_clips_are_empty_rankings,
    );
}
