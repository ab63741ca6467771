//! The CubeCL kernels of selection: ranks by comparison, then places by counting. A unit per token, no sorting, no
//! host.

use cubecl::prelude::*;

/// 1 where fewer than `k` scores of the row beat a token's, of equal ones the earlier; cubes: x tokens, y a sample.
#[cube(launch_unchecked)]
pub fn mark_kept<F: Float>(
    scores: &Array<F>,
    kept: &mut Array<u32>,
    tokens: usize,
    k: usize,
    #[define(F)] _dtype: StorageType,
) {
    let token = ABSOLUTE_POS_X as usize;
    if token >= tokens {
        terminate!();
    }
    let row = CUBE_POS_Y as usize * tokens;
    let own = scores[row + token];
    let mut ahead = 0usize;
    for other in 0..tokens {
        let score = scores[row + other];
        if score > own || (score == own && other < token) {
            ahead += 1;
        }
    }
    kept[row + token] = select(ahead < k, 1u32, 0u32);
}

/// Writes the kept tokens' positions in order: `positions` `[batch, k]`.
#[cube(launch_unchecked)]
pub fn place_kept<I: Int>(
    kept: &Array<u32>,
    positions: &mut Array<I>,
    tokens: usize,
    k: usize,
    #[define(I)] _dtype: StorageType,
) {
    let token = ABSOLUTE_POS_X as usize;
    if token >= tokens {
        terminate!();
    }
    let sample = CUBE_POS_Y as usize;
    let row = sample * tokens;
    if kept[row + token] == 1 {
        let mut place = 0usize;
        for other in 0..token {
            place += kept[row + other] as usize;
        }
        // More than k are kept where scores are not numbers.
        if place < k {
            positions[sample * k + place] = I::cast_from(token);
        }
    }
}
