//! Upper bounds of R@1 for observers with less information, enumerated exactly.
//!
//! The observer is Bayes-optimal: it knows the programs of the gallery, the timings and the grid, and reads colour and
//! shape without error. Its R@1 is then the chance that it names the program of a clip: over all pieces of evidence,
//! the sum of the largest joint probability of evidence and program. All probabilities are multiples of one integer
//! fraction, so the sums are exact.

use super::program::cells;
use super::{MotionProgram, ShapesConfig};
use crate::Result;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Highest expected R@1 on a gallery of every object with every program, percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceilings {
    /// A guess among all clips.
    pub chance: f64,
    /// An observer of one frame: colour and shape are known, the program is a guess.
    #[serde(rename = "static")]
    pub static_frame: f64,
    /// An observer of all frames that ignores their order.
    pub unordered: f64,
    /// An observer of all frames in order.
    pub ordered: f64,
}

impl Ceilings {
    /// Ceilings for a gallery of `programs` (each with every object) of which a model sees `frames` frames.
    ///
    /// # Errors
    /// [`ShapesConfig::validate`]'s.
    pub fn enumerate(config: &ShapesConfig, programs: &[MotionProgram], frames: usize) -> Result<Self> {
        config.validate(frames)?;
        let indices = config.view.indices(config.frames, frames);
        let count = programs.len().max(1) as f64;
        Ok(Self {
            chance: 100.0 / (count * config.gallery_objects().len() as f64),
            static_frame: 100.0 / count,
            unordered: named(config, programs, &indices, unordered_evidence),
            ordered: named(config, programs, &indices, ordered_evidence),
        })
    }
}

/// The weight of one piece of evidence under the program being counted, and the largest under any so far.
#[derive(Default)]
struct EvidenceWeight {
    program: usize,
    weight: u64,
    largest: u64,
}

/// Percent of clips whose program is named right from `evidence`.
fn named(
    config: &ShapesConfig,
    programs: &[MotionProgram],
    indices: &[usize],
    evidence: fn(&[[usize; 2]], usize) -> Vec<u16>,
) -> f64 {
    let moves = config.frames - 1;
    let timings: HashMap<usize, Vec<Vec<usize>>> =
        programs.iter().map(|p| (p.segments(), config.switches.lengths(moves, p.segments()))).collect();
    let whole = timings.values().fold(1, |multiple, list| lcm(multiple, list.len().max(1) as u64));
    let mut tallies: HashMap<Vec<u16>, EvidenceWeight> = HashMap::new();
    for (number, program) in programs.iter().enumerate() {
        let timings = &timings[&program.segments()];
        for lengths in timings {
            let path = cells([0, 0], &program.steps(lengths), config.grid());
            let seen: Vec<[usize; 2]> = indices.iter().map(|&index| path[index]).collect();
            let tally = tallies.entry(evidence(&seen, config.grid())).or_default();
            if tally.program != number {
                *tally = EvidenceWeight { program: number, weight: 0, largest: tally.largest };
            }
            tally.weight += whole / timings.len() as u64;
            tally.largest = tally.largest.max(tally.weight);
        }
    }
    let right: u64 = tallies.values().map(|tally| tally.largest).sum();
    100.0 * right as f64 / (whole * programs.len().max(1) as u64) as f64
}

fn lcm(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}

/// The walk from its first cell on: the start is uniform and says nothing.
fn ordered_evidence(seen: &[[usize; 2]], grid: usize) -> Vec<u16> {
    let Some(&[column, row]) = seen.first() else { return Vec::new() };
    seen.iter().map(|&[x, y]| ((y + grid - row) % grid * grid + (x + grid - column) % grid) as u16).collect()
}

