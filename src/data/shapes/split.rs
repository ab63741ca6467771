//! Splits: disjoint ranges of world numbers, and combinations held out of training.

use super::{Colour, MotionProgram, Shape};
use serde::{Deserialize, Serialize};
use svitt_ops::rng::{key, text_key};

/// A part of the benchmark; each draws its worlds from a range of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShapesSplit {
    /// Seen combinations only.
    Train,
    /// All combinations.
    Val,
    /// All combinations; the gallery is of this split.
    Test,
}

impl ShapesSplit {
    /// World numbers of the split: 2⁴⁰ each, disjoint.
    pub const fn worlds(self) -> std::ops::Range<u64> {
        let first = (self as u64) << 40;
        first..first + (1 << 40)
    }

    /// Its name in paths.
    pub const fn word(self) -> &'static str {
        ["train", "val", "test"][self as usize]
    }
}

/// What a caption says: colour, shape and program.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClipContent {
    /// The target's colour.
    pub colour: Colour,
    /// The target's outline.
    pub shape: Shape,
    /// The target's walk.
    pub program: MotionProgram,
}

impl ClipContent {
    /// Objects there are: 6 colours × 3 shapes.
    pub const OBJECTS: usize = Colour::ALL.len() * Shape::ALL.len();

    /// Object number `object` (modulo their number) with `program`.
    pub fn of(object: usize, program: MotionProgram) -> Self {
        let [colour, shape] = [object / Shape::ALL.len() % Colour::ALL.len(), object % Shape::ALL.len()];
        Self { colour: Colour::ALL[colour], shape: Shape::ALL[shape], program }
    }

    /// Number of the object, `3 · colour + shape`.
    pub fn object(&self) -> usize {
        self.colour as usize * Shape::ALL.len() + self.shape as usize
    }

    /// A number that no other triple has.
    pub fn number(&self) -> usize {
        self.program.number() * Self::OBJECTS + self.object()
    }

    /// The identity class of everything that this triple describes.
    pub fn identity(&self) -> u64 {
        key(text_key("shapes.identity"), &[self.number() as u64])
    }

    /// Whether training never shows this triple: object and program numbers add up to a multiple of five. That holds
    /// out 20 % of each object's programs, and since the three shapes of a colour are neighbours and a shape's colours
    /// three apart, every colour and every shape is still seen with every program.
    pub fn held_out(&self) -> bool {
        (self.object() + self.program.number()).is_multiple_of(5)
    }

    /// The triple of the same clip played backwards.
    pub fn reversed(&self) -> Self {
        Self { program: self.program.reversed(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn triples(segments: &[usize]) -> Vec<ClipContent> {
        let programs = MotionProgram::all(segments);
        programs.iter().flat_map(|p| (0..ClipContent::OBJECTS).map(|o| ClipContent::of(o, p.clone()))).collect()
    }

    #[test]
    fn splits_are_disjoint() {
        let [train, val, test] = [ShapesSplit::Train, ShapesSplit::Val, ShapesSplit::Test].map(ShapesSplit::worlds);
        assert!(train.end <= val.start && val.end <= test.start);
    }

    #[test]
    fn a_fifth_is_held_out_and_every_factor_is_seen() {
        for segments in [&[1][..], &[2], &[1, 2], &[4]] {
            let all = triples(segments);
            let seen: Vec<&ClipContent> = all.iter().filter(|triple| !triple.held_out()).collect();
            let share = 1.0 - seen.len() as f64 / all.len() as f64;
            assert!((0.18..0.22).contains(&share), "{share}");
            let pairs = |key: &dyn Fn(&ClipContent) -> usize| seen.iter().map(|t| key(t)).collect::<HashSet<_>>().len();
            let programs = all.len() / ClipContent::OBJECTS;
            assert_eq!(pairs(&|t| t.object()), 18);
            assert_eq!(pairs(&|t| t.program.number() * 6 + t.colour as usize), 6 * programs);
            assert_eq!(pairs(&|t| t.program.number() * 3 + t.shape as usize), 3 * programs);
        }
    }

    #[test]
    fn numbers_and_identities_are_unique() {
        let all = triples(&[1, 2, 3]);
        assert!(all.iter().enumerate().all(|(i, triple)| triple.number() == i));
        let identities: HashSet<u64> = all.iter().map(ClipContent::identity).collect();
        assert_eq!(identities.len(), all.len());
    }
}
