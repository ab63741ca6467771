//! What every training question is answered with.

use crate::data::Record;
use crate::model::{Tokens, WeightedAnswers};
use crate::text::Tokenizer;
use burn::tensor::{Tensor, TensorData, backend::Backend};

/// An answer and how much it counts.
#[derive(Clone, Debug, PartialEq)]
struct Weighted {
    ids: Vec<i64>,
    mask: Vec<f32>,
    weight: f32,
}

/// The answers of a data set, tokenised, by position of the question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnswerBook {
    tokens: usize,
    entries: Vec<Vec<Weighted>>,
}

impl AnswerBook {
    /// The answers of `records`, at most `max_answer` tokens each; of several annotators' answers each distinct one
    /// counts by its share (SPEC §5).
    pub fn new<'a>(records: impl IntoIterator<Item = &'a Record>, tokenizer: &Tokenizer, max_answer: usize) -> Self {
        let entry = |record: &Record| {
            let mut counts: Vec<(&str, usize)> = Vec::new();
            for answer in &record.answers {
                match counts.iter_mut().find(|(known, _)| *known == answer.trim()) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((answer.trim(), 1)),
                }
            }
            let weighted = |&(answer, count): &(&str, usize)| {
                let encoding = tokenizer.encode_answer(answer, max_answer);
                let weight = count as f32 / record.answers.len() as f32;
                Weighted { ids: encoding.ids, mask: encoding.mask, weight }
            };
            counts.iter().map(weighted).collect()
        };
        Self { tokens: max_answer, entries: records.into_iter().map(entry).collect() }
    }

    /// The answers of questions `indices`, in their order.
    pub fn batch<B: Backend>(&self, indices: &[usize], device: &B::Device) -> WeightedAnswers<B> {
        let (mut ids, mut mask, mut question, mut weight) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (row, &index) in indices.iter().enumerate() {
            for answer in self.entries.get(index).into_iter().flatten() {
                ids.extend_from_slice(&answer.ids);
                mask.extend_from_slice(&answer.mask);
                question.push(row as i64);
                weight.push(answer.weight);
            }
        }
        let answers = question.len();
        let tokens = Tokens {
            ids: Tensor::from_data(TensorData::new(ids, [answers, self.tokens]), device),
            mask: Tensor::from_data(TensorData::new(mask, [answers, self.tokens]), device),
        };
        WeightedAnswers {
            tokens,
            question: Tensor::from_data(TensorData::new(question, [answers]), device),
            weight: Tensor::from_data(TensorData::new(weight, [answers]), device),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "ndarray")]
mod tests {
    use super::*;
    use crate::text::Vocabulary;

    #[test]
    fn answers_count_by_their_share() {
        let tokenizer = Tokenizer::new(Vocabulary::from_words(["yes", "no", "two"])).unwrap();
        let record = |answers: &[&str]| Record {
            answers: answers.iter().map(|&answer| answer.into()).collect(),
            ..Record::default()
        };
        let records = [record(&["no"]), record(&["two"]), record(&["yes", "no", " yes", "yes"])];
        let book = AnswerBook::new(&records, &tokenizer, 4);
        let batch = book.batch::<burn_ndarray::NdArray>(&[2, 0], &Default::default());
        assert_eq!(batch.weight.into_data().to_vec::<f32>().unwrap(), [0.75, 0.25, 1.0]);
        assert_eq!(batch.question.into_data().to_vec::<i64>().unwrap(), [0, 0, 1]);
        let ids = batch.tokens.ids.into_data().to_vec::<i64>().unwrap();
        assert_eq!(ids, [2, 5, 3, 0, 2, 6, 3, 0, 2, 6, 3, 0]);
    }
}
