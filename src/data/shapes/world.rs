//! The content of a clip before rendering: moving shapes and background.

use super::{ClipContent, Direction, MotionProgram, ShapesConfig};
use serde::{Deserialize, Serialize};
use svitt_ops::rng::{Rng, text_key};

/// A target's colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// (225, 40, 40).
    Red,
    /// (40, 205, 40).
    Green,
    /// (45, 70, 230).
    Blue,
    /// (225, 215, 40).
    Yellow,
    /// (40, 210, 215).
    Cyan,
    /// (215, 45, 215).
    Magenta,
}

impl Colour {
    /// All six.
    pub const ALL: [Self; 6] = [Self::Red, Self::Green, Self::Blue, Self::Yellow, Self::Cyan, Self::Magenta];

    /// The word captions use.
    pub const fn word(self) -> &'static str {
        ["red", "green", "blue", "yellow", "cyan", "magenta"][self as usize]
    }

    /// Its RGB value.
    pub const fn rgb(self) -> [u8; 3] {
        const RGB: [[u8; 3]; 6] =
            [[225, 40, 40], [40, 205, 40], [45, 70, 230], [225, 215, 40], [40, 210, 215], [215, 45, 215]];
        RGB[self as usize]
    }
}

/// A target's outline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// The whole cell.
    Square,
    /// The disc inscribed in the cell.
    Circle,
    /// Upright, standing on the cell's lower edge.
    Triangle,
}

impl Shape {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Square, Self::Circle, Self::Triangle];

    /// The word captions use.
    pub const fn word(self) -> &'static str {
        ["square", "circle", "triangle"][self as usize]
    }

    /// Whether pixel (`x`, `y`) of a cell of `side` pixels belongs to the shape: the whole cell, the inscribed disc,
    /// or the triangle standing on the lower edge. At 8 px these are 64, 32 and 32 pixels.
    pub const fn covers(self, x: usize, y: usize, side: usize) -> bool {
        let [across, down] = [(2 * x + 1).abs_diff(side), (2 * y + 1).abs_diff(side)];
        match self {
            Self::Square => true,
            Self::Circle => across * across + down * down <= (side - 1) * (side - 1),
            Self::Triangle => across <= y,
        }
    }
}

/// A shape and its walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovingShape {
    /// Its RGB value.
    pub rgb: [u8; 3],
    /// Its outline.
    pub shape: Shape,
    /// First cell, `[column, row]`.
    pub start: [usize; 2],
    /// The move between each pair of frames; `None` stands still.
    pub steps: Vec<Option<Direction>>,
    /// Pixels off the cell, `[right, down]`, the same in all frames.
    pub offset: [usize; 2],
}

/// A coloured rectangle that stands still, `[left, top]` and `[width, height]` in pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClutterRect {
    pub rgb: [u8; 3],
    pub corner: [usize; 2],
    pub size: [usize; 2],
}

/// Everything about a clip that its pixels follow from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// Painted in this order; the target comes last, so nothing ever hides it.
    pub movers: Vec<MovingShape>,
    pub(super) clutter: Vec<ClutterRect>,
    /// Grey levels added to every pixel.
    pub brightness: i16,
    /// Key of the pixel noise; one stream per frame.
    pub noise_key: u64,
}

/// Distractors are this grey: no target has three equal channels.
const GREY: [u8; 3] = [150; 3];

impl World {
    /// World number `world` of `seed`: `triple`'s target, distractors that walk programs of `segments`, a background.
    /// `config` must be valid.
    pub fn draw(config: &ShapesConfig, seed: u64, world: u64, triple: &ClipContent, segments: &[usize]) -> Self {
        let mut target = stream(seed, world, "target");
        let steps = draw_steps(config, &triple.program, &mut target);
        let target = MovingShape::draw(config, triple.colour.rgb(), triple.shape, steps, &mut target);
        Self::around(config, seed, world, vec![target], segments)
    }

