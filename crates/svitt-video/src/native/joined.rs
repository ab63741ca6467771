//! Files that were joined into one: their tracks become one track, one after the other.

use super::track::{Codec, ColourSpace, DisplayedFrame, Orientation, Part, Sample, Track};
use crate::clock::{continued, usual_gap};

/// The track of one file.
pub(super) struct Piece {
    pub codec: Codec,
    pub orientation: Orientation,
    pub colour: ColourSpace,
    /// In decoding order.
    pub samples: Vec<Sample>,
    /// In the order of presentation.
    pub shown: Vec<DisplayedFrame>,
    /// Seconds per unit of time.
    pub unit: f64,
    /// How long the last picture is shown; 0 if the file does not say.
    pub last_duration: i64,
}

impl Piece {
    /// Drops samples that its file no longer holds, in decoding order from the first that ends after byte `end`; whether
    /// there are any.
    pub fn cut_at(&mut self, end: u64) -> bool {
        let held = |s: &Sample| s.offset.checked_add(s.size as u64).is_some_and(|last| last <= end);
        let whole = self.samples.iter().position(|s| !held(s)).unwrap_or(self.samples.len());
        let cut = whole < self.samples.len();
        self.samples.truncate(whole);
        self.shown.retain(|shown| shown.sample < whole);
        cut
    }
}

/// The tracks so far.
#[derive(Default)]
pub(super) struct Joined {
    parts: Vec<Part>,
    samples: Vec<Sample>,
    shown: Vec<DisplayedFrame>,
    unit: f64,
    last_duration: i64,
    pub truncated: bool,
    pub damaged: bool,
}

impl Joined {
    /// Adds a track; false if one decoder cannot show it together with the others.
    pub fn add(&mut self, piece: Piece) -> bool {
        let Piece { codec, orientation, colour, samples, shown, unit, last_duration } = piece;
        let same_kind = |part: &Part| {
            std::mem::discriminant(&part.codec) == std::mem::discriminant(&codec) && part.orientation == orientation
        };
        if !self.parts.first().is_none_or(same_kind) {
            return false;
        }
        if self.parts.is_empty() {
            self.unit = unit;
        } else if samples.is_empty() {
            return true;
        }
        let first = self.samples.len();
        self.parts.push(Part { first, codec, orientation, colour });
        self.samples.extend(samples);
        let scale = unit / self.unit;
        let time = |time: i64| if scale == 1.0 { time } else { (time as f64 * scale).round() as i64 };
        self.shown
            .extend(shown.iter().map(|shown| DisplayedFrame { sample: first + shown.sample, time: time(shown.time) }));
        self.last_duration = time(last_duration);
        true
    }

    /// The whole; `None` if nothing was added.
    pub fn into_track(mut self) -> Option<Track> {
        let known: Vec<i64> = self.shown.iter().map(|shown| shown.time).collect();
        let step = usual_gap(&known);
        let known: Vec<Option<i64>> = known.into_iter().map(Some).collect();
        let times = continued(&known, step, self.unit);
        self.shown.iter_mut().zip(times).for_each(|(shown, time)| shown.time = time);
        // The last picture is shown as long as the others where the file says nothing, or nonsense.
        let end = Some(self.last_duration).filter(|duration| *duration > 0);
        let ends = continued(&[Some(0), end], step, self.unit);
        let Self { parts, samples, shown, unit, truncated, damaged, .. } = self;
        let last_duration = ends[1];
        (!parts.is_empty()).then_some(Track { parts, samples, shown, unit, last_duration, truncated, damaged })
    }
}
