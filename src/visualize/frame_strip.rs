//! The frames of a clip side by side, with overlays on their patches.

use crate::config::VideoConfig;
use crate::viz::{Canvas, Rgb};

/// Side a frame is brought to, about; a whole number of pixels per patch.
const SIDE: usize = 160;
/// Frames in a row.
const COLUMNS: usize = 4;
const GAP: usize = 4;
const BACKGROUND: Rgb = [255; 3];
/// Colour of pruned patches.
const FADED: Rgb = [226, 226, 230];
/// Times the mean attention that is drawn brightest.
const HOTTEST: f32 = 8.0;
const LOCAL: Rgb = [30, 120, 255];
const OTHER: Rgb = [255, 140, 0];
const CHOSEN: Rgb = [220, 0, 60];
const TARGET: Rgb = [0, 190, 70];

/// The frames of a clip as the model sees them, enlarged.
#[derive(Clone, Debug)]
pub struct FrameStrip {
    frames: Vec<Canvas>,
    grid: usize,
    /// Side of a patch on the pictures, pixels.
    patch: usize,
}

/// How a patch is visible to the chosen patch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Visibility {
    /// Pruned, or not attended to.
    No,
    /// In a local block.
    Local,
    /// In another block, which this share of heads sees: all of them see random blocks.
    Other(f32),
}

impl FrameStrip {
    /// From normalised `pixels` `[frames, 3, size, size]`.
    pub fn new(pixels: &[f32], video: &VideoConfig) -> Self {
        let (size, grid) = (video.image_size, video.grid());
        let frames: Vec<Canvas> =
            pixels.chunks_exact(3 * size * size).map(|frame| picture(frame, size, grid)).collect();
        let patch = frames.first().map_or(1, |frame| frame.width() / grid);
        Self { frames, grid, patch }
    }

    /// The frames as they are.
    pub fn plain(&self) -> Canvas {
        self.painted(|_, _, _| {})
    }

    /// Patches that are not alive fade.
    pub fn alive(&self, alive: &[bool]) -> Canvas {
        self.painted(|frame, patch, at| {
            if !alive[patch] {
                self.fade(frame, at);
            }
        })
    }

    /// Attention as a heat map over the grey frame: red is the mean over kept patches, yellow `HOTTEST` times the mean,
    /// black an eighth of it; uniform attention analyses uniform.
    pub fn heat(&self, attention: &[Option<f32>]) -> Canvas {
        let (count, sum) = attention.iter().flatten().fold((0.0f32, 0.0f32), |(n, sum), value| (n + 1.0, sum + value));
        let mean = (sum / count.max(1.0)).max(f32::MIN_POSITIVE);
        self.grey().painted(|frame, patch, at| match attention[patch] {
            Some(value) => {
                let times = (value / mean).max(f32::MIN_POSITIVE).log2() / HOTTEST.log2();
                frame.shade(at, [self.patch; 2], heat_colour(0.5 + 0.5 * times), 0.75);
            }
            None => self.fade(frame, at),
        })
    }

    /// What patch `chosen` attends to.
    pub fn graph(&self, chosen: usize, seen: &[Visibility]) -> Canvas {
        self.grey().painted(|frame, patch, at| {
            match seen[patch] {
                Visibility::No => self.fade(frame, at),
                Visibility::Local => frame.shade(at, [self.patch; 2], LOCAL, 0.5),
                Visibility::Other(share) => frame.shade(at, [self.patch; 2], OTHER, 0.5 * share),
            }
            if patch == chosen {
                frame.shade(at, [self.patch; 2], CHOSEN, 0.85);
            }
        })
    }

    fn grey(&self) -> Self {
        Self { frames: self.frames.iter().map(Canvas::grey).collect(), ..*self }
    }

    /// `canvas`, made by this frame_strip, with a border around the patches of `target`.
    pub fn outlined(&self, mut canvas: Canvas, target: &[bool]) -> Canvas {
        for patch in (0..target.len()).filter(|&patch| target[patch]) {
            let (frame, [x, y]) = self.place(patch);
            let [left, top] = self.corner(frame);
            for inset in 0..2.min(self.patch / 3) {
                let side = self.patch - 2 * inset;
                canvas.outline([left + x + inset, top + y + inset], [side; 2], TARGET);
            }
        }
        canvas
    }

    fn fade(&self, frame: &mut Canvas, at: [usize; 2]) {
        frame.shade(at, [self.patch; 2], FADED, 0.88);
    }

    /// Frame and pixel corner of a patch.
    fn place(&self, patch: usize) -> (usize, [usize; 2]) {
        let (frame, inside) = (patch / (self.grid * self.grid), patch % (self.grid * self.grid));
        (frame, [inside % self.grid * self.patch, inside / self.grid * self.patch])
    }

