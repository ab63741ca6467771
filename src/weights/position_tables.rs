//! Relative position tables between any two clip lengths and grids (docs/model.md, "Position tables").
//!
//! A table is `[(2T−1)(2W−1)² + 3, heads]`, rows ordered by (time, row, column) offset; the last three rows belong to
//! the class token and are carried over. Temporal offsets are rescaled (nearest), not copied; a 2-D table is repeated
//! for every temporal offset; between grids a bicubic spline runs over BEiT's geometric coordinates.

use super::spline::spline_matrix;
use crate::{Error, Result};

/// Rows that belong to the class token.
const CLASS_ROWS: usize = 3;

/// What a table was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableShape {
    /// T: frames; 1 for a table of an image model.
    pub frames: usize,
    /// W: patches along one side.
    pub grid: usize,
}

impl TableShape {
    /// Rows of such a table: (2T−1)(2W−1)² + 3.
    pub fn rows(self) -> usize {
        self.offsets() * self.area() + CLASS_ROWS
    }

    /// The shape of a table with `rows` rows, trying `frames` first and an image model's table next.
    pub fn of_rows(rows: usize, frames: &[usize]) -> Option<Self> {
        let patches = rows.checked_sub(CLASS_ROWS)?;
        frames.iter().chain(&[1]).find_map(|&frames| {
            let side = (patches / (2 * frames).checked_sub(1)?).isqrt();
            let shape = Self { frames, grid: side.div_ceil(2) };
            (side % 2 == 1 && shape.rows() == rows).then_some(shape)
        })
    }

    /// Temporal offsets: 2T−1.
    fn offsets(self) -> usize {
        2 * self.frames - 1
    }

    /// Spatial offsets along one axis: 2W−1.
    fn side(self) -> usize {
        2 * self.grid - 1
    }

    fn area(self) -> usize {
        self.side() * self.side()
    }
}

/// Takes tables of one shape to another; made once for all layers.
#[derive(Debug)]
pub struct TableResampler {
    from: TableShape,
    to: TableShape,
    /// Values at the new offsets of one axis from values at the old ones, where the grids differ.
    spatial: Option<Vec<Vec<f64>>>,
}

impl TableResampler {
    /// From tables of shape `from` to tables of shape `to`.
    ///
    /// # Errors
    /// A shape without frames or patches.
    pub fn new(from: TableShape, to: TableShape) -> Result<Self> {
        if [from.frames, from.grid, to.frames, to.grid].contains(&0) {
            let problem = "a position table needs at least one frame and one patch";
            return Err(Error::setting("video.frames", problem, "check the sizes of the model"));
        }
        let spatial = (from.side() != to.side()).then(|| {
            let half = to.side() as i64 / 2;
            let targets: Vec<f64> = (-half..=half).map(|offset| offset as f64).collect();
            spline_matrix(&geometric_coordinates(from.side(), to.side()), &targets)
        });
        Ok(Self { from, to, spatial })
    }

    /// The table `[to.rows(), heads]` made of `table` `[from.rows(), heads]`.
    ///
    /// # Errors
    /// A table of another size.
    pub fn resample(&self, table: &[f32], heads: usize) -> Result<Vec<f32>> {
        if heads == 0 || table.len() != self.from.rows() * heads {
            let problem = format!("{} values are no {} rows of {heads} heads", table.len(), self.from.rows());
            return Err(Error::setting("relative_position_bias_table", problem, "check the sizes of the checkpoint"));
        }
        if self.from == self.to {
            return Ok(table.to_vec());
        }
        let (patches, class) = table.split_at(self.from.offsets() * self.from.area() * heads);
        let slices: Vec<Vec<f32>> =
            patches.chunks(self.from.area() * heads).map(|slice| self.resample_slice(slice, heads)).collect();
        let mut result = Vec::with_capacity(self.to.rows() * heads);
        for offset in 0..self.to.offsets() {
            result.extend_from_slice(&slices[self.source_offset(offset)]);
        }
        result.extend_from_slice(class);
        Ok(result)
    }

    /// The temporal offset whose slice offset `j` takes: ⌊j·t_src/t_dst⌋ in PyTorch's single precision.
    fn source_offset(&self, j: usize) -> usize {
        let scale = self.from.offsets() as f32 / self.to.offsets() as f32;
        ((j as f32 * scale).floor() as usize).min(self.from.offsets() - 1)
    }

    /// One temporal slice `[side·side, heads]` on the new grid.
    fn resample_slice(&self, slice: &[f32], heads: usize) -> Vec<f32> {
        let Some(weights) = &self.spatial else { return slice.to_vec() };
        let (old, new) = (self.from.side(), self.to.side());
        let mut rows = vec![0.0f64; new * old * heads];
        for (y, weights) in weights.iter().enumerate() {
            for (source, &weight) in weights.iter().enumerate() {
                let values = &slice[source * old * heads..][..old * heads];
                add_scaled(&mut rows[y * old * heads..][..old * heads], values.iter().map(|&v| f64::from(v)), weight);
            }
        }
        let mut result = vec![0.0f64; new * new * heads];
        for (target, row) in result.chunks_mut(new * heads).zip(rows.chunks(old * heads)) {
            for (x, weights) in weights.iter().enumerate() {
                for (source, &weight) in weights.iter().enumerate() {
                    let values = row[source * heads..][..heads].iter().copied();
                    add_scaled(&mut target[x * heads..][..heads], values, weight);
                }
            }
        }
        result.into_iter().map(|value| value as f32).collect()
    }
}

