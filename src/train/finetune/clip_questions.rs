//! Questions about the training clips and their answers.

use crate::data::Record;
use crate::model::{TokenBatch, WeightedAnswers};
use crate::text::{Encoding, Tokenizer};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use std::borrow::Borrow;

/// An answer and how much it counts.
#[derive(Clone, Debug, PartialEq)]
struct WeightedAnswer {
    text: TokenRow,
    weight: f32,
}

/// A question and its answers.
#[derive(Clone, Debug, PartialEq)]
struct TokenizedQuestion {
    question: TokenRow,
    answers: Vec<WeightedAnswer>,
}

/// Token ids without padding: a quarter of the memory, and AGQA has 1.6 million questions.
#[derive(Clone, Debug, PartialEq)]
struct TokenRow(Box<[u32]>);

impl TokenRow {
    fn new(encoding: &Encoding) -> Self {
        Self(encoding.tokens().iter().map(|&id| id as u32).collect())
    }
}

/// The questions of a data set, tokenised, by position of the clip they are asked about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenizedQuestions {
    question_tokens: usize,
    answer_tokens: usize,
    clips: Vec<Vec<TokenizedQuestion>>,
}

/// A batch of questions: every question of every clip, clip by clip.
#[derive(Clone, Debug)]
pub struct QuestionBatch<B: Backend> {
    /// `[questions, tokens]`.
    pub questions: TokenBatch<B>,
    /// The clip each is asked about, `[questions]`; none: question i about clip i.
    pub clip: Option<Tensor<B, 1, Int>>,
    /// What they are answered with.
    pub answers: WeightedAnswers<B>,
    /// How many questions there are.
    pub count: usize,
}

impl TokenizedQuestions {
    /// The questions of `clips`, clip by clip; at most `[question, answer]` tokens per text. Of several
    /// annotators' answers each distinct one counts by its share (docs/model.md, "Answer loss").
    pub fn new(
        clips: impl IntoIterator<Item = impl IntoIterator<Item = impl Borrow<Record>>>,
        tokenizer: &Tokenizer,
        [question_tokens, answer_tokens]: [usize; 2],
    ) -> Self {
        let asked = |record: &Record| {
            let question = tokenizer.encode(record.question.as_deref().unwrap_or_default(), question_tokens);
            let weighted = |(answer, count): (&str, usize)| {
                let text = TokenRow::new(&tokenizer.encode_answer(answer, answer_tokens));
                WeightedAnswer { text, weight: count as f32 / record.answers.len() as f32 }
            };
            let answers = counted(&record.answers).into_iter().map(weighted).collect();
            TokenizedQuestion { question: TokenRow::new(&question), answers }
        };
        let clips = clips
            .into_iter()
            .map(|records| records.into_iter().map(|record| asked(record.borrow())).collect())
            .collect();
        Self { question_tokens, answer_tokens, clips }
    }

    /// All questions about clips `indices`, in their order.
    pub fn batch<B: Backend>(&self, indices: &[usize], device: &B::Device) -> QuestionBatch<B> {
        let clips = indices.iter().map(|&index| self.clips.get(index).map_or(&[][..], Vec::as_slice));
        let asked: Vec<(i64, &TokenizedQuestion)> =
            clips.enumerate().flat_map(|(row, asked)| asked.iter().map(move |asked| (row as i64, asked))).collect();
        let answers = || {
            let numbered = asked.iter().enumerate();
            numbered.flat_map(|(number, (_, asked))| asked.answers.iter().map(move |answer| (number as i64, answer)))
        };
        let one_each = asked.iter().enumerate().all(|(number, (row, _))| number as i64 == *row);
        let vector = |values: Vec<i64>| Tensor::from_data(TensorData::from(values.as_slice()), device);
        let weights: Vec<f32> = answers().map(|(_, answer)| answer.weight).collect();
        QuestionBatch {
            questions: tokens(asked.iter().map(|(_, asked)| &asked.question), self.question_tokens, device),
            clip: (!one_each).then(|| vector(asked.iter().map(|(row, _)| *row).collect())),
            answers: WeightedAnswers {
                tokens: tokens(answers().map(|(_, answer)| &answer.text), self.answer_tokens, device),
                question: vector(answers().map(|(number, _)| number).collect()),
                weight: Tensor::from_data(TensorData::from(weights.as_slice()), device),
            },
            count: asked.len(),
        }
    }
}

