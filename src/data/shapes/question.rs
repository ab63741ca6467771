//! The kinds of questions `shapes-qa` asks, and how each is worded.

use super::{Colour, Direction, MotionProgram, Shape};
use serde::{Deserialize, Serialize};
use svitt_ops::rng::Rng;

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
const NUMBERS: [&str; 4] = ["0", "1", "2", "3"];

/// Tokens of the longest question, `[CLS]` included: "which moves first the red square or the blue circle" and
/// "which direction does the red square move after moving left".
pub const LONGEST_QUESTION: usize = 11;

/// "red square".
pub(super) fn named(colour: Colour, shape: Shape) -> String {
    format!("{} {}", colour.word(), shape.word())
}

/// The question of `kind`, its answer and a program that makes it so; `turn` counts the kind's questions and chooses
/// the answer. Programs are of two or three segments, so that neither the first nor the last direction is the only
/// one. Questions about two objects are not asked here.
pub(super) fn ask(
    kind: QuestionKind,
    turn: usize,
    [colour, shape]: [&'static str; 2],
    rng: &mut Rng,
) -> (String, &'static str, MotionProgram) {
    let choice = turn % kind.choices();
    let who = format!("the {colour} {shape}");
    let wanted = Direction::ALL[choice % 4];
    let segments = 2 + rng.below(2);
    let any = |rng: &mut Rng| find(segments, rng, |_| true);
    match kind {
        QuestionKind::FirstDirection => {
            let program = find(segments, rng, |d| d.first() == Some(&wanted));
            (first_asked(&who), wanted.word(), program)
        }
        QuestionKind::LastDirection => {
            let program = find(segments, rng, |d| d.last() == Some(&wanted));
            (last_asked(&who), wanted.word(), program)
        }
        QuestionKind::DirectionAfter => ask_after(&who, turn, rng),
        QuestionKind::Before => ask_before(&who, choice == 0, rng),
        QuestionKind::Turns => (turns_asked(&who), NUMBERS[choice], find(choice + 1, rng, |_| true)),
        QuestionKind::Colour => (format!("what color is the {shape}"), colour, any(rng)),
        QuestionKind::Shape | QuestionKind::MovesFirst => {
            (format!("what shape is the {colour} object"), shape, any(rng))
        }
    }
}

/// All twelve pairs of a direction and the one after it, in turn.
fn ask_after(who: &str, turn: usize, rng: &mut Rng) -> (String, &'static str, MotionProgram) {
    let first = turn / 3 % 4;
    let [after, wanted] = [first, (first + 1 + turn % 3) % 4].map(|i| Direction::ALL[i]);
    let program = find(2 + rng.below(2), rng, |d| once(d, after) && d.windows(2).any(|pair| pair == [after, wanted]));
    (after_asked(who, after), wanted.word(), program)
}

/// Both directions occur once, so that neither answer is a matter of presence.
fn ask_before(who: &str, yes: bool, rng: &mut Rng) -> (String, &'static str, MotionProgram) {
    let first = rng.below(4);
    let [a, b] = [first, (first + 1 + rng.below(3)) % 4].map(|i| Direction::ALL[i]);
    let [sooner, later] = if yes { [a, b] } else { [b, a] };
    let place = |d: &[Direction], wanted| d.iter().position(|&direction| direction == wanted);
    let in_order = |d: &[Direction]| once(d, sooner) && once(d, later) && place(d, sooner) < place(d, later);
    let program = find(2 + rng.below(2), rng, in_order);
    (before_asked(who, [a, b]), yes_or_no(yes), program)
}

/// What else can be asked about the order of a walk in `directions`, in random order: both ends, the number of turns,
/// every step from one direction to the next, every pair in order. Not balanced: most walks turn once or twice.
pub(super) fn ask_more(
    [colour, shape]: [&'static str; 2],
    directions: &[Direction],
    rng: &mut Rng,
) -> Vec<(QuestionKind, String, &'static str)> {
    let who = format!("the {colour} {shape}");
    let [Some(first), Some(last)] = [directions.first(), directions.last()] else { return Vec::new() };
    let mut asked = vec![
        (QuestionKind::FirstDirection, first_asked(&who), first.word()),
        (QuestionKind::LastDirection, last_asked(&who), last.word()),
        (QuestionKind::Turns, turns_asked(&who), NUMBERS[directions.len() - 1]),
    ];
    for pair in directions.windows(2).filter(|pair| once(directions, pair[0])) {
        asked.push((QuestionKind::DirectionAfter, after_asked(&who, pair[0]), pair[1].word()));
    }
    let alone: Vec<Direction> = directions.iter().copied().filter(|&direction| once(directions, direction)).collect();
    for (place, &sooner) in alone.iter().enumerate() {
        for &later in &alone[place + 1..] {
            let yes = rng.below(2) == 0;
            let pair = if yes { [sooner, later] } else { [later, sooner] };
            asked.push((QuestionKind::Before, before_asked(&who, pair), yes_or_no(yes)));
        }
    }
    rng.shuffle(&mut asked);
    asked
}

fn first_asked(who: &str) -> String {
    format!("which direction does {who} move first")
}

fn last_asked(who: &str) -> String {
    format!("which direction does {who} move last")
}

fn turns_asked(who: &str) -> String {
    format!("how many turns does {who} make")
}

fn after_asked(who: &str, after: Direction) -> String {
    format!("which direction does {who} move after moving {}", after.word())
}

fn before_asked(who: &str, [one, other]: [Direction; 2]) -> String {
    format!("does {who} move {} before moving {}", one.word(), other.word())
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// A uniform program of `segments` segments among those that `fit`; some must.
fn find(segments: usize, rng: &mut Rng, fit: impl Fn(&[Direction]) -> bool) -> MotionProgram {
    loop {
        let program = MotionProgram::nth(segments, rng.below(MotionProgram::count(segments)));
        if fit(program.directions()) {
            return program;
        }
    }
}

fn once(directions: &[Direction], wanted: Direction) -> bool {
    directions.iter().filter(|&&direction| direction == wanted).count() == 1
}
