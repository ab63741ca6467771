//! A decoded 4:2:0 picture and its conversion to RGB, bit exact with ffmpeg's swscale.

use super::track::{ColourSpace, Orientation};

/// 8-bit 4:2:0.
#[derive(Clone)]
pub(super) struct Picture {
    pub width: usize,
    pub height: usize,
    /// Y, Cb, Cr.
    pub planes: [Vec<u8>; 3],
    /// Bytes per row of each plane.
    pub strides: [usize; 3],
}

/// Integer gains of one colour, reduced to 13 bits as swscale's vector code has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct YuvCoefficients {
    offset: i32,
    luma: i32,
    red_v: i32,
    green_u: i32,
    green_v: i32,
    blue_u: i32,
}

impl YuvCoefficients {
    /// Coefficients where the stream states nothing: BT.601, limited range.
    pub fn unspecified() -> Self {
        Self { offset: 16, luma: 9539, red_v: 13_075, green_u: -3209, green_v: -6660, blue_u: 16_525 }
    }

    /// Gains for `colour`; `None` for matrices that 4:2:0 pictures cannot have.
    pub fn new(colour: ColourSpace) -> Option<Self> {
        // 16.16 fixed point: red from V, blue from U, green from U, green from V.
        let chroma: [i64; 4] = match colour.matrix {
            1 => [117_489, 138_438, 13_975, 34_925],
            2 | 3 | 5 | 6 => [104_597, 132_201, 25_675, 53_279],
            4 => [104_448, 132_798, 24_759, 53_109],
            7 => [117_579, 136_230, 16_907, 35_559],
            9 | 10 => [110_013, 140_363, 12_277, 42_626],
            _ => return None,
        };
        let (luma, offset) = if colour.full_range { (65_536, 0) } else { (65_536 * 255 / 219, 16) };
        let reduce = |gain: i64| ((gain * 8192 + 32_768) >> 16) as i32;
        let [red_v, blue_u, green_u, green_v] =
            chroma.map(|gain| if colour.full_range { gain * 224 / 255 } else { gain });
        Some(Self {
            offset,
            luma: reduce(luma),
            red_v: reduce(red_v),
            green_u: reduce(-green_u),
            green_v: reduce(-green_v),
            blue_u: reduce(blue_u),
        })
    }

    /// One row: `luma` has as many samples as `out` has pixels, the chroma rows half of that, rounded up.
    fn row(&self, luma: &[u8], blue: &[u8], red: &[u8], out: &mut [u8]) {
        let pairs = out.chunks_mut(6).zip(luma.chunks(2)).zip(blue.iter().zip(red));
        for ((pixels, luma), (&u, &v)) in pairs {
            let (u, v) = (8 * i32::from(u) - 1024, 8 * i32::from(v) - 1024);
            let (r, b) = ((v * self.red_v) >> 16, (u * self.blue_u) >> 16);
            let g = ((u * self.green_u) >> 16) + ((v * self.green_v) >> 16);
            for (pixel, &y) in pixels.chunks_exact_mut(3).zip(luma) {
                let y = ((8 * (i32::from(y) - self.offset)) * self.luma) >> 16;
                pixel[0] = (y + r).clamp(0, 255) as u8;
                pixel[1] = (y + g).clamp(0, 255) as u8;
                pixel[2] = (y + b).clamp(0, 255) as u8;
            }
        }
    }
}

impl Picture {
    /// Writes the picture as `[height, width, 3]`, not yet turned. False if a plane is too small.
    pub fn to_rgb(&self, gains: &YuvCoefficients, out: &mut [u8]) -> bool {
        let chroma_width = self.width.div_ceil(2);
        for (y, out) in out.chunks_exact_mut(self.width * 3).take(self.height).enumerate() {
            let row = |plane: usize, y: usize, width: usize| {
                let start = y * self.strides[plane];
                self.planes[plane].get(start..start + width)
            };
            let rows = (row(0, y, self.width), row(1, y / 2, chroma_width), row(2, y / 2, chroma_width));
            let (Some(luma), Some(blue), Some(red)) = rows else { return false };
            gains.row(luma, blue, red, out);
        }
        true
    }
}

impl Picture {
    /// Writes the picture as `[height, width, 3]`, turned as it is shown. False if a plane is too small.
    pub fn to_shown_rgb(&self, gains: &YuvCoefficients, orientation: Orientation, out: &mut [u8]) -> bool {
        if orientation == Orientation::UPRIGHT {
            return self.to_rgb(gains, out);
        }
        let mut stored = vec![0; out.len()];
        let whole = self.to_rgb(gains, &mut stored);
        orientation.turn(self.width, self.height, &stored, out);
        whole
    }
}

