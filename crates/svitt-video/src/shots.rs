//! Where one shot ends and the next begins: hard cuts, told from the brightness of consecutive pictures.
//!
//! A cut is a difference that stands out from those around it, as in the adaptive detectors of video tools: a moving
//! camera makes many large differences, a cut makes one. What was there before a flash is there after it. Fades and
//! dissolves have no picture where the shot changes, and are not cuts.

use crate::luma::SmallLuma;
use std::collections::VecDeque;

/// Differences on either side that one is compared with.
const AROUND: usize = 6;

/// Pictures that a flash takes at most.
const FLASH: usize = 4;

/// What the detector asks of a cut. Chosen on joined clips (docs/search.md#shots), for pictures of a running video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShotRule {
    /// Least mean difference of two pictures, in levels of 255.
    pub least: f64,
    /// Least ratio to the median of the differences around it.
    pub ratio: f64,
    /// A difference that is a cut whatever the others are: where most key frames begin a shot, none stands out.
    pub certain: f64,
    /// Least difference of the histograms, 0 to 1.
    pub histogram: f64,
    /// Pictures that a flash takes at most; 0 where pictures are seconds apart.
    pub flash: usize,
}

impl ShotRule {
    /// For every picture of a video.
    pub const EVERY_PICTURE: Self =
        Self { least: 10.0, ratio: 2.0, certain: f64::INFINITY, histogram: 0.05, flash: FLASH };

    /// For key frames, which are seconds apart: things have moved between two of them, so more is asked.
    pub const KEY_FRAMES: Self = Self { least: 24.0, ratio: 1.5, certain: 30.0, histogram: 0.1, flash: 0 };
}

/// Finds the cuts of a video whose pictures come one after the other. Holds a dozen small pictures.
pub struct ShotDetector {
    rule: ShotRule,
    /// The last pictures, oldest first.
    pictures: VecDeque<SmallLuma>,
    /// `differences[k]` is that of `pictures[k]` from the one before it.
    differences: VecDeque<f64>,
    /// Pictures that came.
    count: usize,
    /// Pictures of which it is known whether they begin a shot.
    decided: usize,
}

impl ShotDetector {
    /// A detector before its first picture.
    pub fn new(rule: ShotRule) -> Self {
        Self { rule, pictures: VecDeque::new(), differences: VecDeque::new(), count: 0, decided: 0 }
    }

    /// Takes the next picture. Returns the number of the picture, counted from 0, that turned out to begin a shot, if
    /// one did: that is known once a few more have come.
    pub fn push(&mut self, picture: SmallLuma) -> Option<usize> {
        let difference = self.pictures.back().map_or(0.0, |last| last.difference(&picture));
        self.pictures.push_back(picture);
        self.differences.push_back(difference);
        self.count += 1;
        if self.pictures.len() > 2 * AROUND + 2 {
            self.pictures.pop_front();
            self.differences.pop_front();
        }
        (self.count > self.decided + AROUND).then(|| self.decide()).flatten()
    }

    /// What is left once no more pictures come; call it until it gives none.
    pub fn finish(&mut self) -> Option<usize> {
        while self.decided < self.count {
            if let Some(cut) = self.decide() {
                return Some(cut);
            }
        }
        None
    }

    /// Pictures of which it is known whether they begin a shot.
    pub fn decided(&self) -> usize {
        self.decided
    }

    /// Decides about the next picture.
    fn decide(&mut self) -> Option<usize> {
        let number = self.decided;
        self.decided += 1;
        // The place of the picture among those that are held.
        let at = number - (self.count - self.pictures.len());
        (number > 0 && at > 0 && self.is_cut(at)).then_some(number)
    }

    fn is_cut(&self, at: usize) -> bool {
        let (rule, difference) = (&self.rule, self.differences[at]);
        let histogram = self.pictures[at].histogram_difference(&self.pictures[at - 1]);
        difference >= rule.least
            && histogram >= rule.histogram
            && (difference >= rule.certain || difference >= rule.ratio * self.usual(at))
            && !self.is_flash(at)
    }

    /// The median of the differences around this one; the first picture has none.
    fn usual(&self, at: usize) -> f64 {
        let first = usize::from(self.count == self.pictures.len());
        let (low, high) = (at.saturating_sub(AROUND).max(first), (at + AROUND + 1).min(self.differences.len()));
        let mut around: Vec<f64> =
            (low..high).filter(|place| *place != at).map(|place| self.differences[place]).collect();
        around.sort_by(f64::total_cmp);
        around.get(around.len() / 2).copied().unwrap_or(0.0)
    }

    /// Whether this picture begins or ends a flash: what was shown before it is shown again soon, or was shown a little
    /// before the picture that came before it.
    fn is_flash(&self, at: usize) -> bool {
        let close = self.differences[at] / 2.0;
        let same = |a: usize, b: usize| self.pictures[a].difference(&self.pictures[b]) < close;
        let last = (at + self.rule.flash).min(self.pictures.len() - 1);
        let returns = (at + 1..=last).any(|later| same(at - 1, later));
        let first = (at - 1).saturating_sub(self.rule.flash);
        returns || (first..at - 1).any(|earlier| same(earlier, at))
    }
}

#[cfg(test)]
#[path = "shots_tests.rs"]
mod tests;
