//! From decoded frames to the model's input: crop, resize, flip, normalise (docs/model.md, "Image transform").

use super::frames::Frames;
use super::resize::{Bicubic, CropBox, Resizer};
use super::sampling::below;

/// How the frames of a clip are prepared; the same crop and flip for all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Rows and columns of the result.
    pub size: usize,
    /// Which bicubic filter.
    pub filter: Bicubic,
    /// Share of the picture's area that a random crop takes, from and to.
    pub scale: [f64; 2],
    /// Width over height of a random crop, from and to.
    pub ratio: [f64; 2],
    /// Probability that a drawn transform mirrors the clip. Zero where captions speak of left and right.
    pub flip: f64,
    /// Subtracted from values in 0–1, per channel.
    pub mean: [f32; 3],
    /// Then divided by, per channel.
    pub std: [f32; 3],
}

/// What was drawn for one clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropFlip {
    /// The part of the picture that is used.
    pub crop: CropBox,
    /// Mirror left and right.
    pub flip: bool,
}

impl Transform {
    /// The paper's: crops of 50–100 % of the area at ratios 3/4–4/3, flips half the time, mean and deviation 0.5.
    pub fn new(size: usize) -> Self {
        Self {
            size,
            filter: Bicubic::Plain,
            scale: [0.5, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            flip: 0.5,
            mean: [0.5; 3],
            std: [0.5; 3],
        }
    }

    /// The whole picture, unmirrored, whatever its aspect ratio: what evaluation uses.
    pub fn whole(&self, frames: &Frames) -> CropFlip {
        CropFlip { crop: CropBox { top: 0, left: 0, height: frames.height, width: frames.width }, flip: false }
    }

    /// A random crop and flip: what training uses.
    ///
    /// Ten times an area and an aspect ratio (uniform in its logarithm) are drawn; if no such box fits into the
    /// picture, it is the largest centred box whose ratio is allowed. That is torchvision's `RandomResizedCrop`.
    /// `uniform` gives random numbers in `[0, 1)`.
    pub fn draw(&self, frames: &Frames, uniform: &mut dyn FnMut() -> f64) -> CropFlip {
        let crop = (0..10).find_map(|_| self.try_crop(frames, uniform)).unwrap_or_else(|| self.centred(frames));
        CropFlip { crop, flip: uniform() < self.flip }
    }

    fn try_crop(&self, frames: &Frames, uniform: &mut dyn FnMut() -> f64) -> Option<CropBox> {
        let area = (frames.width * frames.height) as f64 * between(self.scale, uniform);
        let ratio = between(self.ratio.map(f64::ln), uniform).exp();
        let width = (area * ratio).sqrt().round_ties_even() as usize;
        let height = (area / ratio).sqrt().round_ties_even() as usize;
        if !(1..=frames.width).contains(&width) || !(1..=frames.height).contains(&height) {
            return None;
        }
        let top = below(frames.height - height + 1, uniform);
        let left = below(frames.width - width + 1, uniform);
        Some(CropBox { top, left, height, width })
    }

    fn centred(&self, frames: &Frames) -> CropBox {
        let (full_width, full_height) = (frames.width as f64, frames.height as f64);
        let (mut width, mut height) = (frames.width, frames.height);
        if full_width / full_height < self.ratio[0] {
            height = (full_width / self.ratio[0]).round_ties_even() as usize;
        } else if full_width / full_height > self.ratio[1] {
            width = (full_height * self.ratio[1]).round_ties_even() as usize;
        }
        let (width, height) = (width.clamp(1, frames.width), height.clamp(1, frames.height));
        CropBox { top: (frames.height - height) / 2, left: (frames.width - width) / 2, height, width }
    }

    /// The clip as `[frames, 3, size, size]`, row-major, normalised. Empty if there are no pixels.
    pub fn apply(&self, frames: &Frames, view: &CropFlip) -> Vec<f32> {
        if frames.frame_bytes() == 0 || self.size == 0 {
            return Vec::new();
        }
        let table: Vec<[f32; 256]> = (0..3).map(|channel| self.levels(channel)).collect();
        let plane = self.size * self.size;
        let mut out = vec![0.0f32; frames.count * 3 * plane];
        let resizer = Resizer::new(self.filter, view.crop, self.size);
        for (i, clip) in out.chunks_exact_mut(3 * plane).enumerate() {
            let pixels = resizer.resize(frames.frame(i), frames.width);
            for (channel, values) in clip.chunks_exact_mut(plane).enumerate() {
                for (row, source) in values.chunks_exact_mut(self.size).zip(pixels.chunks_exact(self.size * 3)) {
                    let levels = source[channel..].iter().step_by(3).map(|&level| table[channel][usize::from(level)]);
                    row.iter_mut().zip(levels).for_each(|(value, level)| *value = level);
                    if view.flip {
                        row.reverse();
                    }
                }
            }
        }
        out
    }

    /// The 256 values a channel can have: divided by 255, then shifted and scaled, in f32 and in that order.
    fn levels(&self, channel: usize) -> [f32; 256] {
        std::array::from_fn(|level| (level as f32 / 255.0 - self.mean[channel]) / self.std[channel])
    }
}

/// Uniform in `[low, high)`.
fn between([low, high]: [f64; 2], uniform: &mut dyn FnMut() -> f64) -> f64 {
    low + (high - low) * uniform()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(width: usize, height: usize) -> Frames {
        let data = (0..2 * width * height).flat_map(|i| [(i % 251) as u8, 255, 0]).collect();
        Frames { count: 2, height, width, data }
    }

    #[test]
    fn channels_are_separated_normalised_and_mirrored() {
        let (frames, transform) = (frames(3, 3), Transform { size: 3, ..Transform::new(3) });
        let straight = transform.apply(&frames, &transform.whole(&frames));
        assert_eq!(straight.len(), 2 * 3 * 9);
        assert_eq!(straight[..3], [0.0f32, 1.0, 2.0].map(|v| (v / 255.0 - 0.5) / 0.5));
        assert!(straight[9..18].iter().all(|&v| v == 1.0) && straight[18..27].iter().all(|&v| v == -1.0));
        let view = CropFlip { flip: true, ..transform.whole(&frames) };
        let mirrored = transform.apply(&frames, &view);
        assert_eq!(mirrored[..3], [straight[2], straight[1], straight[0]]);
    }

    #[test]
    fn crops_stay_inside_and_cover_the_allowed_areas() {
        let (frames, transform) = (frames(61, 47), Transform::new(16));
        let (mut least, mut most, mut flips) = (1.0f64, 0.0f64, 0);
        for seed in 0..400 {
            let view = transform.draw(&frames, &mut crate::random(seed));
            let CropBox { top, left, height, width } = view.crop;
            assert!(top + height <= 47 && left + width <= 61);
            let (area, ratio) = ((width * height) as f64 / (61.0 * 47.0), width as f64 / height as f64);
            assert!((0.48..=1.0).contains(&area) && (0.73..1.37).contains(&ratio), "{view:?}");
            (least, most) = (least.min(area), most.max(area));
            flips += usize::from(view.flip);
        }
        assert!(least < 0.53 && most > 0.95 && (160..240).contains(&flips), "{least} {most} {flips}");
    }

    #[test]
    fn pictures_too_long_for_any_box_are_cut_in_the_middle() {
        let (frames, transform) = (frames(100, 9), Transform::new(8));
        let view = transform.draw(&frames, &mut crate::random(3));
        assert_eq!(view.crop, CropBox { top: 0, left: 44, height: 9, width: 12 });
    }
}
