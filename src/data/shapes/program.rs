//! Motion programs on a torus: which way the target goes, and when it turns.

use serde::{Deserialize, Serialize};

/// One of the four ways to leave a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards smaller columns.
    Left,
    /// Towards larger columns.
    Right,
    /// Towards smaller rows.
    Up,
    /// Towards larger rows.
    Down,
}

impl Direction {
    /// All four, in the order that numbers programs.
    pub const ALL: [Self; 4] = [Self::Left, Self::Right, Self::Up, Self::Down];

    /// The word captions use.
    pub const fn word(self) -> &'static str {
        ["left", "right", "up", "down"][self as usize]
    }

    /// The direction of the same move seen backwards in time.
    pub const fn opposite(self) -> Self {
        [Self::Right, Self::Left, Self::Down, Self::Up][self as usize]
    }

    /// The cell `[column, row]` one step on from `cell`, wrapping at the borders of the torus.
    pub const fn step(self, [column, row]: [usize; 2], grid: usize) -> [usize; 2] {
        match self {
            Self::Left => [(column + grid - 1) % grid, row],
            Self::Right => [(column + 1) % grid, row],
            Self::Up => [column, (row + grid - 1) % grid],
            Self::Down => [column, (row + 1) % grid],
        }
    }
}

/// A sequence of directions, consecutive ones different: one per segment of the walk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MotionProgram(Vec<Direction>);

impl MotionProgram {
    /// Programs of `segments` segments: 4·3^(S−1).
    pub const fn count(segments: usize) -> usize {
        if segments == 0 { 0 } else { 4 * 3usize.pow(segments as u32 - 1) }
    }

    /// The `k`-th program of `segments` segments, `k` below [`MotionProgram::count`].
    pub fn nth(segments: usize, k: usize) -> Self {
        let mut directions: Vec<Direction> = Vec::with_capacity(segments);
        for i in 0..segments {
            let digit = k / 3usize.pow((segments - 1 - i) as u32);
            directions.push(match directions.last() {
                None => Direction::ALL[digit % 4],
                Some(&last) => others(last)[digit % 3],
            });
        }
        Self(directions)
    }

    /// All programs of the given numbers of segments, in order.
    pub fn all(segments: &[usize]) -> Vec<Self> {
        segments.iter().flat_map(|&s| (0..Self::count(s)).map(move |k| Self::nth(s, k))).collect()
    }

    /// A number that no other program has, whatever its length: programs of fewer segments come first.
    pub fn number(&self) -> usize {
        let shorter: usize = (1..self.segments()).map(Self::count).sum();
        let mut digits = 0;
        for (i, &direction) in self.0.iter().enumerate() {
            // After the first, a direction is one of three: those above the one before it move down by one.
            let skipped = i > 0 && direction > self.0[i - 1];
            digits = 3 * digits + direction as usize - usize::from(skipped);
        }
        shorter + digits
    }

    /// The directions in time order.
    pub fn directions(&self) -> &[Direction] {
        &self.0
    }

    /// S: how many segments the walk has.
    pub fn segments(&self) -> usize {
        self.0.len()
    }

    /// The program of the same clip played backwards: order reversed, directions flipped.
    pub fn reversed(&self) -> Self {
        Self(self.0.iter().rev().map(|direction| direction.opposite()).collect())
    }

    /// The move between each pair of frames, for segments of `lengths` moves.
    pub fn steps(&self, lengths: &[usize]) -> Vec<Option<Direction>> {
        self.0.iter().zip(lengths).flat_map(|(&direction, &n)| std::iter::repeat_n(Some(direction), n)).collect()
    }
}

fn others(last: Direction) -> [Direction; 3] {
    let mut rest = Direction::ALL.into_iter().filter(|&direction| direction != last);
    std::array::from_fn(|_| rest.next().unwrap_or(last))
}

/// Where a mover stands in every frame, `[column, row]`, from `start`; `None` is a move not made.
pub fn cells(start: [usize; 2], steps: &[Option<Direction>], grid: usize) -> Vec<[usize; 2]> {
    let mut cells = vec![start];
    for step in steps {
        let here = cells[cells.len() - 1];
        cells.push(step.map_or(here, |direction| direction.step(here, grid)));
    }
    cells
}

/// Which timings of a program occur, each equally likely. Both sets are symmetric under time reversal, without which
/// an order-blind observer could tell a clip from its twin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentTiming {
    /// Segments differ by at most one move (the set the published ceilings are for).
    #[default]
    Balanced,
    /// Every segment has at least this many moves.
    AtLeast(usize),
}

impl SegmentTiming {
    /// Every possible list of segment lengths for `moves` moves in `segments` segments; empty if there is none.
    pub fn lengths(self, moves: usize, segments: usize) -> Vec<Vec<usize>> {
        let [low, high] = match self {
            Self::Balanced => [moves / segments.max(1), moves.div_ceil(segments.max(1))],
            Self::AtLeast(least) => [least, moves],
        };
        let mut found = Vec::new();
        compose(moves, segments, [low.max(1), high], &mut Vec::new(), &mut found);
        found
    }
}

fn compose(moves: usize, segments: usize, range: [usize; 2], head: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    if segments == 0 {
        if moves == 0 {
            found.push(head.clone());
        }
        return;
    }
    for length in range[0]..=range[1].min(moves) {
        head.push(length);
        compose(moves - length, segments - 1, range, head, found);
        head.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_counted_numbered_and_reversed() {
        assert_eq!([1, 2, 3, 4].map(MotionProgram::count), [4, 12, 36, 108]);
        let all = MotionProgram::all(&[1, 2, 3, 4]);
        for (number, program) in all.iter().enumerate() {
            assert_eq!(program.number(), number, "{program:?}");
            assert!(program.directions().windows(2).all(|pair| pair[0] != pair[1]));
            assert_eq!(&program.reversed().reversed(), program);
        }
        let own_twins = |s| MotionProgram::all(&[s]).iter().filter(|p| p.reversed() == **p).count();
        assert_eq!([1, 2, 3, 4].map(own_twins), [0, 4, 0, 12], "only back-and-forth programs equal their reverse");
    }

    #[test]
    fn timings_are_symmetric_in_time() {
        assert_eq!(SegmentTiming::Balanced.lengths(3, 2), [[1, 2], [2, 1]]);
        assert_eq!(SegmentTiming::Balanced.lengths(7, 2), [[3, 4], [4, 3]]);
        assert_eq!(SegmentTiming::Balanced.lengths(7, 3), [[2, 2, 3], [2, 3, 2], [3, 2, 2]]);
        assert_eq!(SegmentTiming::AtLeast(1).lengths(7, 4).len(), 20);
        assert!(SegmentTiming::Balanced.lengths(3, 4).is_empty());
        for (switches, segments) in [(SegmentTiming::Balanced, 4), (SegmentTiming::AtLeast(2), 3)] {
            let lengths = switches.lengths(11, segments);
            for list in &lengths {
                assert!(lengths.contains(&list.iter().rev().copied().collect()));
            }
        }
    }

    #[test]
    fn the_reversed_program_walks_the_same_cells_backwards() {
        for program in MotionProgram::all(&[1, 2, 3]) {
            for lengths in SegmentTiming::Balanced.lengths(7, program.segments()) {
                let there = cells([1, 4], &program.steps(&lengths), 5);
                let back: Vec<usize> = lengths.iter().rev().copied().collect();
                let mut again = cells(there[7], &program.reversed().steps(&back), 5);
                again.reverse();
                assert_eq!(there, again);
            }
        }
    }
}
