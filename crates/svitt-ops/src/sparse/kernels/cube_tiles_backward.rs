//! The backward of the patch rows on tensor cores. Probabilities are recomputed in f32 from the log-sum-exp; what is
//! multiplied by tensor cores, they and the gradients of scores, is rounded to `F`.
#![allow(clippy::collapsible_else_if, clippy::collapsible_if, reason = "the kernel language takes it written out")]

use super::cube_backward::ROW;
use super::cube_common::*;
use super::cube_tiles::*;
use cubecl::prelude::*;

/// Gradients of the patch queries, as [`query_gradients`](super::cube_backward::query_gradients).
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "buffers and compile-time sizes")]
pub fn query_gradients_by_tiles<F: Float, T: Numeric, N: Size>(
    qkv: &Array<Vector<F, N>>,
    table: &Array<f32>,
    coords: &Array<i32>,
    lists: &Array<u32>,
    grad: &Array<Vector<F, N>>,
    rows: &mut Array<f32>,
    d_qkv: &mut Array<Vector<F, N>>,
    d_table: &mut Array<Atomic<T>>,
    g: &Geometry,
    #[comptime] atomics: bool,
    #[comptime] padding: bool,
    #[comptime] tiles: Tiles,
    #[define(F, T)] _dtypes: [StorageType; 2],
) {
    let dims = comptime!(tiles.dims());
    let units = comptime!(tiles.units);
    let run = run_at(g, CUBE_POS_X as usize, CUBE_POS_Y as usize, CUBE_POS_Z as usize, units);
    if run.length == 0 {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let active = unit < run.length;
    let plane = unit / ROWS;
    let first = run.block * g.block + run.offset;
    let token = first + min(unit, run.length - 1);
    let stride = 3 * part(g, dims);
    let class = query_at(g, run.sample, run.head, 0, dims);
    let own = query_at(g, run.sample, run.head, 1 + token, dims);
    let coords_from = coords_at(g, run.sample);
    let coord = coords[coords_from + token];
    let biases = run.head * g.rows;
    let row = row_at(g, run.sample, run.head, 1 + token) * ROW;
    let lse = rows[row];
    let delta = rows[row + 1];

    let mut queries = SharedMemory::<Vector<F, N>>::new_aligned(comptime!(tiles.operand(units)), ALIGNED);
    let mut d_outs = SharedMemory::<Vector<F, N>>::new_aligned(comptime!(tiles.operand(units)), ALIGNED);
    let mut keys = SharedMemory::<Vector<F, N>>::new_aligned(comptime!(tiles.operand(TILE)), ALIGNED);
    let mut values = SharedMemory::<Vector<F, N>>::new_aligned(comptime!(tiles.operand(TILE)), ALIGNED);
    let mut scores = SharedMemory::<f32>::new_aligned(comptime!(units * SCORES), ALIGNED);
    let mut d_weights = SharedMemory::<f32>::new_aligned(comptime!(units * SCORES), ALIGNED);
    let mut d_scores = SharedMemory::<F>::new_aligned(comptime!(units * WEIGHTS), ALIGNED);
    let mut places = SharedMemory::<i32>::new(TILE);
    let from = query_at(g, run.sample, run.head, 1 + first, dims);
    let grad_from = output_at(g, run.sample, run.head, 1 + first, dims);
    copy_operand::<F, N>(qkv, &mut queries, from, stride, run.length, units, tiles);
    copy_operand::<F, N>(grad, &mut d_outs, grad_from, part(g, dims), run.length, units, tiles);
    sync_cube();

    let class_score = row_product::<F, N>(&queries, unit, qkv, class + part(g, dims), tiles) * g.scale;
    let d_weight = row_product::<F, N>(&d_outs, unit, qkv, class + 2 * part(g, dims), tiles);
    let class_d_score = (class_score + table[biases + g.rows - 2] - lse).exp() * (d_weight - delta);
    let mut special = class_d_score;
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
            score_tile::<F, N>(&d_outs, &values, &mut d_weights, plane, tiles);
            sync_plane();
            for j in 0..TILE {
                let column = column_of(unit, j);
                let mut d_score = f32::new(0.0);
                if column < count {
                    let at = table_row(g, coord, places[column]);
                    let score = scores[unit * SCORES + column] * g.scale + table[biases + at];
                    d_score = (score - lse).exp() * (d_weights[unit * SCORES + column] - delta);
                    if places[column] == g.padding {
                        special += d_score;
                    } else if comptime!(atomics) {
                        if active {
                            d_table[biases + at].fetch_add(T::cast_from(d_score));
                        }
                    }
                }
                d_scores[unit * WEIGHTS + column] = F::cast_from(d_score);
            }
            sync_plane();
            add_product::<F, N>(&d_scores, &keys, &sums, plane, tiles);
            start += TILE;
        }
    }
    #[unroll]
    for n in 0..comptime!(tiles.across()) {
        spill(&sums, &mut scores, plane, n, tiles);
        #[unroll]
        for v in 0..comptime!(SIDE / tiles.vector) {
            let at = comptime!(n * SIDE / tiles.vector + v);
            let key = Vector::<f32, N>::cast_from(qkv[class + part(g, dims) + at]);
            let mut sum = key * Vector::<f32, N>::new(class_d_score);
            sum += row_part::<N>(&scores, unit * SCORES + comptime!(v * tiles.vector));
            if active {
                d_qkv[own + at] = Vector::<F, N>::cast_from(sum * Vector::<f32, N>::new(g.scale));
            }
        }
    }
    if active {
        rows[row + 2] = special;
    }
}

