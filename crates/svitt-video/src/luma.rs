//! A picture's brightness at 64 × 36 points: enough to tell whether two pictures are of the same shot.

use crate::frames::Frames;

/// Points per row.
pub(crate) const COLUMNS: usize = 64;
/// Points per column.
pub(crate) const ROWS: usize = 36;

/// The luma of a picture at 64 × 36 points, evenly spread over its largest upper left part whose sides are multiples of
/// these numbers; no mean, so that a program that only picks pixels gives the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallLuma(Vec<u8>);

impl SmallLuma {
    /// That of a plane of `width` × `height` bytes, rows `stride` apart. What is missing of it counts as black.
    pub(crate) fn of_plane(plane: &[u8], stride: usize, width: usize, height: usize) -> Self {
        Self::of(width, height, |x, y| plane.get(y * stride + x).copied().unwrap_or(0))
    }

    /// That of frame `index` of RGB `frames` (luma of ITU-R BT.601).
    pub fn of_frame(frames: &Frames, index: usize) -> Self {
        let (frame, width) = (frames.frame(index), frames.width);
        Self::of(width, frames.height, |x, y| {
            let at = (y * width + x) * 3;
            let [r, g, b] = [0, 1, 2].map(|c| u32::from(frame.get(at + c).copied().unwrap_or(0)));
            ((77 * r + 150 * g + 29 * b + 128) >> 8) as u8
        })
    }

    /// The bytes of a picture that was shrunken already, 64 × 36 and perhaps more.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let mut points = bytes.to_vec();
        points.resize(COLUMNS * ROWS, 0);
        Self(points)
    }

    fn of(width: usize, height: usize, luma: impl Fn(usize, usize) -> u8) -> Self {
        let (columns, rows) = (places(width, COLUMNS), places(height, ROWS));
        Self(rows.iter().flat_map(|&y| columns.iter().map(move |&x| (x, y))).map(|(x, y)| luma(x, y)).collect())
    }

    /// Mean absolute difference of two pictures, in levels of 255.
    pub fn difference(&self, other: &Self) -> f64 {
        let sum: u32 = self.0.iter().zip(&other.0).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        f64::from(sum) / (COLUMNS * ROWS) as f64
    }

    /// How much of the picture would have to change its brightness for the two histograms (16 levels) to be equal,
    /// 0 to 1. A picture that moves keeps most of its histogram.
    pub fn histogram_difference(&self, other: &Self) -> f64 {
        let mut bins = [0i32; 16];
        self.0.iter().for_each(|luma| bins[usize::from(luma >> 4)] += 1);
        other.0.iter().for_each(|luma| bins[usize::from(luma >> 4)] -= 1);
        f64::from(bins.iter().map(|bin| bin.abs()).sum::<i32>()) / (2 * COLUMNS * ROWS) as f64
    }
}

/// The middles of `count` equal parts of `length` pixels, a remainder left out.
fn places(length: usize, count: usize) -> Vec<usize> {
    let step = length / count;
    let place = |n: usize| if step > 0 { n * step + step / 2 } else { n * length / count };
    (0..count).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_the_middles_of_blocks() {
        assert_eq!(places(1280, 64)[..3], [10, 30, 50]);
        assert_eq!((places(854, 64)[63], places(480, 36)[35]), (63 * 13 + 6, 35 * 13 + 6));
        assert!(places(5, 64).iter().all(|place| *place < 5));
        let plane: Vec<u8> = (0..128 * 72).map(|at| (at % 128) as u8).collect();
        let small = SmallLuma::of_plane(&plane, 128, 128, 72);
        assert_eq!(small.0[..3], [1, 3, 5]);
        assert_eq!(small.0[64..66], [1, 3], "every row is alike");
    }

    #[test]
    fn differences_are_in_levels_and_a_shift_keeps_the_histogram() {
        let of = |value: fn(usize) -> u8| SmallLuma((0..COLUMNS * ROWS).map(value).collect());
        let (black, grey) = (of(|_| 0), of(|_| 40));
        assert_eq!((black.difference(&grey), black.histogram_difference(&grey)), (40.0, 1.0));
        let (stripes, shifted) = (of(|at| (at % 2 * 200) as u8), of(|at| ((at + 1) % 2 * 200) as u8));
        assert_eq!((stripes.difference(&shifted), stripes.histogram_difference(&shifted)), (200.0, 0.0));
        let red = Frames { count: 1, height: 2, width: 2, data: [255, 0, 0].repeat(4) };
        assert_eq!(SmallLuma::of_frame(&red, 0).0[0], 77);
    }
}
