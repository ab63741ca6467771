//! The CubeCL kernels that take rows out of sequences and put them back. A unit per vector of a row taken.

use cubecl::prelude::*;

/// The rows at `positions` `[batch, k]` of `x` `[batch, tokens, d]`; `d` in vectors, `length` vectors in all.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "buffers and sizes")]
pub fn take<F: Float, I: Int, N: Size>(
    x: &Array<Vector<F, N>>,
    positions: &Array<I>,
    rows: &mut Array<Vector<F, N>>,
    tokens: usize,
    k: usize,
    d: usize,
    length: usize,
    #[define(F, I)] _dtypes: [StorageType; 2],
) {
    if ABSOLUTE_POS >= length {
        terminate!();
    }
    rows[ABSOLUTE_POS] = x[place::<I>(positions, tokens, k, d)];
}

/// `rows` `[batch, k, d]` at `positions` of `x` `[batch, tokens, d]`, whose other rows stay.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "buffers and sizes")]
pub fn put<F: Float, I: Int, N: Size>(
    rows: &Array<Vector<F, N>>,
    positions: &Array<I>,
    x: &mut Array<Vector<F, N>>,
    tokens: usize,
    k: usize,
    d: usize,
    length: usize,
    #[define(F, I)] _dtypes: [StorageType; 2],
) {
    if ABSOLUTE_POS >= length {
        terminate!();
    }
    x[place::<I>(positions, tokens, k, d)] = rows[ABSOLUTE_POS];
}

/// Where the unit's vector lies in the whole sequence.
#[cube]
fn place<I: Int>(positions: &Array<I>, tokens: usize, k: usize, d: usize) -> usize {
    let row = ABSOLUTE_POS / d;
    let token = usize::cast_from(positions[row]);
    (row / k * tokens + token) * d + ABSOLUTE_POS % d
}
