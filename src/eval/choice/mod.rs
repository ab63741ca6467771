//! Choices: a few candidates, each a clip and a text, of which one belongs together. Scored by the two encoders and by
//! the matching head, beside controls that cannot know the order of frames.

mod controls;
mod figures;
mod measure;
mod model_scorer;
mod ranking;
mod set;
mod twins;
mod verdict;

pub use controls::{Controls, text_guess};
pub use figures::{ChoiceMetrics, ScorerFigures};
pub use measure::{ChoiceScorer, Measured, Outcomes, Scored, measure};
pub use model_scorer::ModelScorer;
pub use ranking::ranking;
pub use set::{Candidate, ChoiceQuestion, ChoiceSet};
pub use twins::Twins;