/// Distinct answers and how often each was given, in the order they first occur.
fn counted(answers: &[String]) -> Vec<(&str, usize)> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for answer in answers {
        match counts.iter_mut().find(|(known, _)| *known == answer.trim()) {
            Some((_, count)) => *count += 1,
            None => counts.push((answer.trim(), 1)),
        }
    }
    counts
}

/// Rows padded to `length`.
fn tokens<'a, B: Backend>(
    rows: impl Iterator<Item = &'a TokenRow>,
    length: usize,
    device: &B::Device,
) -> TokenBatch<B> {
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for TokenRow(row) in rows {
        let end = ids.len() + length;
        ids.extend(row.iter().map(|&id| i64::from(id)));
        mask.resize(ids.len(), 1.0f32);
        ids.resize(end, 0);
        mask.resize(end, 0.0);
    }
    let shape = [ids.len() / length.max(1), length];
    TokenBatch {
        ids: Tensor::from_data(TensorData::new(ids, shape), device),
        mask: Tensor::from_data(TensorData::new(mask, shape), device),
    }
}

#[cfg(test)]
#[cfg(feature = "ndarray")]
mod tests {
    use super::*;
    use crate::text::Vocabulary;

    type B = burn_ndarray::NdArray;

    fn clip_questions(clips: &[&[(&str, &[&str])]]) -> TokenizedQuestions {
        let tokenizer = Tokenizer::new(Vocabulary::from_words(["yes", "no", "two", "how", "many"])).unwrap();
        let record = |&(question, answers): &(&str, &[&str])| Record {
            question: Some(question.into()),
            answers: answers.iter().map(|&answer| answer.into()).collect(),
            ..Record::default()
        };
        let clips: Vec<Vec<Record>> = clips.iter().map(|clip| clip.iter().map(record).collect()).collect();
        TokenizedQuestions::new(&clips, &tokenizer, [5, 4])
    }

    fn ints<const D: usize>(tensor: Tensor<B, D, Int>) -> Vec<i64> {
        tensor.into_data().to_vec().unwrap()
    }

    #[test]
    fn answers_count_by_their_share() {
        let clip_questions = clip_questions(&[
            &[("how", &["no"])],
            &[("how", &["two"])],
            &[("how many", &["yes", "no", " yes", "yes"])],
        ]);
        let batch = clip_questions.batch::<B>(&[2, 0], &Default::default());
        assert!(batch.clip.is_none() && batch.count == 2, "one question each");
        assert_eq!(ints(batch.questions.ids), [2, 8, 9, 0, 0, 2, 8, 0, 0, 0]);
        assert_eq!(batch.questions.mask.into_data().to_vec::<f32>().unwrap()[..5], [1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(batch.answers.weight.into_data().to_vec::<f32>().unwrap(), [0.75, 0.25, 1.0]);
        assert_eq!(ints(batch.answers.question), [0, 0, 1]);
        assert_eq!(ints(batch.answers.tokens.ids), [2, 5, 3, 0, 2, 6, 3, 0, 2, 6, 3, 0]);
    }

    #[test]
    fn a_clip_gets_all_its_questions() {
        let clip_questions = clip_questions(&[&[("how", &["no"]), ("many", &["yes"])], &[("two", &["two"])]]);
        let batch = clip_questions.batch::<B>(&[1, 0, 1], &Default::default());
        assert_eq!(ints(batch.clip.unwrap()), [0, 1, 1, 2]);
        assert_eq!(ints(batch.answers.question), [0, 1, 2, 3]);
        assert_eq!(ints(batch.questions.ids)[..10], [2, 7, 0, 0, 0, 2, 8, 0, 0, 0]);
        assert_eq!(batch.count, 4);
    }
}
