//! Captions become token ids: cleaning and WordPiece.

mod clean;
mod tokenize_lines;
mod tokenizer;
mod vocabulary;

pub use clean::clean;
pub use tokenize_lines::tokenize_lines;
pub use tokenizer::{Encoding, LONGEST_ENCODING, LONGEST_TEXT, SpecialIds, Tokenizer};
pub use vocabulary::{MOST_TOKENS, SPECIAL_TOKENS, Vocabulary};
