//! The 3-D relative position bias, addressed by differences of one integer per token
//! (docs/model.md, "Relative position bias").

use super::gathered::MASKED;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

/// Rows of a table that has one row for all pairs of patches, and the three of the class token.
const UNIFORM: usize = 4;

/// A bias table and the coordinates that address it.
///
/// A patch at (t, y, x) has the coordinate L = (t(2H−1) + y)(2W−1) + x, so the table row of query a and key b is
/// `L_a − L_b + centre`. The last three rows belong to class→patch, patch→class and class→class.
#[derive(Clone, Debug)]
pub struct RelativeBias<B: Backend> {
    /// `[rows, heads]`.
    pub table: Tensor<B, 2>,
    /// L of every patch token: `[1, tokens]` where all samples share them, else `[batch, tokens]`.
    pub coords: Tensor<B, 2, Int>,
    /// The table row of the difference 0.
    pub centre: usize,
}

impl<B: Backend> RelativeBias<B> {
    /// No bias at all: for attention in models without position tables.
    pub fn none(heads: usize, tokens: usize, device: &B::Device) -> Self {
        Self { table: Tensor::zeros([UNIFORM, heads], device), coords: Tensor::zeros([1, tokens], device), centre: 0 }
    }

    /// No bias, and a class token that no patch sees: for models without class token, whose place 0 then holds nothing
    /// that matters. The score of an unseen key is −1e9, whose probability vanishes.
    pub fn without_class(heads: usize, tokens: usize, device: &B::Device) -> Self {
        let rows = [0.0, 0.0, MASKED, MASKED].map(|value| vec![value; heads]).concat();
        let table = Tensor::from_data(TensorData::new(rows, [UNIFORM, heads]), device);
        Self { table, ..Self::none(heads, tokens, device) }
    }

    /// The bias of the samples `part` alone.
    pub fn slice_batch(&self, part: &std::ops::Range<usize>) -> Self {
        let coords = &self.coords;
        let shared = coords.dims()[0] == 1 || coords.dims()[0] == part.len();
        let coords = if shared { coords.clone() } else { coords.clone().narrow(0, part.start, part.len()) };
        Self { table: self.table.clone(), coords, centre: self.centre }
    }

    /// L of every patch of `frames` frames of `grid` × `grid` patches, in raster order.
    pub fn raster_coords(frames: usize, grid: usize) -> Vec<i64> {
        let side = 2 * grid - 1;
        let patch = |p: usize| ((p / (grid * grid) * side + p / grid % grid) * side + p % grid) as i64;
        (0..frames * grid * grid).map(patch).collect()
    }

    /// The table row of the difference 0 for `frames` frames of `grid` × `grid` patches.
    pub fn raster_centre(frames: usize, grid: usize) -> usize {
        let side = 2 * grid - 1;
        ((frames - 1) * side + grid - 1) * side + grid - 1
    }
}

/// Whether a table of `rows` rows has one row for all pairs of patches, so that nothing need be looked up: that of a
/// grid of one patch, or [`RelativeBias::none`].
pub(super) fn is_uniform(rows: usize) -> bool {
    rows == UNIFORM
}

#[cfg(all(test, any(feature = "ndarray", feature = "flex")))]
mod tests {
    use super::*;
    type Bias = RelativeBias<crate::testing::Reference>;

    #[test]
    fn differences_address_the_published_rows() {
        let (frames, grid) = (3, 5);
        let coords = Bias::raster_coords(frames, grid);
        let centre = Bias::raster_centre(frames, grid) as i64;
        let at = |p: usize| [p / 25, p / 5 % 5, p % 5].map(|c| c as i64);
        for (a, b) in [(0, 74), (74, 0), (31, 31), (12, 60), (49, 3)] {
            let ([ta, ya, xa], [tb, yb, xb]) = (at(a), at(b));
            let row = ((ta - tb + 2) * 9 + (ya - yb + 4)) * 9 + (xa - xb + 4);
            assert_eq!(coords[a] - coords[b] + centre, row);
        }
        assert_eq!(2 * centre + 1, 5 * 9 * 9, "the centre is the middle row");
    }
}
