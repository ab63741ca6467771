//! Settings of the benchmark, and its presets.

use super::SegmentTiming;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which frames of a world clip of `frames` frames a model of T frames is given. The clip itself does not change
/// with T, so a 4-frame and an 8-frame stage are measured on the same gallery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameView {
    /// The T consecutive frames in the middle. At 4 of 8 frames the turn of every balanced two-segment program is
    /// inside, with the timings of a 4-frame clip, and a move is still one cell: no aliasing on small grids.
    #[default]
    Middle,
    /// The largest constant stride that fits, centred: 4 frames see the whole program, but only every other move.
    /// Two cells to the left and two to the right are the same on a 4×4 grid: for larger grids.
    Strided,
}

impl FrameView {
    /// The `frames` indices seen of a clip of `source` frames; `frames` in `1..=source`.
    pub fn indices(self, source: usize, frames: usize) -> Vec<usize> {
        let stride = match self {
            Self::Strided if frames > 1 => (source - 1) / (frames - 1),
            _ => 1,
        };
        let first = (source - 1 - stride * (frames - 1)) / 2;
        (0..frames).map(|i| first + stride * i).collect()
    }
}

/// The named difficulty levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShapesPreset {
    /// 32 px, 4 frames, two segments: unit tests and CI.
    Tiny,
    /// 32 px, 8 frames, one and two segments: the default run.
    Default,
    /// 48 px, 8 frames, four segments: 8 frames can be perfect, 4 cannot.
    Order,
    /// 224 px, 16 frames, six segments: the paper's geometry.
    Long,
    /// 64 px in 8×8 cells, 32 frames, three and four segments: the variant `shapes-long`, whose captions need long
    /// clips. Eight frames in the middle hold one turn at most, sixteen the two of three segments.
    LongClips,
}

impl ShapesPreset {
    /// All five.
    pub const ALL: [Self; 5] = [Self::Tiny, Self::Default, Self::Order, Self::Long, Self::LongClips];

    /// Its name on the command line and in presets.
    pub const fn name(self) -> &'static str {
        ["tiny", "default", "order", "long", "long-clips"][self as usize]
    }
}

/// Settings of the benchmark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapesConfig {
    /// Side of the square frame, pixels.
    pub px: usize,
    /// P: side of a cell, pixels; the model's patch size.
    pub patch: usize,
    /// T_src: frames of a world clip; the target moves `frames − 1` times.
    pub frames: usize,
    /// S: numbers of segments that training programs may have; every program is equally likely.
    pub segments: Vec<usize>,
    /// Numbers of segments in the held-out gallery, the same for all stages of a run.
    pub gallery_segments: Vec<usize>,
    /// At most this many programs in the gallery, in twin pairs; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gallery_programs: Option<usize>,
    /// Leaves to the gallery the programs whose directions between the first and the last are those of one program or
    /// of its reverse: what a window in the middle of a clip shows then says next to nothing of the program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gallery_shared_middle: bool,
    /// At most this many objects in the gallery; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gallery_objects: Option<usize>,
    /// Which timings of a program occur.
    #[serde(default)]
    pub switches: SegmentTiming,
    /// Which frames a model of fewer than `frames` frames is given.
    #[serde(default)]
    pub view: FrameView,
    /// Grey shapes that walk programs of their own.
    pub distractors: usize,
    /// Small coloured blots that stand still.
    #[serde(default)]
    pub clutter: usize,
    /// Every shape of a clip is off its cells by up to this many pixels in each axis, the same in all frames.
    #[serde(default)]
    pub jitter: usize,
    /// Grey levels by which squares of half a cell of the background differ, ± and anew in every frame.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub texture: u8,
    /// Uniform noise of ±this many grey levels, per pixel, channel and frame.
    pub noise: u8,
    /// Brightness of a clip, ± this many grey levels.
    pub brightness: u8,
}

fn is_zero(levels: &u8) -> bool {
    *levels == 0
}

impl ShapesConfig {
    /// The settings of a preset.
    pub fn preset(preset: ShapesPreset) -> Self {
        let default = Self::short();
        match preset {
            ShapesPreset::Tiny => Self { frames: 4, segments: vec![2], gallery_segments: vec![2], ..default },
            ShapesPreset::Default => default,
            ShapesPreset::Order => Self {
                px: 48,
                segments: vec![4],
                gallery_segments: vec![4],
                view: FrameView::Strided,
                distractors: 2,
                ..default
            },
            ShapesPreset::LongClips => Self::long_clips(),
            ShapesPreset::Long => Self {
                px: 224,
                patch: 16,
                frames: 16,
                segments: vec![6],
                gallery_segments: vec![6],
                // 16 programs x 18 objects: the default gallery's size, where all 972 programs would be 17 496 clips.
                gallery_programs: Some(16),
                view: FrameView::Strided,
                distractors: 6,
                clutter: 4,
                jitter: 4,
                ..default
            },
        }
    }

