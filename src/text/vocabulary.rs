//! The tokens a tokenizer knows, in id order: read from `vocab.txt`, or counted in the captions of a data set.

use super::clean;
use crate::{
    Error, Result, digest, files,
    input::{self, shown},
};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
};
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    normalizers::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
};

/// Padding, unknown, start, end and mask, as BERT names them; they open every vocabulary made here.
pub const SPECIAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Longer words are unknown to WordPiece whatever the vocabulary holds, so none is counted.
const LONGEST_WORD: usize = 100;

/// Entries a vocabulary may have: 34 times BERT's.
pub const MOST_TOKENS: usize = 1 << 20;
/// Bytes of a vocabulary file: 70 times BERT's `vocab.txt`.
pub(super) const LARGEST_FILE: u64 = 16 << 20;

/// Distinct tokens; a token's position is its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    tokens: Vec<String>,
}

impl Vocabulary {
    /// The special tokens, then `words` in their order; repeated words count once.
    pub fn from_words<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> Self {
        let mut tokens: Vec<String> = SPECIAL_TOKENS.map(str::to_owned).into();
        let mut seen: HashSet<String> = tokens.iter().cloned().collect();
        for word in words {
            if seen.insert(word.as_ref().to_owned()) {
                tokens.push(word.as_ref().to_owned());
            }
        }
        Self { tokens }
    }

    /// Whole words of `captions`, cleaned, the most frequent first and equally frequent ones in code-point order, at
    /// most `limit` entries with the special tokens: the same captions give the same file on every machine.
    pub fn from_captions<C: AsRef<str>>(captions: impl IntoIterator<Item = C>, limit: usize) -> Self {
        let mut counts: HashMap<String, u64> = HashMap::new();
        for caption in captions {
            for word in split_words(&clean(caption.as_ref())) {
                *counts.entry(word).or_default() += 1;
            }
        }
        let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts.truncate(limit.saturating_sub(SPECIAL_TOKENS.len()));
        Self::from_words(counts.into_iter().map(|(word, _)| word))
    }

    /// Tokens in id order, as found in the file `path`.
    ///
    /// # Errors
    /// A repeated token, with its line, or a special token that is missing: then it is no BERT-style vocabulary.
    pub fn from_tokens(tokens: Vec<String>, path: &Path) -> Result<Self> {
        if tokens.len() > MOST_TOKENS {
            let problem = format!("has {} tokens, of {MOST_TOKENS} that are possible", tokens.len());
            return Err(Error::file(path, problem, "give the vocab.txt or tokenizer.json the model was trained with"));
        }
        let mut lines: HashMap<&str, usize> = HashMap::with_capacity(tokens.len());
        for (i, token) in tokens.iter().enumerate() {
            if let Some(first) = lines.insert(token, i) {
                let problem = format!("line {} repeats the token \"{}\" of line {}", i + 1, shown(token), first + 1);
                return Err(Error::file(path, problem, "give the original vocabulary: one distinct token a line"));
            }
        }
        if let Some(missing) = SPECIAL_TOKENS.iter().find(|token| !lines.contains_key(*token)) {
            let problem = format!("has no {missing} token, so it is no BERT-style vocabulary");
            return Err(Error::file(path, problem, "give the vocab.txt or tokenizer.json the model was trained with"));
        }
        Ok(Self { tokens })
    }

    /// Reads a `vocab.txt`: one token a line, the line number is the id.
    ///
    /// # Errors
    /// An unreadable, empty or non-UTF-8 file, and what [`Vocabulary::from_tokens`] refuses.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = input::read(path, LARGEST_FILE)?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let line = e.as_bytes()[..e.utf8_error().valid_up_to()].split(|&b| b == b'\n').count();
            let problem = format!("line {line} is not UTF-8 text");
            Error::file(path, problem, "give a vocab.txt with one token a line")
        })?;
        if text.trim().is_empty() {
            return Err(Error::file(path, "is empty", "give a vocab.txt with one token a line"));
        }
        let lines = text.strip_prefix('\u{feff}').unwrap_or(&text).lines();
        Self::from_tokens(lines.map(|line| line.trim_end().to_owned()).collect(), path)
    }

    /// Writes `vocab.txt`: one token a line.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&self, path: &Path) -> Result<()> {
        files::write(path, self.lines())
    }

    /// Tokens in id order.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Never: the special tokens are always there.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// SHA-256 of the `vocab.txt` this would be written as, in hexadecimal.
    pub fn sha256(&self) -> String {
        digest::sha256_hex(self.lines())
    }

    /// The text of `vocab.txt`.
    pub(super) fn lines(&self) -> String {
        self.tokens.iter().flat_map(|token| [token, "\n"]).collect()
    }
}

/// The words of a cleaned text as WordPiece will see them: without accents, punctuation and ideographs apart.
fn split_words(text: &str) -> Vec<String> {
    let mut normalized = NormalizedString::from(text);
    if BertNormalizer::new(true, true, None, true).normalize(&mut normalized).is_err() {
        return Vec::new();
    }
    let mut words = PreTokenizedString::from(normalized);
    if BertPreTokenizer.pre_tokenize(&mut words).is_err() {
        return Vec::new();
    }
    let splits = words.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
    let words = splits.into_iter().map(|(word, ..)| word.to_owned());
    words.filter(|word| !word.is_empty() && word.chars().count() <= LONGEST_WORD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_ordered_by_frequency_then_text() {
        let captions = ["A dog runs.", "the dog, the café", "zebra-dog a runs!"];
        let vocabulary = Vocabulary::from_captions(captions, 1000);
        assert_eq!(vocabulary.tokens()[..5], SPECIAL_TOKENS.map(str::to_owned));
        assert_eq!(vocabulary.tokens()[5..], ["dog", "a", "runs", "the", "cafe", "zebra"].map(str::to_owned));
        let reversed = Vocabulary::from_captions(captions.into_iter().rev(), 1000);
        assert_eq!(reversed.sha256(), vocabulary.sha256(), "the order of the captions does not matter");
        assert_eq!(Vocabulary::from_captions(captions, 7).tokens()[5..], ["dog", "a"].map(str::to_owned));
    }

    #[test]
    fn a_vocabulary_survives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vocab.txt");
        let vocabulary = Vocabulary::from_words(["red", "##s", "red", "ünder"]);
        vocabulary.write(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nred\n##s\nünder\n".as_bytes());
        assert_eq!(Vocabulary::read(&path).unwrap(), vocabulary);
    }

    #[test]
    fn the_hash_is_that_of_the_file() {
        let expected = "f2c15e7bd1acc1b0db80c8ee4ac7d79266973f51f31b92eac1b7c271ad7a013a";
        assert_eq!(Vocabulary::from_words(["red"]).sha256(), expected);
    }

    #[test]
    fn foreign_files_are_refused_with_their_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vocab.txt");
        let cases: [(&[u8], &str); 4] = [
            (b"<s>\n</s>\nhello\n", "[PAD]"),
            (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\na\n", "line 8 repeats the token \"a\" of line 6"),
            (b"[PAD]\n[UNK]\n\xff\xfe\n", "line 3 is not UTF-8"),
            (b"\n \n", "is empty"),
        ];
        for (bytes, expected) in cases {
            std::fs::write(&path, bytes).unwrap();
            let message = Vocabulary::read(&path).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("vocab.txt"), "{message}");
        }
        assert!(Vocabulary::read(&dir.path().join("none")).unwrap_err().to_string().contains("check the path"));
    }
}