fn add_scaled(target: &mut [f64], values: impl Iterator<Item = f64>, weight: f64) {
    target.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
}

/// BEiT's coordinates of the old offsets on the axis of the new ones: gaps 1, q, q², … to both sides of 0, with the q
/// of [1.01, 1.5] at which the outermost lies on the outermost new offset.
fn geometric_coordinates(old: usize, new: usize) -> Vec<f64> {
    let terms = (old / 2) as i32;
    let (mut low, mut high, mut ratio) = (1.01f64, 1.5f64, 1.01f64);
    while high - low > 1e-6 {
        ratio = (low + high) / 2.0;
        let sum = (1.0 - ratio.powi(terms)) / (1.0 - ratio);
        if sum > (new / 2) as f64 { high = ratio } else { low = ratio }
    }
    let right: Vec<f64> = (0..terms)
        .scan(0.0, |reached, term| {
            *reached += ratio.powi(term);
            Some(*reached)
        })
        .collect();
    right.iter().rev().map(|x| -x).chain([0.0]).chain(right.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(frames: usize, grid: usize) -> TableShape {
        TableShape { frames, grid }
    }

    #[test]
    fn offsets_are_rescaled_as_the_official_code_does() {
        let up = TableResampler::new(shape(4, 2), shape(8, 2)).unwrap();
        let sources: Vec<usize> = (0..15).map(|j| up.source_offset(j)).collect();
        assert_eq!(sources, [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]);
    }

    #[test]
    fn a_flat_table_is_repeated_and_the_class_rows_are_kept() {
        let table: Vec<f32> = (0..12 * 2).map(|v| v as f32).collect();
        let deep = TableResampler::new(shape(1, 2), shape(3, 2)).unwrap().resample(&table, 2).unwrap();
        assert_eq!(deep.len(), shape(3, 2).rows() * 2);
        assert!(deep[..90].chunks(18).all(|slice| slice == &table[..18]));
        assert_eq!(deep[90..], table[18..]);
    }

    #[test]
    fn grids_change_both_ways_and_keep_constants() {
        for (from, to) in [(shape(2, 3), shape(3, 5)), (shape(3, 5), shape(2, 3)), (shape(1, 1), shape(2, 3))] {
            let table = vec![0.75f32; from.rows() * 5];
            let taken = TableResampler::new(from, to).unwrap().resample(&table, 5).unwrap();
            assert_eq!(taken.len(), to.rows() * 5);
            assert!(taken.iter().all(|v| (v - 0.75).abs() < 1e-5), "{from:?} to {to:?}");
        }
    }

    #[test]
    fn tables_equal_those_of_the_official_routine() {
        let bytes = include_bytes!("../../tests/fixtures/parity/interp.safetensors");
        let file = super::super::safetensors::read(bytes).unwrap();
        let values = |name: &str| {
            let (_, view) = file.tensors.iter().find(|(key, _)| key == name).unwrap();
            (view.read(bytes).values, view.shape()[0])
        };
        let cases = [
            ("src2d_w4", "from_w4_to_T4_w4", 1, 4, 1e-4),
            ("src2d_w5", "from_w5_to_T1_w4", 1, 1, 1e-3),
            ("src2d_w5", "from_w5_to_T4_w4", 1, 4, 1e-3),
            ("src2d_w3", "from_w3_to_T1_w4", 1, 1, 1e-3),
            ("src2d_w3", "from_w3_to_T4_w4", 1, 4, 1e-3),
            ("src_8f", "from_8f_to_4f", 8, 4, 1e-4),
            ("src_8f", "from_8f_to_12f", 8, 12, 1e-4),
            ("src_8f", "from_8f_to_16f", 8, 16, 1e-4),
        ];
        for (source, target, from, to, tolerance) in cases {
            let (table, rows) = values(source);
            let from = TableShape::of_rows(rows, &[from]).unwrap();
            let taken = TableResampler::new(from, shape(to, 4)).unwrap().resample(&table, 4).unwrap();
            let (expected, _) = values(target);
            assert_eq!(taken.len(), expected.len());
            let worst = taken.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= tolerance, "{target}: {worst}");
        }
    }

    #[test]
    fn shapes_are_recognised_by_their_rows() {
        assert_eq!(TableShape::of_rows(5106, &[4]), Some(shape(4, 14)));
        assert_eq!(TableShape::of_rows(732, &[4]), Some(shape(1, 14)), "a 2-D table in a checkpoint of four frames");
        assert_eq!(TableShape::of_rows(5107, &[4]), None);
        assert_eq!(TableShape::of_rows(2, &[0]), None);
        assert!(TableResampler::new(shape(0, 2), shape(1, 2)).is_err());
        assert!(TableResampler::new(shape(1, 2), shape(1, 2)).unwrap().resample(&[0.0; 5], 1).is_err());
    }
}