    /// The default preset, which the others vary.
    fn short() -> Self {
        Self {
            px: 32,
            patch: 8,
            frames: 8,
            segments: vec![1, 2],
            gallery_segments: vec![1, 2],
            gallery_programs: None,
            gallery_shared_middle: false,
            gallery_objects: None,
            switches: SegmentTiming::Balanced,
            view: FrameView::Middle,
            distractors: 1,
            clutter: 0,
            jitter: 0,
            texture: 0,
            noise: 24,
            brightness: 16,
        }
    }

    /// `shapes-long`.
    fn long_clips() -> Self {
        Self {
            px: 64,
            frames: 32,
            segments: vec![3, 4],
            gallery_segments: vec![3, 4],
            // 36 programs x 6 objects: 216 clips, where all 144 programs would be 2592.
            gallery_shared_middle: true,
            gallery_objects: Some(6),
            distractors: 3,
            texture: 20,
            ..Self::short()
        }
    }

    /// G: cells along one side.
    pub fn grid(&self) -> usize {
        self.px / self.patch.max(1)
    }

    /// Checks the settings against each other and against a model of `frames` frames.
    ///
    /// # Errors
    /// Names the first setting that cannot work and what it should be.
    pub fn validate(&self, frames: usize) -> Result<()> {
        let most =
            [("px", self.px, 1 << 12), ("frames", self.frames, 1 << 10), ("distractors", self.distractors, 1 << 10)];
        let most = most.into_iter().chain([("clutter", self.clutter, 1 << 10)]);
        if let Some((key, value, most)) = most.into_iter().find(|(_, value, most)| value > most) {
            return Err(Error::setting(format!("shapes.{key}"), format!("is {value}"), format!("use at most {most}")));
        }
        if self.patch < 4 || !self.px.is_multiple_of(self.patch) || self.grid() < 3 {
            let problem = format!("{} px in cells of {} px are no grid of at least 3×3", self.px, self.patch);
            return Err(Error::setting("shapes.px", problem, "use 3 or more whole cells of at least 4 px"));
        }
        if self.jitter > self.patch / 4 {
            let problem = format!("{} px would take shapes out of their cells", self.jitter);
            return Err(Error::setting("shapes.jitter", problem, format!("use at most {}", self.patch / 4)));
        }
        if frames == 0 || frames > self.frames {
            let problem = format!("a clip of {} frames cannot give a model {frames} frames", self.frames);
            return Err(Error::setting("shapes.frames", problem, format!("use at least {}", frames.max(2))));
        }
        self.check_segments("shapes.segments", &self.segments)?;
        self.check_segments("shapes.gallery_segments", &self.gallery_segments)
    }

    fn check_segments(&self, setting: &str, segments: &[usize]) -> Result<()> {
        if segments.is_empty() {
            return Err(Error::setting(setting, "is empty", "name at least one number of segments"));
        }
        let moves = self.frames.saturating_sub(1);
        // Ten segments are 78 732 programs: more than a gallery or an enumeration can hold.
        match segments.iter().find(|&&s| !(1..=10).contains(&s) || self.switches.lengths(moves, s).is_empty()) {
            None => Ok(()),
            Some(s) => {
                let problem = format!("no program of {s} segments fits into {moves} moves");
                Err(Error::setting(setting, problem, "use 1 to 10 segments and no more than there are moves"))
            }
        }
    }
}

impl std::str::FromStr for ShapesPreset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::setting("shapes", format!("no preset `{name}`"), format!("use {known}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_survive_json() {
        for (preset, grid) in ShapesPreset::ALL.into_iter().zip([4, 4, 6, 14, 8]) {
            assert_eq!(preset.name().parse::<ShapesPreset>().unwrap(), preset);
            assert_eq!(serde_json::to_value(preset).unwrap(), preset.name());
            let config = ShapesConfig::preset(preset);
            config.validate(4).unwrap();
            assert_eq!(config.grid(), grid);
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<ShapesConfig>(&json).unwrap(), config);
        }
    }

    #[test]
    fn views_keep_the_middle() {
        assert_eq!(FrameView::Middle.indices(8, 4), [2, 3, 4, 5]);
        assert_eq!(FrameView::Middle.indices(8, 8), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(FrameView::Strided.indices(7, 4), [0, 2, 4, 6]);
        assert_eq!(FrameView::Strided.indices(16, 4), [0, 5, 10, 15]);
        assert_eq!(FrameView::Strided.indices(8, 1), [3]);
    }

    #[test]
    fn impossible_settings_are_named() {
        let tiny = ShapesConfig::preset(ShapesPreset::Tiny);
        let sentence = |config: ShapesConfig, frames| config.validate(frames).unwrap_err().to_string();
        assert!(sentence(tiny.clone(), 8).contains("shapes.frames"));
        assert!(sentence(ShapesConfig { segments: vec![1, 4], ..tiny.clone() }, 4).contains("4 segments"));
        assert!(sentence(ShapesConfig { px: 30, ..tiny.clone() }, 4).contains("shapes.px"));
        assert!(sentence(ShapesConfig { jitter: 3, ..tiny }, 4).contains("at most 2"));
    }
}