/// Gradients of the patch keys and values where both are taken from the same blocks. Cubes as in
/// [`key_gradients`](super::cube_backward::key_gradients); unit u owns key and value u.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "buffers and compile-time sizes")]
pub fn key_value_gradients_by_tiles<F: Float, N: Size>(
    qkv: &Array<Vector<F, N>>,
    table: &Array<f32>,
    coords: &Array<i32>,
    transposed: &Array<u32>,
    grad: &Array<Vector<F, N>>,
    rows: &Array<f32>,
    d_qkv: &mut Array<Vector<F, N>>,
    g: &Geometry,
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
    let class_out = output_at(g, run.sample, run.head, 0, dims);
    let own = query_at(g, run.sample, run.head, 1 + token, dims);
    let coords_from = coords_at(g, run.sample);
    let coord = coords[coords_from + token];
    let biases = run.head * g.rows;

    let mut keys = SharedMemory::<Vector<F, N>>::new_aligned(comptime!(tiles.operand(units)), ALIGNED);
    let mut values = SharedMemory::<Vector<F, N>>::new_aligned(comptime!(tiles.operand(units)), ALIGNED);
    let mut queries = SharedMemory::<Vector<F, N>>::new_aligned(comptime!(tiles.operand(TILE)), ALIGNED);
    let mut d_outs = SharedMemory::<Vector<F, N>>::new_aligned(comptime!(tiles.operand(TILE)), ALIGNED);
    let mut scores = SharedMemory::<f32>::new_aligned(comptime!(units * SCORES), ALIGNED);
    let mut d_weights = SharedMemory::<f32>::new_aligned(comptime!(units * SCORES), ALIGNED);
    let mut weights = SharedMemory::<F>::new_aligned(comptime!(units * WEIGHTS), ALIGNED);
    let mut places = SharedMemory::<i32>::new(TILE);
    let mut saved = SharedMemory::<f32>::new(comptime!(TILE * 2));
    let from = query_at(g, run.sample, run.head, 1 + first, dims);
    copy_operand::<F, N>(qkv, &mut keys, from + part(g, dims), stride, run.length, units, tiles);
    copy_operand::<F, N>(qkv, &mut values, from + 2 * part(g, dims), stride, run.length, units, tiles);
    sync_cube();

    // The class query sees every token.
    let class_at = row_at(g, run.sample, run.head, 0) * ROW;
    let class_score = row_product::<F, N>(&keys, unit, qkv, class, tiles) * g.scale;
    let d_weight = row_product::<F, N>(&values, unit, grad, class_out, tiles);
    let class_weight = (class_score + table[biases + g.rows - 3] - rows[class_at]).exp();
    let class_d_score = class_weight * (d_weight - rows[class_at + 1]);

    let d_keys = zero_sums(tiles);
    let d_values = zero_sums(tiles);
    let own_lists = transposed_at(g, run.sample, run.head);
    let begin = transposed[own_lists + run.block] as usize;
    let end = transposed[own_lists + run.block + 1] as usize;
    for entry in begin..end {
        let query_block = transposed[own_lists + g.blocks + 1 + entry] as usize / g.width;
        let size = size_of_block(g, query_block);
        let mut start = 0usize;
        while start < size {
            let count = min(size - start, TILE);
            let patch = query_block * g.block + start;
            let query_from = query_at(g, run.sample, run.head, 1 + patch, dims);
            let grad_from = output_at(g, run.sample, run.head, 1 + patch, dims);
            sync_cube();
            copy_operand::<F, N>(qkv, &mut queries, query_from, stride, count, TILE, tiles);
            copy_operand::<F, N>(grad, &mut d_outs, grad_from, part(g, dims), count, TILE, tiles);
            copy_coords(coords, &mut places, coords_from + patch, count, TILE, g.padding, units);
            let mut at = unit;
            while at < count {
                let row = row_at(g, run.sample, run.head, 1 + patch + at) * ROW;
                saved[at * 2] = rows[row];
                saved[at * 2 + 1] = rows[row + 1];
                at += units;
            }
            sync_cube();
            score_tile::<F, N>(&keys, &queries, &mut scores, plane, tiles);
            score_tile::<F, N>(&values, &d_outs, &mut d_weights, plane, tiles);
            sync_plane();
            for j in 0..TILE {
                let column = column_of(unit, j);
                let mut weight = f32::new(0.0);
                if column < count {
                    let score = scores[unit * SCORES + column] * g.scale;
                    let bias = table[biases + table_row(g, places[column], coord)];
                    weight = (score + bias - saved[column * 2]).exp();
                }
                scores[unit * SCORES + column] = weight;
                weights[unit * WEIGHTS + column] = F::cast_from(weight);
            }
            sync_plane();
            add_product::<F, N>(&weights, &d_outs, &d_values, plane, tiles);
            sync_plane();
            for j in 0..TILE {
                let column = column_of(unit, j);
                let mut d_score = f32::new(0.0);
                if column < count {
                    let at = unit * SCORES + column;
                    d_score = scores[at] * (d_weights[at] - saved[column * 2 + 1]);
                }
                weights[unit * WEIGHTS + column] = F::cast_from(d_score);
            }
            sync_plane();
            add_product::<F, N>(&weights, &queries, &d_keys, plane, tiles);
            start += TILE;
        }
    }
    #[unroll]
    for n in 0..comptime!(tiles.across()) {
        spill(&d_keys, &mut scores, plane, n, tiles);
        spill(&d_values, &mut d_weights, plane, n, tiles);
        #[unroll]
        for v in 0..comptime!(SIDE / tiles.vector) {
            let at = comptime!(n * SIDE / tiles.vector + v);
            let from = unit * SCORES + comptime!(v * tiles.vector);
            let mut d_key = Vector::<f32, N>::cast_from(qkv[class + at]) * Vector::<f32, N>::new(class_d_score);
            let mut d_value = Vector::<f32, N>::cast_from(grad[class_out + at]) * Vector::<f32, N>::new(class_weight);
            d_key += row_part::<N>(&scores, from);
            d_value += row_part::<N>(&d_weights, from);
            if unit < run.length {
                d_qkv[own + part(g, dims) + at] = Vector::<F, N>::cast_from(d_key * Vector::<f32, N>::new(g.scale));
                d_qkv[own + 2 * part(g, dims) + at] = Vector::<F, N>::cast_from(d_value);
            }
        }
    }
}
