//! An RGB picture in memory: filling, pasting, shading, labels, PNG.

use super::font;
use crate::{Error, Result, files};
use std::path::Path;

/// Red, green, blue, 0–255.
pub type Rgb = [u8; 3];

/// A picture of `width` × `height` RGB pixels, row-major. Everything drawn outside it is cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    /// A picture of one colour.
    pub fn new(width: usize, height: usize, colour: Rgb) -> Self {
        Self { width, height, pixels: colour.repeat(width * height) }
    }

    /// A picture from `height · width · 3` bytes, row-major, RGB interleaved.
    ///
    /// # Errors
    /// The bytes are not as many as the size asks for.
    pub fn from_rgb(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self> {
        if pixels.len() == width * height * 3 {
            return Ok(Self { width, height, pixels });
        }
        let problem = format!("{} bytes are not {width} x {height} RGB pixels", pixels.len());
        Err(Error::setting("pixels", problem, "give width * height * 3 bytes"))
    }

    /// Pixels across.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels down.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The colour at (`x`, `y`), or none outside the picture.
    pub fn get(&self, x: usize, y: usize) -> Option<Rgb> {
        let at = self.offset(x, y)?;
        Some([self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]])
    }

    /// Paints one pixel.
    pub fn set(&mut self, x: usize, y: usize, colour: Rgb) {
        if let Some(at) = self.offset(x, y) {
            self.pixels[at..at + 3].copy_from_slice(&colour);
        }
    }

    /// Mixes `colour` into a rectangle: `share` 0 leaves it as it is, 1 paints it over.
    pub fn shade(&mut self, [x, y]: [usize; 2], [width, height]: [usize; 2], colour: Rgb, share: f32) {
        let share = share.clamp(0.0, 1.0);
        let mix = |old: u8, new: u8| (f32::from(old) * (1.0 - share) + f32::from(new) * share).round() as u8;
        for row in y..(y + height).min(self.height) {
            for column in x..(x + width).min(self.width) {
                let at = (row * self.width + column) * 3;
                for (pixel, new) in self.pixels[at..at + 3].iter_mut().zip(colour) {
                    *pixel = mix(*pixel, new);
                }
            }
        }
    }

    /// The picture without colour.
    pub fn grey(&self) -> Self {
        let luma = |pixel: &[u8]| {
            let [r, g, b] = [0, 1, 2].map(|c| u32::from(pixel[c]));
            [((299 * r + 587 * g + 114 * b + 500) / 1000) as u8; 3]
        };
        Self { pixels: self.pixels.chunks_exact(3).flat_map(luma).collect(), ..*self }
    }

    /// Draws the one-pixel border of a rectangle, inside it.
    pub fn outline(&mut self, [x, y]: [usize; 2], [width, height]: [usize; 2], colour: Rgb) {
        if width == 0 || height == 0 {
            return;
        }
        self.shade([x, y], [width, 1], colour, 1.0);
        self.shade([x, y + height - 1], [width, 1], colour, 1.0);
        self.shade([x, y], [1, height], colour, 1.0);
        self.shade([x + width - 1, y], [1, height], colour, 1.0);
    }

    /// Copies `other` with its top left corner at (`x`, `y`).
    pub fn paste(&mut self, other: &Self, [x, y]: [usize; 2]) {
        let across = other.width.min(self.width.saturating_sub(x)) * 3;
        for row in 0..other.height.min(self.height.saturating_sub(y)) {
            let (from, to) = (row * other.width * 3, ((y + row) * self.width + x) * 3);
            self.pixels[to..to + across].copy_from_slice(&other.pixels[from..from + across]);
        }
    }

    /// The picture `factor` times as large, every pixel a square.
    pub fn enlarged(&self, factor: usize) -> Self {
        let mut large = Self::new(self.width * factor, self.height * factor, [0; 3]);
        for y in 0..self.height {
            for x in 0..self.width {
                let colour = self.get(x, y).unwrap_or_default();
                large.shade([x * factor, y * factor], [factor; 2], colour, 1.0);
            }
        }
        large
    }

    /// The picture as large as fits into `width` × `height` in its own proportions: a small one enlarged by a whole
    /// factor, so that pixels stay square, a large one by the mean of the pixels that fall together.
    pub fn fitted(&self, width: usize, height: usize) -> Self {
        let factor = (width / self.width.max(1)).min(height / self.height.max(1));
        if factor > 0 || self.width * self.height == 0 {
            return self.enlarged(factor.max(1));
        }
        let scale = (width as f64 / self.width as f64).min(height as f64 / self.height as f64);
        let side = |n: usize| ((n as f64 * scale).round() as usize).max(1);
        let mut small = Self::new(side(self.width), side(self.height), [0; 3]);
        let span = |i: usize, to: usize, from: usize| i * from / to..((i + 1) * from / to).max(i * from / to + 1);
        for y in 0..small.height {
            for x in 0..small.width {
                let (columns, rows) = (span(x, small.width, self.width), span(y, small.height, self.height));
                small.set(x, y, self.mean(columns, rows));
            }
        }
        small
    }

    fn mean(&self, columns: std::ops::Range<usize>, rows: std::ops::Range<usize>) -> Rgb {
        let count = (columns.len() * rows.len()).max(1);
        let mut sums = [0usize; 3];
        for row in rows {
            let line = &self.pixels[(row * self.width + columns.start) * 3..(row * self.width + columns.end) * 3];
            line.chunks_exact(3).for_each(|pixel| (0..3).for_each(|c| sums[c] += usize::from(pixel[c])));
        }
        sums.map(|sum| ((sum + count / 2) / count) as u8)
    }

    /// Writes a line of capitals 3 × 5 pixels large times `scale`, one pixel times `scale` apart.
    pub fn text(&mut self, [x, y]: [usize; 2], scale: usize, line: &str, colour: Rgb) {
        for (place, letter) in line.chars().enumerate() {
            let left = x + place * (font::WIDTH + 1) * scale;
            for (row, bits) in font::rows(letter).into_iter().enumerate() {
                for column in (0..font::WIDTH).filter(|column| bits >> (font::WIDTH - 1 - column) & 1 == 1) {
                    self.shade([left + column * scale, y + row * scale], [scale; 2], colour, 1.0);
                }
            }
        }
    }

    /// The picture as a PNG file in memory.
    ///
    /// # Errors
    /// The picture is empty or larger than PNG allows.
    pub fn png(&self) -> Result<Vec<u8>> {
        let fault = |problem: String| Error::setting("picture", problem, "draw at least one and at most 2^31 pixels");
        let side = |n: usize| u32::try_from(n).map_err(|_| fault(format!("{n} pixels are too many for a side")));
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, side(self.width)?, side(self.height)?);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(|e| fault(e.to_string()))?;
        writer.write_image_data(&self.pixels).map_err(|e| fault(e.to_string()))?;
        writer.finish().map_err(|e| fault(e.to_string()))?;
        Ok(bytes)
    }

    /// Writes the picture to `path` as PNG.
    ///
    /// # Errors
    /// As [`Canvas::png`], or the file cannot be written.
    pub fn write_png(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write(path.as_ref(), self.png()?)
    }

    fn offset(&self, x: usize, y: usize) -> Option<usize> {
        (x < self.width && y < self.height).then(|| (y * self.width + x) * 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_outside_is_cut_off() {
        let mut canvas = Canvas::new(7, 5, [0; 3]);
        canvas.shade([5, 3], [9, 9], [200, 100, 50], 0.5);
        canvas.paste(&Canvas::new(4, 4, [9; 3]), [6, 4]);
        canvas.paste(&Canvas::new(4, 4, [9; 3]), [11, 40]);
        canvas.set(70, 0, [1; 3]);
        assert_eq!(canvas.get(5, 3), Some([100, 50, 25]));
        assert_eq!((canvas.get(6, 4), canvas.get(4, 3), canvas.get(7, 0)), (Some([9; 3]), Some([0; 3]), None));
    }

    #[test]
    fn png_reads_back() {
        let mut canvas = Canvas::new(13, 11, [3, 5, 7]);
        canvas.text([1, 1], 1, "L1", [255; 3]);
        canvas.outline([0, 0], [13, 11], [250, 0, 0]);
        let bytes = canvas.png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((frame.width, frame.height), (13, 11));
        assert_eq!(Canvas::from_rgb(13, 11, pixels).unwrap(), canvas);
        assert_eq!((canvas.get(1, 1), canvas.get(2, 1)), (Some([255; 3]), Some([3, 5, 7])), "the stem of the L");
        assert!(Canvas::new(0, 4, [0; 3]).png().is_err());
    }

    #[test]
    fn pictures_are_fitted_by_means_or_whole_factors() {
        let mut canvas = Canvas::new(6, 4, [10; 3]);
        canvas.shade([0, 0], [3, 4], [30, 0, 90], 1.0);
        let small = canvas.fitted(2, 9);
        assert_eq!((small.width(), small.height()), (2, 1));
        assert_eq!((small.get(0, 0), small.get(1, 0)), (Some([30, 0, 90]), Some([10; 3])));
        let odd = canvas.fitted(5, 3);
        assert_eq!((odd.width(), odd.height(), odd.get(2, 1)), (5, 3, Some([30, 0, 90])));
        let large = canvas.fitted(20, 11);
        assert_eq!((large.width(), large.height(), large.get(5, 7)), (12, 8, Some([30, 0, 90])));
    }

    #[test]
    fn grey_keeps_the_brightness() {
        let mut canvas = Canvas::new(2, 1, [7; 3]);
        canvas.set(1, 0, [200, 100, 50]);
        let grey = canvas.grey();
        assert_eq!((grey.get(0, 0), grey.get(1, 0)), (Some([7; 3]), Some([124; 3])));
    }

    #[test]
    fn enlarging_squares_pixels() {
        let mut canvas = Canvas::new(2, 3, [0; 3]);
        canvas.set(1, 2, [8; 3]);
        let large = canvas.enlarged(3);
        assert_eq!((large.width(), large.height()), (6, 9));
        assert_eq!((large.get(3, 6), large.get(5, 8), large.get(2, 6)), (Some([8; 3]), Some([8; 3]), Some([0; 3])));
    }
}
