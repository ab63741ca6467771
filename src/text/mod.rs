//! Captions become token ids: cleaning and WordPiece.

mod clean;
mod tokenize_lines;
mod tokenizer;
mod vocabulary;

pub use clean::clean;
pub use tokenize_lines::tokenize_lines;
pub use tokenizer::{Encoding, SpecialIds, Tokenizer};
pub use vocabulary::{SPECIAL_TOKENS, Vocabulary};