    fn corner(&self, frame: usize) -> [usize; 2] {
        let side = self.frames.first().map_or(0, Canvas::width) + GAP;
        [frame % COLUMNS * side, frame / COLUMNS * side]
    }

    fn painted(&self, paint: impl Fn(&mut Canvas, usize, [usize; 2])) -> Canvas {
        let side = self.frames.first().map_or(1, Canvas::width);
        let (columns, rows) = (self.frames.len().clamp(1, COLUMNS), self.frames.len().div_ceil(COLUMNS).max(1));
        let mut strip = Canvas::new(columns * (side + GAP) - GAP, rows * (side + GAP) - GAP, BACKGROUND);
        let each = self.grid * self.grid;
        for (number, frame) in self.frames.iter().enumerate() {
            let mut frame = frame.clone();
            for patch in number * each..(number + 1) * each {
                paint(&mut frame, patch, self.place(patch).1);
            }
            strip.paste(&frame, self.corner(number));
        }
        strip
    }
}

/// One normalised frame `[3, size, size]` as a picture whose side is a multiple of `grid`.
fn picture(frame: &[f32], size: usize, grid: usize) -> Canvas {
    let level = |value: f32| ((value * 0.5 + 0.5) * 255.0).round().clamp(0.0, 255.0) as u8;
    let pixels = (0..size * size).flat_map(|at| [0, 1, 2].map(|c| level(frame[c * size * size + at]))).collect();
    let side = if size * 2 <= SIDE { SIDE / size * size } else { (SIDE / grid).max(1) * grid };
    match Canvas::from_rgb(size, size, pixels) {
        Ok(canvas) => canvas.fitted(side, side),
        Err(_) => Canvas::new(side, side, FADED),
    }
}

/// Black through purple, red and orange to yellow; never as pale as a patch that is not there.
fn heat_colour(heat: f32) -> Rgb {
    const STOPS: [[f32; 3]; 5] =
        [[0.0, 0.0, 4.0], [87.0, 16.0, 110.0], [188.0, 55.0, 84.0], [249.0, 142.0, 9.0], [250.0, 235.0, 80.0]];
    let place = heat.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let below = (place as usize).min(STOPS.len() - 2);
    let share = place - below as f32;
    [0, 1, 2].map(|c| (STOPS[below][c] * (1.0 - share) + STOPS[below + 1][c] * share).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;

    #[test]
    fn patches_are_painted_where_they_lie() {
        let video = ModelConfig::tiny(5).video;
        let frame_strip = FrameStrip::new(&vec![-1.0; 5 * 3 * 32 * 32], &video);
        assert_eq!(
            (frame_strip.patch, frame_strip.plain().width(), frame_strip.plain().height()),
            (40, 4 * 164 - 4, 2 * 164 - 4)
        );
        let mut alive = vec![true; 80];
        alive[4 * 16 + 6] = false;
        let strip =
            frame_strip.outlined(frame_strip.alive(&alive), &(0..80).map(|patch| patch == 17).collect::<Vec<_>>());
        // Patch 6 of frame 4: second row of frames, row 1, column 2.
        assert_ne!(strip.get(2 * 40 + 5, 164 + 40 + 5), Some([0; 3]));
        assert_eq!(strip.get(40 + 5, 164 + 40 + 5), Some([0; 3]));
        assert_eq!(strip.get(164 + 40, 0), Some(TARGET), "patch 1 of frame 1");
        let heat =
            |hot: f32| frame_strip.heat(&(0..80).map(|p| Some(if p == 3 { hot } else { 0.01 })).collect::<Vec<_>>());
        // Three quarters of the middle and of the top of the scale over black.
        let [even, peak] = [0.01, 0.8].map(|hot| heat(hot).get(3 * 40 + 1, 1).unwrap());
        assert_eq!((even, peak), ([141, 41, 63], [188, 176, 60]));
    }

    #[test]
    fn the_heat_scale_is_monotonic() {
        let light = |heat: f32| heat_colour(heat).iter().map(|&c| u32::from(c)).sum::<u32>();
        assert!((0..20).all(|n| light(n as f32 / 20.0) < light((n + 1) as f32 / 20.0)));
    }

    #[test]
    fn large_frames_shrink_to_whole_patches() {
        let video = ModelConfig::base(4).video;
        let frame_strip = FrameStrip::new(&vec![1.0; 4 * 3 * 224 * 224], &video);
        assert_eq!((frame_strip.patch, frame_strip.frames[0].width()), (11, 154));
    }
}