/// How often each cell is visited, up to a shift of the torus: the smallest sorted list of cells over all shifts that
/// bring a visited cell to the origin.
fn unordered_evidence(seen: &[[usize; 2]], grid: usize) -> Vec<u16> {
    let shifted = |&[column, row]: &[usize; 2]| {
        let mut list: Vec<u16> =
            seen.iter().map(|&[x, y]| ((y + grid - row) % grid * grid + (x + grid - column) % grid) as u16).collect();
        list.sort_unstable();
        list
    };
    seen.iter().map(shifted).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{ClipContent, FrameView, Gallery, ShapesPreset, World};
    use super::*;

    fn ceilings(segments: &[usize], grid: usize, source: usize, frames: usize) -> Ceilings {
        let config = ShapesConfig {
            px: 8 * grid,
            frames: source,
            segments: segments.to_vec(),
            gallery_segments: segments.to_vec(),
            view: FrameView::Strided,
            ..ShapesConfig::preset(ShapesPreset::Default)
        };
        Ceilings::enumerate(&config, &MotionProgram::all(segments), frames).unwrap()
    }

    #[test]
    fn the_published_table() {
        // segments, grid, source frames, frames seen, static, unordered, ordered
        let table = [
            (1, 4, 4, 4, 25.0, 50.0, 100.0),
            (2, 4, 4, 4, 100.0 / 12.0, 50.0, 100.0),
            (2, 5, 8, 8, 100.0 / 12.0, 100.0 / 3.0, 100.0),
            (2, 6, 8, 8, 100.0 / 12.0, 50.0, 100.0),
            (3, 5, 8, 8, 100.0 / 36.0, 50.0, 100.0),
            (4, 6, 7, 4, 100.0 / 108.0, 21.450_617, 64.969_136),
            (4, 6, 8, 8, 100.0 / 108.0, 43.981_481, 100.0),
        ];
        for (segments, grid, source, frames, one, bag, all) in table {
            let found = ceilings(&[segments], grid, source, frames);
            for (found, expected) in [(found.static_frame, one), (found.unordered, bag), (found.ordered, all)] {
                assert!((found - expected).abs() < 1e-5, "S={segments} G={grid}: {found} is not {expected}");
            }
        }
        assert!((ceilings(&[2], 4, 4, 4).chance - 100.0 / 216.0).abs() < 1e-12);
    }

    #[test]
    fn the_default_gallery() {
        let config = ShapesConfig::preset(ShapesPreset::Default);
        let at = |frames| Ceilings::enumerate(&config, &config.gallery_programs(), frames).unwrap();
        let rounded = |c: Ceilings| [c.chance, c.static_frame, c.unordered, c.ordered].map(|v| (v * 1e4).round() / 1e4);
        assert_eq!(rounded(at(4)), [0.3472, 6.25, 50.0, 100.0]);
        assert_eq!(rounded(at(8)), [0.3472, 6.25, 18.75, 100.0]);
        let static_only = at(1);
        assert_eq!(static_only.ordered, static_only.static_frame, "one frame knows the static facts only");
    }

    /// Captions of `shapes-long` need all 32 frames in a row; every second of them would do for an observer that sees
    /// without error, every fourth nearly.
    #[test]
    fn long_clips_need_their_length() {
        let middle = ShapesConfig::preset(ShapesPreset::LongClips);
        let strided = ShapesConfig { view: FrameView::Strided, ..middle.clone() };
        let programs = middle.gallery_programs();
        let rounded = |config: &ShapesConfig, frames| {
            let found = Ceilings::enumerate(config, &programs, frames).unwrap();
            [found.chance, found.static_frame, found.unordered, found.ordered].map(|v| (v * 100.0).round() / 100.0)
        };
        let seen = |config: &ShapesConfig| [1, 8, 16, 32].map(|frames| rounded(config, frames)[2..].to_vec());
        assert_eq!(rounded(&middle, 32)[..2], [0.46, 2.78]);
        assert_eq!(seen(&middle), [[2.78, 2.78], [5.56, 11.11], [27.78, 55.56], [34.72, 100.0]]);
        assert_eq!(seen(&strided), [[2.78, 2.78], [55.09, 87.04], [53.7, 100.0], [34.72, 100.0]]);
    }

    /// An observer that scores each (caption, clip) pair by the probability of the program given the clip reaches the
    /// enumerated ceilings on the gallery as it was drawn, text to video, ties counted by their share.
    #[test]
    fn the_gallery_as_drawn_has_these_ceilings() {
        let config = ShapesConfig::preset(ShapesPreset::Default);
        let programs = config.gallery_programs();
        for (frames, evidence, expected) in [
            (4, unordered_evidence as fn(&[[usize; 2]], usize) -> Vec<u16>, 50.0),
            (8, unordered_evidence, 18.75),
            (4, ordered_evidence, 100.0),
        ] {
            let indices = config.view.indices(8, frames);
            let see = |path: Vec<[usize; 2]>| evidence(&indices.iter().map(|&i| path[i]).collect::<Vec<_>>(), 4);
            let likelihood = |seen: &Vec<u16>, program: &MotionProgram| {
                let lengths = config.switches.lengths(7, program.segments());
                let fits = lengths.iter().filter(|l| &see(cells([0, 0], &program.steps(l), 4)) == seen).count();
                fits as f64 / lengths.len() as f64
            };
            let gallery = Gallery::new(&config, frames).unwrap();
            let object = |o: usize| (0..gallery.entries().len()).filter(move |i| i % ClipContent::OBJECTS == o);
            let mut right = 0.0;
            for o in 0..ClipContent::OBJECTS {
                let seen: Vec<Vec<u16>> = object(o)
                    .map(|i| World::target(&gallery.world(i)).map(|t| see(cells(t.start, &t.steps, 4))).unwrap())
                    .collect();
                for (own, program) in programs.iter().enumerate() {
                    let posterior = |seen: &Vec<u16>| {
                        likelihood(seen, program) / programs.iter().map(|p| likelihood(seen, p)).sum::<f64>()
                    };
                    let scores: Vec<f64> = seen.iter().map(posterior).collect();
                    let best = scores.iter().copied().fold(0.0, f64::max);
                    let tied = scores.iter().filter(|&&s| s > best - 1e-9).count();
                    right += if scores[own] > best - 1e-9 { 1.0 / tied as f64 } else { 0.0 };
                }
            }
            let found = 100.0 * right / gallery.entries().len() as f64;
            assert!((found - expected).abs() < 1e-9, "{frames} frames: {found}");
        }
    }
}
