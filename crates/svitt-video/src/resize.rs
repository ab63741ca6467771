//! Bicubic resizing of `u8` pictures, as torchvision does it on tensors (docs/model.md, "Image transform").

/// Which bicubic filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bicubic {
    /// Four taps whatever the scale, a = −0.75: torch's `bicubic` without antialias, what the paper used.
    #[default]
    Plain,
    /// A support that grows with the scale, a = −0.5: torchvision's default since 0.17.
    Antialias,
}

/// For every output position: as many source positions and weights as the filter has taps.
struct Taps {
    count: usize,
    places: Vec<usize>,
    weights: Vec<f32>,
}

impl Taps {
    fn new(filter: Bicubic, from: usize, to: usize) -> Self {
        match filter {
            Bicubic::Plain => Self::plain(from, to),
            Bicubic::Antialias => Self::antialias(from, to),
        }
    }

    /// Taps around `scale · (i + ½) − ½`, places outside the picture moved to its edge.
    fn plain(from: usize, to: usize) -> Self {
        let scale = from as f32 / to as f32;
        let (mut places, mut weights) = (Vec::with_capacity(to * 4), Vec::with_capacity(to * 4));
        for i in 0..to {
            let source = scale * (i as f32 + 0.5) - 0.5;
            let floor = source.floor();
            let t = source - floor;
            for (k, distance) in [t + 1.0, t, 1.0 - t, 2.0 - t].into_iter().enumerate() {
                let place = floor as isize + k as isize - 1;
                places.push(place.clamp(0, from as isize - 1) as usize);
                weights.push(cubic(distance, -0.75));
            }
        }
        Self { count: 4, places, weights }
    }

    /// All places within twice the scale, weights summing to one.
    fn antialias(from: usize, to: usize) -> Self {
        let scale = from as f32 / to as f32;
        let (stretch, support) = (scale.max(1.0), 2.0 * scale.max(1.0));
        let count = support.ceil() as usize * 2 + 1;
        let (mut places, mut weights) = (vec![0; to * count], vec![0.0f32; to * count]);
        for i in 0..to {
            let center = scale * (i as f32 + 0.5);
            let first = ((center - support + 0.5) as isize).max(0) as usize;
            let size = ((center + support + 0.5) as usize).min(from).saturating_sub(first).min(count);
            let row = &mut weights[i * count..i * count + size];
            for (k, weight) in row.iter_mut().enumerate() {
                *weight = cubic(((k + first) as f32 - center + 0.5).abs() / stretch, -0.5);
                places[i * count + k] = k + first;
            }
            let total: f32 = row.iter().sum();
            row.iter_mut().for_each(|weight| *weight /= total);
        }
        Self { count, places, weights }
    }

    fn of(&self, i: usize) -> impl Iterator<Item = (usize, f32)> {
        let span = i * self.count..(i + 1) * self.count;
        self.places[span.clone()].iter().copied().zip(self.weights[span].iter().copied())
    }
}

/// Keys' cubic convolution at `distance` ≥ 0.
fn cubic(distance: f32, a: f32) -> f32 {
    let x = distance;
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

/// A part of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropBox {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// Resizes the part `crop` of pictures of one width to `[size, size, 3]`; the filters of a clip are computed once.
pub struct Resizer {
    crop: CropBox,
    size: usize,
    columns: Taps,
    rows: Taps,
}

impl Resizer {
    /// A resizer from `crop`, which must not be empty, to `size` by `size`.
    pub fn new(filter: Bicubic, crop: CropBox, size: usize) -> Self {
        let (columns, rows) = (Taps::new(filter, crop.width, size), Taps::new(filter, crop.height, size));
        Self { crop, size, columns, rows }
    }

    /// `frame` is `[height, width, 3]` and holds the crop; the result is `[size, size, 3]`.
    ///
    /// Rows are filtered first, columns second, in f32; the end is clamped and rounded half to even.
    pub fn resize(&self, frame: &[u8], width: usize) -> Vec<u8> {
        let across = self.size * 3;
        let mut filtered = vec![0.0f32; self.crop.height * across];
        for (y, out) in filtered.chunks_exact_mut(across).enumerate() {
            let start = ((self.crop.top + y) * width + self.crop.left) * 3;
            self.filter_row(&frame[start..start + self.crop.width * 3], out);
        }
        let mut pixels = Vec::with_capacity(self.size * across);
        let mut sums = vec![0.0f32; across];
        for y in 0..self.size {
            sums.fill(0.0);
            for (place, weight) in self.rows.of(y).filter(|(_, weight)| *weight != 0.0) {
                let row = &filtered[place * across..(place + 1) * across];
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
            }
            pixels.extend(sums.iter().map(|sum| sum.clamp(0.0, 255.0).round_ties_even() as u8));
        }
        pixels
    }

    fn filter_row(&self, row: &[u8], out: &mut [f32]) {
        for (x, pixel) in out.chunks_exact_mut(3).enumerate() {
            let mut sums = [0.0f32; 3];
            for (place, weight) in self.columns.of(x) {
                let source = &row[place * 3..place * 3 + 3];
                (0..3).for_each(|c| sums[c] += weight * f32::from(source[c]));
            }
            pixel.copy_from_slice(&sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(width: usize, height: usize) -> CropBox {
        CropBox { top: 0, left: 0, height, width }
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let frame: Vec<u8> = (0..7 * 7 * 3).map(|i| (i * 37 % 251) as u8).collect();
        assert_eq!(Resizer::new(Bicubic::Plain, whole(7, 7), 7).resize(&frame, 7), frame);
        assert_eq!(Resizer::new(Bicubic::Antialias, whole(7, 7), 7).resize(&frame, 7), frame);
    }

    #[test]
    fn halving_an_edge_matches_the_weights_worked_by_hand() {
        // One row 0 0 0 0 255 255 255 255 halved: sources 0.5, 2.5, 4.5, 6.5, every time half way between two pixels.
        // a = -0.75 weighs the four neighbours -0.09375, 0.59375, 0.59375, -0.09375.
        let frame: Vec<u8> = (0..4).flat_map(|_| [0, 0, 0, 0, 255, 255, 255, 255]).flat_map(|v| [v; 3]).collect();
        let out = Resizer::new(Bicubic::Plain, whole(8, 4), 4).resize(&frame, 8);
        let row: Vec<u8> = out.iter().step_by(3).take(4).copied().collect();
        assert_eq!(row, [0, 0, 255, 255], "the undershoot of -23.9 and the overshoot of 278.9 are clamped");
        let smooth = Resizer::new(Bicubic::Antialias, whole(8, 4), 4).resize(&frame, 8);
        let row: Vec<u8> = smooth.iter().step_by(3).take(4).copied().collect();
        assert!(row[0] <= 1 && row[1] > 0 && row[1] < 40 && row[2] > 215 && row[3] >= 254, "{row:?}");
    }

    #[test]
    fn a_crop_is_cut_before_it_is_resized() {
        let frame: Vec<u8> = (0..9 * 5).flat_map(|i| [if i % 9 < 4 { 10u8 } else { 200 }; 3]).collect();
        let crop = CropBox { top: 1, left: 0, height: 3, width: 4 };
        let out = Resizer::new(Bicubic::Plain, crop, 6).resize(&frame, 9);
        assert!(out.iter().all(|&value| value == 10), "nothing from outside the crop leaks in");
    }
}