impl Orientation {
    /// Whether rows become columns.
    pub fn transposes(self) -> bool {
        self.a == 0
    }

    /// Turns `[height, width, 3]` into `out`, which has the same number of pixels.
    pub fn turn(self, width: usize, height: usize, source: &[u8], out: &mut [u8]) {
        let (out_width, out_height) = if self.transposes() { (height, width) } else { (width, height) };
        // The matrix is orthogonal: its transpose leads from the shown pixel back to the stored one. Twice the
        // distance from the middle keeps the arithmetic in integers.
        let (a, b, c, d) = (isize::from(self.a), isize::from(self.b), isize::from(self.c), isize::from(self.d));
        for y in 0..out_height {
            for x in 0..out_width {
                let (dx, dy) = (2 * x as isize + 1 - out_width as isize, 2 * y as isize + 1 - out_height as isize);
                let from_x = (a * dx + b * dy + width as isize - 1) / 2;
                let from_y = (c * dx + d * dy + height as isize - 1) / 2;
                let (from, to) = ((from_y as usize * width + from_x as usize) * 3, (y * out_width + x) * 3);
                out[to..to + 3].copy_from_slice(&source[from..from + 3]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first pixel of a picture of one colour.
    fn pixel(matrix: u8, full_range: bool, yuv: [u8; 3]) -> [u8; 3] {
        let mut out = [0; 6];
        YuvCoefficients::new(ColourSpace { matrix, full_range }).unwrap().row(
            &[yuv[0]; 2],
            &[yuv[1]],
            &[yuv[2]],
            &mut out,
        );
        [out[0], out[1], out[2]]
    }

    #[test]
    fn colours_are_those_of_ffmpeg_for_every_matrix_and_range() {
        assert_eq!(pixel(2, false, [16, 128, 128]), [0, 0, 0]);
        assert_eq!(pixel(2, false, [235, 128, 128]), [255, 255, 255]);
        // Red, green and blue of BT.601, then red at full range; all as `ffmpeg -pix_fmt rgb24` converts them.
        let samples = [[81, 90, 240], [145, 54, 34], [41, 240, 110]];
        let cases: [(u8, [[u8; 3]; 4]); 5] = [
            (6, [[253, 0, 0], [0, 254, 0], [0, 0, 254], [238, 14, 13]]),
            (1, [[255, 23, 0], [0, 215, 0], [0, 14, 255], [255, 35, 10]]),
            (4, [[253, 0, 0], [0, 253, 0], [0, 0, 255], [237, 13, 13]]),
            (7, [[255, 23, 0], [0, 220, 0], [0, 9, 255], [255, 35, 11]]),
            (9, [[255, 9, 0], [0, 224, 0], [0, 19, 255], [246, 23, 9]]),
        ];
        for (matrix, expected) in cases {
            let mut found = samples.map(|yuv| pixel(matrix, false, yuv)).to_vec();
            found.push(pixel(matrix, true, samples[0]));
            assert_eq!(found, expected, "matrix {matrix}");
        }
        assert_eq!(YuvCoefficients::new(ColourSpace::UNSPECIFIED).unwrap(), YuvCoefficients::unspecified());
        assert!(YuvCoefficients::new(ColourSpace { matrix: 8, full_range: false }).is_none());
    }

    #[test]
    fn a_quarter_turn_moves_the_first_row_to_the_last_column() {
        let source: Vec<u8> = (0..3 * 2).flat_map(|i| [i, 0, 0]).collect(); // 3 wide, 2 high
        let red = |out: &[u8]| out.iter().step_by(3).copied().collect::<Vec<_>>();
        let mut out = vec![0; source.len()];
        Orientation { a: 0, b: 1, c: -1, d: 0 }.turn(3, 2, &source, &mut out);
        assert_eq!(red(&out), [3, 0, 4, 1, 5, 2]);
        Orientation { a: -1, b: 0, c: 0, d: -1 }.turn(3, 2, &source, &mut out);
        assert_eq!(red(&out), [5, 4, 3, 2, 1, 0]);
        Orientation { a: 0, b: -1, c: 1, d: 0 }.turn(3, 2, &source, &mut out);
        assert_eq!(red(&out), [2, 5, 1, 4, 0, 3]);
    }
}
