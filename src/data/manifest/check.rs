//! Counting what will not fit.

use crate::{data::Record, text::Tokenizer};

/// Captions and questions of `records` that have more than `max_length` tokens, `[CLS]` included: they are cut off.
pub fn too_long(records: &[Record], tokenizer: &Tokenizer, max_length: usize) -> usize {
    let texts = records.iter().flat_map(|record| record.captions.iter().chain(&record.question));
    texts.filter(|text| tokenizer.encode(text, max_length).too_long).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Vocabulary;

    #[test]
    fn captions_over_the_limit_are_counted() {
        let tokenizer = Tokenizer::new(Vocabulary::from_words(["red"])).unwrap();
        let record = |captions: &[&str], question: Option<&str>| Record {
            captions: captions.iter().map(|c| c.to_string()).collect(),
            question: question.map(str::to_owned),
            ..Record::default()
        };
        let records = [record(&["red red", "red red red"], None), record(&[], Some("red red red?"))];
        assert_eq!([2, 3, 4].map(|limit| too_long(&records, &tokenizer, limit)), [3, 2, 0]);
    }
}
