//! How texts that mean nothing in particular score in an index: what a real query's score is measured against.

use super::{Embedder, unknown_words};
use crate::Result;
use crate::index::Index;
use crate::text::Tokenizer;
use serde::{Deserialize, Serialize};
use svitt_ops::SvittBackend;
use svitt_ops::rng::Rng;

/// Texts of the bank.
const TEXTS: usize = 64;

/// Words of a text that is drawn from the vocabulary, at least and at most.
const WORDS: [usize; 2] = [3, 7];

/// Texts that fit every video a little and none well; those whose words a model does not know are left out.
const PLAIN: [&str; 16] = [
    "a video",
    "something is shown",
    "this is a recording",
    "a scene",
    "things are happening",
    "there is something to see",
    "somebody does something",
    "a picture of something",
    "a short film",
    "an image",
    "some footage from a camera",
    "a part of a longer video",
    "it is not clear what this is",
    "the view",
    "nothing special",
    "one more clip",
];

/// The best scores that neutral texts find in an index.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeutralStatistics {
    /// Texts.
    pub texts: usize,
    /// Clips of the index, or texts of what is said, that they were looked for in.
    pub clips: usize,
    /// Mean of their best cosines.
    pub mean: f32,
    /// Standard deviation of them.
    pub deviation: f32,
}

impl NeutralStatistics {
    /// Standard deviations that a cosine lies above what neutral texts find.
    pub fn above(&self, cosine: f32) -> f32 {
        (cosine - self.mean) / self.deviation.max(1e-4)
    }

    /// Whether they still describe an index of `clips` clips: the best of many more is higher.
    pub(super) fn describes(&self, clips: usize) -> bool {
        clips <= 2 * self.clips && self.clips <= 2 * clips
    }
}

/// Neutral texts for a model that knows the words of `tokenizer`: plain ones, and words drawn from its vocabulary, the
/// same ones every time.
fn neutral_texts(tokenizer: &Tokenizer) -> Vec<String> {
    let plain = PLAIN.into_iter().filter(|text| unknown_words(tokenizer, text).is_empty()).map(str::to_owned);
    let mut texts: Vec<String> = plain.collect();
    let whole = |word: &&String| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let words: Vec<&str> = tokenizer.vocabulary().tokens().iter().filter(whole).map(String::as_str).collect();
    let mut rng = Rng::new(0, &[svitt_ops::rng::text_key("neutral texts")]);
    while texts.len() < TEXTS && !words.is_empty() {
        let count = WORDS[0] + rng.below(WORDS[1] - WORDS[0] + 1);
        texts.push((0..count).map(|_| words[rng.below(words.len())]).collect::<Vec<_>>().join(" "));
    }
    texts
}

impl<B: SvittBackend> Embedder<B> {
    /// What neutral texts find in `index`; none where it holds no clip, or the vocabulary no word.
    ///
    /// # Errors
    /// Another model made the index.
    pub fn neutral_statistics(&self, index: &Index) -> Result<Option<NeutralStatistics>> {
        index.require(self.id())?;
        self.neutral_among(index.clips(), &|vector| Ok(index.search(vector, 1)?.first().map(|hit| hit.score)))
    }

    /// What neutral texts find among the words of `index`; none where it holds none.
    ///
    /// # Errors
    /// Another model made the index.
    pub(super) fn neutral_words(&self, index: &Index) -> Result<Option<NeutralStatistics>> {
        index.require(self.id())?;
        let best = |vector: &[f32]| Ok(index.search_words(vector, 1, &|_| true)?.first().map(|hit| hit.cosine));
        self.neutral_among(index.words(), &best)
    }

    /// The `best` scores of neutral texts among `count` vectors.
    fn neutral_among(
        &self,
        count: usize,
        best: &dyn Fn(&[f32]) -> Result<Option<f32>>,
    ) -> Result<Option<NeutralStatistics>> {
        // Choosing the texts goes through the whole vocabulary.
        let texts = if count == 0 { Vec::new() } else { neutral_texts(self.tokenizer()) };
        if texts.is_empty() {
            return Ok(None);
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut scores = Vec::with_capacity(texts.len());
        for vector in self.embed_texts(&texts)? {
            scores.extend(best(&vector)?);
        }
        let mean = scores.iter().sum::<f32>() / scores.len() as f32;
        let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f32>() / scores.len() as f32;
        Ok(Some(NeutralStatistics { texts: scores.len(), clips: count, mean, deviation: variance.sqrt() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neutral_texts_are_of_known_words_and_always_the_same() {
        let tokenizer = crate::eval::shapes_tokenizer().unwrap();
        let texts = neutral_texts(&tokenizer);
        assert_eq!(texts.len(), TEXTS);
        assert!(texts.iter().all(|text| unknown_words(&tokenizer, text).is_empty()), "{texts:?}");
        assert_eq!(texts, neutral_texts(&tokenizer));
    }

    #[test]
    fn heights_are_in_deviations() {
        let statistics = NeutralStatistics { texts: 64, clips: 10, mean: 0.2, deviation: 0.05 };
        assert!((statistics.above(0.4) - 4.0).abs() < 1e-5);
        assert!(statistics.describes(20) && statistics.describes(5) && !statistics.describes(21));
    }
}
