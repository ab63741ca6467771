//! The order patch tokens stand in before layer 0: raster, or along a space-filling curve of (t, y, x)
//! (docs/model.md, "Token order").

use burn::serde::{Deserialize, Serialize};

/// The order patch tokens stand in before layer 0; blocks are consecutive positions of it
/// (docs/model.md, "Token order").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "lowercase")]
pub enum TokenOrder {
    /// Frame by frame, row by row.
    #[default]
    Raster,
    /// Along the z-curve (Morton order) of (t, y, x).
    ZCurve,
    /// Along the Hilbert curve of (t, y, x).
    Hilbert,
}

/// The permutation of the patches of `frames` × `grid` × `grid`: place i holds patch `order[i]`.
pub fn token_order(order: TokenOrder, frames: usize, grid: usize) -> Vec<usize> {
    let mut patches: Vec<usize> = (0..frames * grid * grid).collect();
    let bits = usize::BITS - frames.max(grid).leading_zeros();
    let at = |p: usize| [p / (grid * grid), p / grid % grid, p % grid].map(|c| c as u64);
    match order {
        TokenOrder::Raster => {}
        TokenOrder::ZCurve => patches.sort_by_key(|&p| z_key(at(p), bits)),
        TokenOrder::Hilbert => patches.sort_by_key(|&p| hilbert_key(at(p), bits)),
    }
    patches
}

/// Interleaves the bits of t, y and x, t least significant.
fn z_key(at: [u64; 3], bits: u32) -> u64 {
    (0..bits)
        .flat_map(|j| (0..3).map(move |axis| (j, axis)))
        .fold(0, |key, (j, axis)| key | (at[axis] >> j & 1) << (3 * j + axis as u32))
}

/// The distance along the Hilbert curve, by Skilling's transpose form.
fn hilbert_key(mut x: [u64; 3], bits: u32) -> u64 {
    let mut q = 1u64 << (bits - 1);
    while q > 1 {
        let low = q - 1;
        for axis in 0..3 {
            if x[axis] & q != 0 {
                x[0] ^= low;
            } else {
                let swap = (x[0] ^ x[axis]) & low;
                x[0] ^= swap;
                x[axis] ^= swap;
            }
        }
        q >>= 1;
    }
    x[1] ^= x[0];
    x[2] ^= x[1];
    let mut flip = 0;
    let mut q = 1u64 << (bits - 1);
    while q > 1 {
        if x[2] & q != 0 {
            flip ^= q - 1;
        }
        q >>= 1;
    }
    x.iter_mut().for_each(|axis| *axis ^= flip);
    (0..bits)
        .rev()
        .flat_map(|j| (0..3).map(move |axis| (j, axis)))
        .fold(0, |key, (j, axis)| key << 1 | (x[axis] >> j & 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_a_permutation() {
        for order in [TokenOrder::Raster, TokenOrder::ZCurve, TokenOrder::Hilbert] {
            for (frames, grid) in [(4, 4), (3, 5), (8, 2), (1, 7)] {
                let mut patches = token_order(order, frames, grid);
                patches.sort_unstable();
                assert_eq!(patches, (0..frames * grid * grid).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn neighbours_on_the_hilbert_curve_are_neighbours_in_space() {
        let at = |p: usize| [p / 64, p / 8 % 8, p % 8].map(|c| c as i64);
        for pair in token_order(TokenOrder::Hilbert, 8, 8).windows(2) {
            let (a, b) = (at(pair[0]), at(pair[1]));
            assert_eq!((0..3).map(|i| (a[i] - b[i]).abs()).sum::<i64>(), 1, "{a:?} {b:?}");
        }
    }

    #[test]
    fn time_is_the_fastest_axis_of_the_z_curve() {
        assert_eq!(token_order(TokenOrder::ZCurve, 2, 2), [0, 4, 2, 6, 1, 5, 3, 7]);
    }
}
