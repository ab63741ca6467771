//! The kernels of the choice of blocks: means of blocks, then scores and the best of them; block lists of every sample
//! and head, and their transposes.

use super::cube_common::*;
use cubecl::prelude::*;

/// Rank of [`LOWEST`](crate::sparse::top::LOWEST), −1e38: see [`rank_of`]. No candidate's is lower.
const LOWEST_RANK: u32 = !0xFE96_7699;

/// Mean queries and mean keys of all blocks, `[2, batch, heads, M, D]`. Cubes: x a block, y a head, z a sample; units
/// take the columns of both.
#[cube(launch_unchecked)]
pub fn block_means<F: Float, N: Size>(
    qkv: &Array<Vector<F, N>>,
    means: &mut Array<Vector<f32, N>>,
    g: &Geometry,
    batch: usize,
    #[comptime] dims: usize,
    #[comptime] units: usize,
    #[define(F)] _dtype: StorageType,
) {
    let block = CUBE_POS_X as usize;
    let head = CUBE_POS_Y as usize;
    let sample = CUBE_POS_Z as usize;
    let size = size_of_block(g, block);
    let first = query_at(g, sample, head, 1 + block * g.block, dims);
    let to = ((sample * g.heads + head) * g.blocks + block) * dims;
    let mut at = UNIT_POS as usize;
    while at < 2 * dims {
        let from = first + (at / dims) * part(g, dims) + at % dims;
        let mut sum = Vector::<f32, N>::new(f32::new(0.0));
        for token in 0..size {
            sum += Vector::<f32, N>::cast_from(qkv[from + token * 3 * part(g, dims)]);
        }
        let inverse = 1.0 / f32::cast_from(size);
        means[(at / dims) * batch * g.heads * g.blocks * dims + to + at % dims] = sum * Vector::<f32, N>::new(inverse);
        at += units;
    }
}

/// A score as a number that is larger for a larger score, without rounding: integers have no NaN whose comparisons a
/// device may leave out. What is not a number, and −∞, have [`LOWEST_RANK`]; −0 and 0 are equal.
#[cube]
fn rank_of(score: f32) -> u32 {
    let bits = u32::reinterpret(score);
    let magnitude = bits & 0x7FFF_FFFFu32;
    let rank = select(bits > 0x7FFF_FFFFu32, 0x7FFF_FFFFu32 - magnitude, magnitude + 0x8000_0000u32);
    let rank = select(magnitude == 0, 0x8000_0000u32, rank);
    select(magnitude > 0x7F80_0000u32, LOWEST_RANK, max(rank, LOWEST_RANK))
}

/// The `chosen` `[batch, heads, M, count]` blocks of the highest ranks that are not among the `local` ones, of equal
/// ranks the lower block, ascending. Cubes: x query blocks, y a head, z a sample; a unit per query block, which keeps the
/// ranks of its candidates in `ranks` `[batch, heads, M, M]`.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "buffers and compile-time sizes")]
pub fn choose_blocks<N: Size, I: Int>(
    means: &Array<Vector<f32, N>>,
    ranks: &mut Array<u32>,
    chosen: &mut Array<I>,
    g: &Geometry,
    batch: usize,
    local: usize,
    count: usize,
    #[comptime] dims: usize,
    #[define(I)] _dtype: StorageType,
) {
    let block = ABSOLUTE_POS_X as usize;
    if block >= g.blocks {
        terminate!();
    }
    let head = (CUBE_POS_Z as usize) * g.heads + CUBE_POS_Y as usize;
    let own = (head * g.blocks + block) * dims;
    let keys = (batch * g.heads + head) * g.blocks * dims;
    let row = (head * g.blocks + block) * g.blocks;
    for key in 0..g.blocks {
        let mut score = Vector::<f32, N>::new(f32::new(0.0));
        for i in 0..dims {
            score += means[own + i] * means[keys + key * dims + i];
        }
        let away = max(block, key) - min(block, key);
        let near = min(away, g.blocks - away) <= local / 2;
        ranks[row + key] = select(local > 0 && near, 0u32, rank_of(lanes::<N>(score)));
    }

    // The place of the last block chosen, in the order of descending ranks and ascending blocks.
    let mut last_rank = 0xFFFF_FFFFu32;
    let mut last = 0usize;
    for pick in 0..count {
        let mut best_rank = 0u32;
        let mut best = 0usize;
        for key in 0..g.blocks {
            let rank = ranks[row + key];
            let behind = pick == 0 || rank < last_rank || (rank == last_rank && key > last);
            if behind && rank > best_rank {
                best_rank = rank;
                best = key;
            }
        }
        last_rank = best_rank;
        last = best;
    }
    let mut to = (head * g.blocks + block) * count;
    for key in 0..g.blocks {
        let rank = ranks[row + key];
        if rank > 0 && (rank > last_rank || (rank == last_rank && key <= last)) {
            chosen[to] = I::cast_from(key);
            to += 1;
        }
    }
}

/// Block lists `[2, batch·heads, M, W]` of every sample and head: the `columns` that all share, from `listed`
/// `[2, M, columns]`, then the chosen ones. A unit per place.
#[cube(launch_unchecked)]
pub fn join_lists<I: Int>(
    listed: &Array<u32>,
    chosen: &Array<I>,
    lists: &mut Array<u32>,
    g: &Geometry,
    columns: usize,
    length: usize,
    #[define(I)] _dtype: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at >= length {
        terminate!();
    }
    let slot = at % g.width;
    let row = at / g.width;
    let half = row / (g.lists * g.blocks);
    let row = row % (g.lists * g.blocks);
    if slot < columns {
        lists[at] = listed[(half * g.blocks + row % g.blocks) * columns + slot];
    } else {
        lists[at] = u32::cast_from(chosen[row * (g.width - columns) + slot - columns]);
    }
}

/// The transposes of the lists of every sample and head, `[batch·heads, M + 1 + M·W]`: offsets, then for every block the
/// places (query block · W + slot) that name it. `first` is where the lists begin: those of keys, or of values. A unit
/// per list and block.
#[cube(launch_unchecked)]
pub fn transpose_lists(lists: &Array<u32>, transposed: &mut Array<u32>, g: &Geometry, first: usize, length: usize) {
    let at = ABSOLUTE_POS;
    if at >= length {
        terminate!();
    }
    let block = at % g.blocks;
    let places = g.blocks * g.width;
    let from = first + (at / g.blocks) * places;
    let to = (at / g.blocks) * (places + g.blocks + 1);
    let mut before = 0usize;
    for place in 0..places {
        if (lists[from + place] as usize) < block {
            before += 1;
        }
    }
    if block == 0 {
        transposed[to] = 0u32;
    }
    let mut end = before;
    for place in 0..places {
        if lists[from + place] as usize == block {
            transposed[to + g.blocks + 1 + end] = place as u32;
            end += 1;
        }
    }
    transposed[to + block + 1] = end as u32;
}
