//! The kinds of questions `shapes-qa` asks, and how each is worded.

use super::{Colour, Direction, Shape};
use serde::{Deserialize, Serialize};

/// What a question is about. The first six need time; the last two can be read off any frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// Which direction comes first.
    FirstDirection,
    /// Which direction comes last.
    LastDirection,
    /// Which direction follows a named one.
    DirectionAfter,
    /// Whether one direction comes before another; both occur.
    Before,
    /// How often the target turns, 0 to 3.
    Turns,
    /// Which of two objects moves while the other still stands.
    MovesFirst,
    /// The target's colour (distractors are grey, which is no answer).
    Colour,
    /// The target's shape.
    Shape,
}

impl QuestionKind {
    /// All kinds; item `i` of a set asks kind `i % 8`.
    pub const ALL: [Self; 8] = [
        Self::FirstDirection,
        Self::LastDirection,
        Self::DirectionAfter,
        Self::Before,
        Self::Turns,
        Self::MovesFirst,
        Self::Colour,
        Self::Shape,
    ];

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        const NAMES: [&str; 8] = [
            "first_direction",
            "last_direction",
            "direction_after",
            "before",
            "turns",
            "moves_first",
            "colour",
            "shape",
        ];
        NAMES[self as usize]
    }

    /// Answers a question of this kind can have, all equally likely whatever the question says.
    pub const fn choices(self) -> usize {
        [4, 4, 3, 2, 4, 2, 6, 3][self as usize]
    }

    /// Accuracy of an answer from the question alone, percent; one frame adds nothing unless the kind is static.
    pub fn chance(self) -> f64 {
        100.0 / self.choices() as f64
    }

    /// Whether the order of frames, or at least several of them, is needed.
    pub const fn temporal(self) -> bool {
        !matches!(self, Self::Colour | Self::Shape)
    }
}

/// Every answer there is, in a fixed order: the candidate list of answer ranking.
pub fn answers() -> Vec<&'static str> {
    let directions = Direction::ALL.map(Direction::word);
    let [colours, shapes] = [Colour::ALL.map(Colour::word).to_vec(), Shape::ALL.map(Shape::word).to_vec()];
    [directions.to_vec(), vec!["yes", "no"], NUMBERS.to_vec(), colours, shapes].concat()
}

/// Answers to [`QuestionKind::Turns`].
pub(super) const NUMBERS: [&str; 4] = ["0", "1", "2", "3"];

/// Tokens of the longest question, `[CLS]` included: "which moves first the red square or the blue circle" and
/// "which direction does the red square move after moving left".
pub const LONGEST_QUESTION: usize = 11;

/// "red square".
pub(super) fn named(colour: Colour, shape: Shape) -> String {
    format!("{} {}", colour.word(), shape.word())
}
