//! The benchmark's vocabulary: whole words, fixed here, so that token ids never change.

use super::Direction;

/// Every token; its place is its id (`text::Vocabulary::from_words` keeps the order). Captions, questions and answers use no other word.
pub const WORDS: [&str; 54] = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "left",
    "right",
    "up",
    "down",
    "red",
    "green",
    "blue",
    "yellow",
    "cyan",
    "magenta",
    "square",
    "circle",
    "triangle",
    "the",
    "a",
    "is",
    "moves",
    "moving",
    "move",
    "then",
    "after",
    "before",
    "first",
    "last",
    "which",
    "what",
    "how",
    "many",
    "does",
    "direction",
    "turns",
    "make",
    "color",
    "shape",
    "object",
    "or",
    "and",
    "yes",
    "no",
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
];

/// The id of `word`.
pub fn id(word: &str) -> Option<usize> {
    WORDS.iter().position(|&known| known == word)
}

/// Ids of left, right, up and down: the tokens that direction-word accuracy masks.
pub fn direction_ids() -> [usize; 4] {
    const FIRST: usize = 5;
    Direction::ALL.map(|direction| FIRST + direction as usize)
}

/// The vocabulary as the text of a `vocab.txt`: a token per line.
pub fn vocab_txt() -> String {
    WORDS.map(|word| format!("{word}\n")).concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_fixed() {
        assert_eq!(WORDS[..5], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
        assert_eq!(direction_ids().map(|id| WORDS[id]), ["left", "right", "up", "down"]);
        assert!((0..WORDS.len()).all(|i| id(WORDS[i]) == Some(i)), "every word once");
        assert!(WORDS.len() < 64 && id("zebra").is_none());
    }
}
