//! What is said in videos, by the subtitles beside them: texts that are embedded, and found by the same query as clips, in
//! a list of their own.

mod indexing;
mod ranking;
mod windows;

pub(super) use indexing::{IndexedWords, WordIndexing};
pub(super) use ranking::WordQuery;
pub use ranking::WordResult;
