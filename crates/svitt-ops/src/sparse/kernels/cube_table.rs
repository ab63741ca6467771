//! The gradient of the bias table on devices without f32 atomics: histograms in shared memory whose bins have one
//! writer each. Deterministic, unlike atomics.
#![allow(clippy::manual_div_ceil, reason = "the kernel language takes it written out")]

use super::cube_backward::ROW;
use super::cube_common::*;
use cubecl::prelude::*;

/// Adds the score gradients of patch queries and keys up by table row, into `partial` `[chunks, heads, R]`.
///
/// Cubes: x a window of `bins` rows, y a head, z a chunk of the (sample, run of queries) pairs. A tile's score
/// gradients and rows go to shared memory; then unit u adds up those whose row is u modulo `units`.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "buffers and compile-time sizes")]
pub fn table_histogram<F: Float, N: Size>(
    qkv: &Array<Vector<F, N>>,
    table: &Array<f32>,
    coords: &Array<i32>,
    lists: &Array<u32>,
    grad: &Array<Vector<F, N>>,
    rows: &Array<f32>,
    partial: &mut Array<f32>,
    g: &Geometry,
    batch: usize,
    #[comptime] dims: usize,
    #[comptime] units: usize,
    #[comptime] tile: usize,
    #[comptime] bins: usize,
    #[define(F)] _dtype: StorageType,
) {
    let low = CUBE_POS_X as usize * bins;
    let head = CUBE_POS_Y as usize;
    let unit = UNIT_POS as usize;
    let biases = head * g.rows;
    let mut histogram = SharedMemory::<f32>::new(bins);
    let mut keys = SharedMemory::<Vector<f32, N>>::new(comptime!(tile * dims));
    let mut values = SharedMemory::<Vector<f32, N>>::new(comptime!(tile * dims));
    let mut places = SharedMemory::<i32>::new(tile);
    let mut d_scores = SharedMemory::<f32>::new(comptime!(tile * units));
    let mut d_rows = SharedMemory::<u32>::new(comptime!(tile * units));
    let mut query = Array::<Vector<f32, N>>::new(dims);
    let mut d_out = Array::<Vector<f32, N>>::new(dims);
    let mut bin = unit;
    while bin < bins {
        histogram[bin] = f32::new(0.0);
        bin += units;
    }
    let runs = g.blocks * ((g.block + units - 1) / units);
    let mut pair = CUBE_POS_Z as usize;
    while pair < runs * batch {
        let run = run_at(g, pair % runs, head, pair / runs, units);
        let token = run.block * g.block + run.offset + min(unit, less(run.length, 1));
        let token = min(token, g.tokens - 1);
        let stride = 3 * part(g, dims);
        let own = query_at(g, run.sample, head, 1 + token, dims);
        let grad_from = output_at(g, run.sample, head, 1 + token, dims);
        let coords_from = coords_at(g, run.sample);
        let coord = coords[coords_from + token];
        let row = row_at(g, run.sample, head, 1 + token) * ROW;
        let lse = rows[row];
        let delta = rows[row + 1];
        #[unroll]
        for i in 0..dims {
            query[i] = Vector::<f32, N>::cast_from(qkv[own + i]) * Vector::<f32, N>::new(g.scale);
            d_out[i] = Vector::<f32, N>::cast_from(grad[grad_from + i]);
        }
        let seen = list_at(g, run.sample, head, run.block);
        for slot in 0..g.width {
            let key_block = lists[seen + slot] as usize;
            let value_block = lists[seen + values_after_keys(g) + slot] as usize;
            let real_keys = size_of_block(g, key_block);
            // Padded keys go to a special row, which the query gradients' kernel has done.
            let columns = size_of_block(g, value_block);
            let mut start = 0usize;
            while start < columns {
                let count = min(columns - start, tile);
                let key_from = query_at(g, run.sample, head, 1 + key_block * g.block + start, dims) + part(g, dims);
                let value_from =
                    query_at(g, run.sample, head, 1 + value_block * g.block + start, dims) + 2 * part(g, dims);
                sync_cube();
                copy_rows::<F, N>(qkv, &mut keys, key_from, stride, less(real_keys, start), count, 1.0, dims, units);
                copy_rows::<F, N>(qkv, &mut values, value_from, stride, count, count, 1.0, dims, units);
                copy_coords(
                    coords,
                    &mut places,
                    coords_from + value_block * g.block + start,
                    count,
                    count,
                    g.padding,
                    units,
                );
                sync_cube();
                for j in 0..count {
                    let at = table_row(g, coord, places[j]);
                    let mut d_score = f32::new(0.0);
                    let mut d_row = comptime!(bins as u32).runtime();
                    if unit < run.length && at >= low && at < low + bins {
                        let weight = (product::<N>(&query, &keys, j, dims) + table[biases + at] - lse).exp();
                        d_score = weight * (product::<N>(&d_out, &values, j, dims) - delta);
                        d_row = u32::cast_from(at - low);
                    }
                    d_scores[j * units + unit] = d_score;
                    d_rows[j * units + unit] = d_row;
                }
                sync_cube();
                for e in 0..count * units {
                    let d_row = d_rows[e] as usize;
                    if d_row < bins && d_row % units == unit {
                        histogram[d_row] += d_scores[e];
                    }
                }
                start += tile;
            }
        }
        pair += CUBE_COUNT_Z as usize;
    }
    // A bin belongs to one unit from the first addition to this copy.
    let mut bin = unit;
    while bin < bins {
        if low + bin < g.rows {
            partial[(CUBE_POS_Z as usize * g.heads + head) * g.rows + low + bin] = histogram[bin];
        }
        bin += units;
    }
}