    /// Adds distractors and a background to `targets`.
    pub(super) fn around(
        config: &ShapesConfig,
        seed: u64,
        world: u64,
        targets: Vec<MovingShape>,
        segments: &[usize],
    ) -> Self {
        let mut background = stream(seed, world, "background");
        let mut distractors = stream(seed, world, "distractors");
        let mut movers: Vec<MovingShape> = (0..config.distractors)
            .map(|_| {
                let steps = draw_steps(config, &draw_program(segments, &mut distractors), &mut distractors);
                let shape = Shape::ALL[distractors.below(3)];
                MovingShape::draw(config, GREY, shape, steps, &mut distractors)
            })
            .collect();
        movers.extend(targets);
        let brightness = background.below(2 * usize::from(config.brightness) + 1) as i16 - i16::from(config.brightness);
        let noise_key = background.bits();
        let clutter = (0..config.clutter).map(|_| ClutterRect::draw(config, &mut background)).collect();
        Self { movers, clutter, brightness, noise_key }
    }

    /// The shape that the caption speaks of.
    pub fn target(&self) -> Option<&MovingShape> {
        self.movers.last()
    }
}

impl MovingShape {
    /// A mover with a uniform start cell and jitter.
    pub(super) fn draw(
        config: &ShapesConfig,
        rgb: [u8; 3],
        shape: Shape,
        steps: Vec<Option<Direction>>,
        rng: &mut Rng,
    ) -> Self {
        let start = [rng.below(config.grid()), rng.below(config.grid())];
        let offset = [rng.below(config.jitter + 1), rng.below(config.jitter + 1)];
        Self { rgb, shape, start, steps, offset }
    }
}

impl ClutterRect {
    fn draw(config: &ShapesConfig, rng: &mut Rng) -> Self {
        // Half the strength of a target's colour, and at most half a cell: a blot is never taken for a target.
        let rgb = Colour::ALL[rng.below(6)].rgb().map(|channel| channel / 2);
        let side = config.patch / 2;
        let size = [1 + rng.below(side), 1 + rng.below(side)];
        Self { rgb, corner: [rng.below(config.px), rng.below(config.px)], size }
    }
}

/// The stream of one field of a world.
pub(super) fn stream(seed: u64, world: u64, field: &str) -> Rng {
    Rng::new(seed, &[text_key("shapes"), world, text_key(field)])
}

/// A program of one of the numbers of `segments`, every program equally likely.
pub(super) fn draw_program(segments: &[usize], rng: &mut Rng) -> MotionProgram {
    let mut k = rng.below(segments.iter().map(|&s| MotionProgram::count(s)).sum());
    for &s in segments {
        if k < MotionProgram::count(s) {
            return MotionProgram::nth(s, k);
        }
        k -= MotionProgram::count(s);
    }
    MotionProgram::nth(1, 0)
}

/// The moves of `program` with a timing drawn from the switch set.
pub(super) fn draw_steps(config: &ShapesConfig, program: &MotionProgram, rng: &mut Rng) -> Vec<Option<Direction>> {
    let lengths = config.switches.lengths(config.frames.saturating_sub(1), program.segments());
    match lengths.len() {
        0 => Vec::new(),
        n => program.steps(&lengths[rng.below(n)]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ShapesPreset;
    use super::*;

    #[test]
    fn shapes_cover_what_they_say() {
        let area =
            |shape: Shape, side: usize| (0..side * side).filter(|i| shape.covers(i % side, i / side, side)).count();
        assert_eq!(Shape::ALL.map(|shape| area(shape, 8)), [64, 32, 32]);
        assert_eq!(Shape::ALL.map(|shape| area(shape, 16)), [256, 172, 128]);
    }

    #[test]
    fn the_start_cell_says_nothing_of_the_program() {
        let config = ShapesConfig::preset(ShapesPreset::Default);
        let mut starts = [[0usize; 16]; 4];
        for world in 0..16_000u64 {
            let program = MotionProgram::nth(1, (world % 4) as usize);
            let triple = ClipContent { colour: Colour::Red, shape: Shape::Circle, program };
            let target = World::draw(&config, 9, world, &triple, &[1]).movers[1].clone();
            starts[(world % 4) as usize][target.start[0] + 4 * target.start[1]] += 1;
        }
        // 250 expected per cell, standard deviation 15: five of them.
        assert!(starts.iter().flatten().all(|&n| (175..325).contains(&n)), "{starts:?}");
    }
}
