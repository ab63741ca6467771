//! The forward of the patch rows on tensor cores.

use super::cube_common::*;
use super::cube_tiles::*;
use cubecl::prelude::*;

/// Rows of patch queries, as [`patch_rows`](super::cube_forward::patch_rows), with products of `F` by tensor cores.
///
/// The online softmax starts from the class token's score; sums pass through shared memory to be rescaled only where a
/// row of the plane meets a score more than [`RESCALE_MARGIN`] above its reference.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "buffers and compile-time sizes")]
pub fn patch_rows_by_tiles<F: Float, N: Size>(
    qkv: &Array<Vector<F, N>>,
    table: &Array<f32>,
    coords: &Array<i32>,
    lists: &Array<u32>,
    out: &mut Array<Vector<F, N>>,
    lse: &mut Array<f32>,
    g: &Geometry,
    #[comptime] padding: bool,
    #[comptime] tiles: Tiles,
    #[define(F)] _dtype: StorageType,
) {
    let dims = comptime!(tiles.dims());
    let units = comptime!(tiles.units);
    let run = run_at(g, CUBE_POS_X as usize, CUBE_POS_Y as usize, CUBE_POS_Z as usize, units);
    if run.length == 0 {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let plane = unit / ROWS;
    let first = run.block * g.block + run.offset;
    let token = first + min(unit, run.length - 1);
    let stride = 3 * part(g, dims);
    let class = query_at(g, run.sample, run.head, 0, dims);
    let coords_from = coords_at(g, run.sample);
    let coord = coords[coords_from + token];
    let biases = run.head * g.rows;

    let mut queries = SharedMemory::<Vector<F, N>>::new_aligned(comptime!(tiles.operand(units)), ALIGNED);
    let mut keys = SharedMemory::<Vector<F, N>>::new_aligned(comptime!(tiles.operand(TILE)), ALIGNED);
    let mut values = SharedMemory::<Vector<F, N>>::new_aligned(comptime!(tiles.operand(TILE)), ALIGNED);
    let mut scores = SharedMemory::<f32>::new_aligned(comptime!(units * SCORES), ALIGNED);
    let mut weights = SharedMemory::<F>::new_aligned(comptime!(units * WEIGHTS), ALIGNED);
    let mut places = SharedMemory::<i32>::new(TILE);
    let from = query_at(g, run.sample, run.head, 1 + first, dims);
    copy_operand::<F, N>(qkv, &mut queries, from, stride, run.length, units, tiles);
    sync_cube();

    // The class token is the first key: it sets the reference of the softmax. Its value is added at the end.
    let class_score = row_product::<F, N>(&queries, unit, qkv, class + part(g, dims), tiles);
    let mut reference = class_score * g.scale + table[biases + g.rows - 2];
    let mut sum = f32::new(1.0);
    let mut class_weight = f32::new(1.0);
    let sums = zero_sums(tiles);
    let seen = list_at(g, run.sample, run.head, run.block);
    for slot in 0..g.width {
        let key_block = lists[seen + slot] as usize;
        let value_block = lists[seen + values_after_keys(g) + slot] as usize;
        let real_keys = size_of_block(g, key_block);
        let real_values = size_of_block(g, value_block);
        let columns = if comptime!(padding) { g.block } else { real_values };
        let mut start = 0usize;
        while start < columns {
            let count = min(columns - start, TILE);
            let key_from = query_at(g, run.sample, run.head, 1 + key_block * g.block + start, dims) + part(g, dims);
            let value_from =
                query_at(g, run.sample, run.head, 1 + value_block * g.block + start, dims) + 2 * part(g, dims);
            sync_cube();
            copy_operand::<F, N>(qkv, &mut keys, key_from, stride, less(real_keys, start), TILE, tiles);
            copy_operand::<F, N>(qkv, &mut values, value_from, stride, less(real_values, start), TILE, tiles);
            let from = coords_from + value_block * g.block + start;
            copy_coords(coords, &mut places, from, less(real_values, start), TILE, g.padding, units);
            sync_cube();
            score_tile::<F, N>(&queries, &keys, &mut scores, plane, tiles);
            sync_plane();

            let mut top = reference;
            for j in 0..TILE {
                let column = column_of(unit, j);
                if column < count {
                    let at = unit * SCORES + column;
                    let score = scores[at] * g.scale + table[biases + table_row(g, coord, places[column])];
                    scores[at] = score;
                    top = max(top, score);
                }
            }
            let mut shrink = f32::new(1.0);
            if top > reference + RESCALE_MARGIN {
                shrink = (reference - top).exp();
                sum *= shrink;
                class_weight *= shrink;
                reference = top;
            }
            for j in 0..TILE {
                let column = column_of(unit, j);
                let mut weight = f32::new(0.0);
                if column < count {
                    weight = (scores[unit * SCORES + column] - reference).exp();
                }
                sum += weight;
                weights[unit * WEIGHTS + column] = F::cast_from(weight);
            }
            if plane_any(shrink < f32::new(1.0)) {
                scale_rows(&sums, &mut scores, shrink, plane, tiles);
            }
            sync_plane();
            add_product::<F, N>(&weights, &values, &sums, plane, tiles);
            start += TILE;
        }
    }
    let inverse = 1.0 / sum;
    let to = output_at(g, run.sample, run.head, 1 + token, dims);
    #[unroll]
    for n in 0..comptime!(tiles.across()) {
        spill(&sums, &mut scores, plane, n, tiles);
        #[unroll]
        for v in 0..comptime!(SIDE / tiles.vector) {
            let at = comptime!(n * SIDE / tiles.vector + v);
            let value = Vector::<f32, N>::cast_from(qkv[class + 2 * part(g, dims) + at]);
            let mut row = value * Vector::<f32, N>::new(class_weight);
            row += row_part::<N>(&scores, unit * SCORES + comptime!(v * tiles.vector));
            if unit < run.length {
                out[to + at] = Vector::<F, N>::cast_from(row * Vector::<f32, N>::new(inverse));
            }
        }
    }
    if unit < run.length {
        lse[row_at(g, run.sample, run.head, 1 + token)] = reference + sum.ln();
    }
}
