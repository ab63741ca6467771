//! The backward kernels of the patch rows. Probabilities are recomputed from the log-sum-exp; every gradient has one
//! writer, so nothing but the bias table is ever added to from two cubes.
#![allow(clippy::collapsible_else_if, clippy::collapsible_if, reason = "the kernel language takes it written out")]

use super::cube_common::*;
use cubecl::prelude::*;

/// Values per row in `rows`: log-sum-exp, Σ out·grad, and the gradient its scores leave on a special table row.
pub const ROW: usize = 3;

/// Fills `rows` `[batch, heads, S, ROW]`. A unit per row.
#[cube(launch_unchecked)]
pub fn row_sums<F: Float, N: Size>(
    out: &Array<Vector<F, N>>,
    grad: &Array<Vector<F, N>>,
    lse: &Array<f32>,
    rows: &mut Array<f32>,
    g: &Geometry,
    #[comptime] dims: usize,
    #[define(F)] _dtype: StorageType,
) {
    let token = ABSOLUTE_POS_X as usize;
    let head = CUBE_POS_Y as usize;
    let sample = CUBE_POS_Z as usize;
    if token > g.tokens {
        terminate!();
    }
    let from = output_at(g, sample, head, token, dims);
    let mut sum = Vector::<f32, N>::new(f32::new(0.0));
    for i in 0..dims {
        sum += Vector::<f32, N>::cast_from(out[from + i]) * Vector::<f32, N>::cast_from(grad[from + i]);
    }
    let row = row_at(g, sample, head, token);
    rows[row * ROW] = lse[row];
    rows[row * ROW + 1] = lanes::<N>(sum);
    rows[row * ROW + 2] = f32::new(0.0);
}

/// Gradients of the patch queries; with `atomics` those of the bias table `[heads, R]` too, and `T` is f32 (without,
/// any type the device knows: nothing is written). What padded keys and the class key leave on patch→class goes to the
/// third value of each row. Cubes as in the forward.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "buffers and compile-time sizes")]
pub fn query_gradients<F: Float, T: Numeric, N: Size>(
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
    #[comptime] dims: usize,
    #[comptime] units: usize,
    #[comptime] tile: usize,
    #[define(F, T)] _dtypes: [StorageType; 2],
) {
    let run = run_at(g, CUBE_POS_X as usize, CUBE_POS_Y as usize, CUBE_POS_Z as usize, units);
    if run.length == 0 {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let active = unit < run.length;
    let token = run.block * g.block + run.offset + min(unit, run.length - 1);
    let stride = 3 * part(g, dims);
    let class = query_at(g, run.sample, run.head, 0, dims);
    let own = query_at(g, run.sample, run.head, 1 + token, dims);
    let grad_from = output_at(g, run.sample, run.head, 1 + token, dims);
    let coords_from = coords_at(g, run.sample);
    let coord = coords[coords_from + token];
    let biases = run.head * g.rows;
    let row = row_at(g, run.sample, run.head, 1 + token) * ROW;
    let lse = rows[row];
    let delta = rows[row + 1];

    let mut query = Array::<Vector<f32, N>>::new(dims);
    let mut d_out = Array::<Vector<f32, N>>::new(dims);
    let mut d_query = Array::<Vector<f32, N>>::new(dims);
    let mut score = Vector::<f32, N>::new(f32::new(0.0));
    let mut d_weight = Vector::<f32, N>::new(f32::new(0.0));
    #[unroll]
    for i in 0..dims {
        query[i] = Vector::<f32, N>::cast_from(qkv[own + i]) * Vector::<f32, N>::new(g.scale);
        d_out[i] = Vector::<f32, N>::cast_from(grad[grad_from + i]);
        score += query[i] * Vector::<f32, N>::cast_from(qkv[class + part(g, dims) + i]);
        d_weight += d_out[i] * Vector::<f32, N>::cast_from(qkv[class + 2 * part(g, dims) + i]);
    }
    let weight = (lanes::<N>(score) + table[biases + g.rows - 2] - lse).exp();
    let mut special = weight * (lanes::<N>(d_weight) - delta);
    #[unroll]
    for i in 0..dims {
        d_query[i] = Vector::<f32, N>::new(special) * Vector::<f32, N>::cast_from(qkv[class + part(g, dims) + i]);
    }

    let mut keys = SharedMemory::<Vector<f32, N>>::new(comptime!(tile * dims));
    let mut values = SharedMemory::<Vector<f32, N>>::new(comptime!(tile * dims));
    let mut places = SharedMemory::<i32>::new(tile);
    let seen = list_at(g, run.sample, run.head, run.block);
    for slot in 0..g.width {
        let key_block = lists[seen + slot] as usize;
        let value_block = lists[seen + values_after_keys(g) + slot] as usize;
        let real_keys = size_of_block(g, key_block);
        let real_values = size_of_block(g, value_block);
        let columns = if comptime!(padding) { g.block } else { real_values };
        let mut start = 0usize;
        while start < columns {
            let count = min(columns - start, tile);
            let key_from = query_at(g, run.sample, run.head, 1 + key_block * g.block + start, dims) + part(g, dims);
            let value_from =
                query_at(g, run.sample, run.head, 1 + value_block * g.block + start, dims) + 2 * part(g, dims);
            sync_cube();
            copy_rows::<F, N>(qkv, &mut keys, key_from, stride, less(real_keys, start), count, 1.0, dims, units);
            copy_rows::<F, N>(qkv, &mut values, value_from, stride, less(real_values, start), count, 1.0, dims, units);
            let from = coords_from + value_block * g.block + start;
            copy_coords(coords, &mut places, from, less(real_values, start), count, g.padding, units);
            sync_cube();
            for j in 0..count {
                let at = table_row(g, coord, places[j]);
                let weight = (product::<N>(&query, &keys, j, dims) + table[biases + at] - lse).exp();
                let d_score = weight * (product::<N>(&d_out, &values, j, dims) - delta);
                accumulate::<N>(&mut d_query, &keys, j, d_score, dims);
                if places[j] == g.padding {
                    special += d_score;
                } else if comptime!(atomics) {
                    if active {
                        d_table[biases + at].fetch_add(T::cast_from(d_score));
                    }
                }
            }
            start += tile;
        }
    }
    if active {
        #[unroll]
        for i in 0..dims {
            d_qkv[own + i] = Vector::<F, N>::cast_from(d_query[i] * Vector::<f32, N>::new(g.scale));
        }
        rows[row + 2] = special;
    }
}

/// Gradients of the patch keys, or with `of_values` of the values. Cubes: x a run of `units` keys of one block, y a
/// head, z a sample; unit u owns key u and meets every query that sees it, the class query first.
///
/// `transposed` `[lists, M + 1 + M·W]`: where each key block's places (query block · W + slot) begin, then the places.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "buffers and compile-time sizes")]
pub fn key_gradients<F: Float, N: Size>(
    qkv: &Array<Vector<F, N>>,
    table: &Array<f32>,
    coords: &Array<i32>,
    lists: &Array<u32>,
    transposed: &Array<u32>,
    grad: &Array<Vector<F, N>>,
    rows: &Array<f32>,
    d_qkv: &mut Array<Vector<F, N>>,
    g: &Geometry,
    #[comptime] of_values: bool,
    #[comptime] dims: usize,
    #[comptime] units: usize,
    #[comptime] tile: usize,
    #[define(F)] _dtype: StorageType,
) {
    let run = run_at(g, CUBE_POS_X as usize, CUBE_POS_Y as usize, CUBE_POS_Z as usize, units);
    if run.length == 0 {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let offset = run.offset + min(unit, run.length - 1);
    let token = run.block * g.block + offset;
    let stride = 3 * part(g, dims);
    let out_stride = part(g, dims);
    let class = query_at(g, run.sample, run.head, 0, dims);
    let class_out = output_at(g, run.sample, run.head, 0, dims);
    let own = query_at(g, run.sample, run.head, 1 + token, dims);
    let coords_from = coords_at(g, run.sample);
    let biases = run.head * g.rows;

    // The class query sees every token.
    let mut key = Array::<Vector<f32, N>>::new(dims);
    let mut value = Array::<Vector<f32, N>>::new(dims);
    let mut gradient = Array::<Vector<f32, N>>::new(dims);
    let mut score = Vector::<f32, N>::new(f32::new(0.0));
    let mut d_weight = Vector::<f32, N>::new(f32::new(0.0));
    #[unroll]
    for i in 0..dims {
        key[i] = Vector::<f32, N>::cast_from(qkv[own + part(g, dims) + i]);
        score += key[i] * Vector::<f32, N>::cast_from(qkv[class + i]);
        if comptime!(!of_values) {
            value[i] = Vector::<f32, N>::cast_from(qkv[own + 2 * part(g, dims) + i]);
            d_weight += value[i] * Vector::<f32, N>::cast_from(grad[class_out + i]);
        }
    }
    let class_at = row_at(g, run.sample, run.head, 0) * ROW;
    let weight = (lanes::<N>(score) * g.scale + table[biases + g.rows - 3] - rows[class_at]).exp();
    let d_score = weight * (lanes::<N>(d_weight) - rows[class_at + 1]) * g.scale;
    #[unroll]
    for i in 0..dims {
        if comptime!(of_values) {
            gradient[i] = Vector::<f32, N>::new(weight) * Vector::<f32, N>::cast_from(grad[class_out + i]);
        } else {
            gradient[i] = Vector::<f32, N>::new(d_score) * Vector::<f32, N>::cast_from(qkv[class + i]);
        }
    }

    let mut queries = SharedMemory::<Vector<f32, N>>::new(comptime!(tile * dims));
    let mut d_outs = SharedMemory::<Vector<f32, N>>::new(comptime!(tile * dims));
    let mut places = SharedMemory::<i32>::new(tile);
    let mut sums = SharedMemory::<f32>::new(comptime!(tile * 2));
    let own_lists = transposed_at(g, run.sample, run.head);
    let first = transposed[own_lists + run.block] as usize;
    let last = transposed[own_lists + run.block + 1] as usize;
    // The token whose value (or key, in the gradient of values) is in the registers.
    let mut loaded = token;
    for entry in first..last {
        let place = transposed[own_lists + g.blocks + 1 + entry] as usize;
        let query_block = place / g.width;
        let listed = list_at(g, run.sample, run.head, 0) + place;
        let key_token = (lists[listed] as usize) * g.block + offset;
        let value_token = (lists[listed + values_after_keys(g)] as usize) * g.block + offset;
        // Where scores and values come from different blocks the other side changes with the entry, and either may
        // be padding: a zero vector.
        let mut coord = g.padding;
        if value_token < g.tokens {
            coord = coords[coords_from + value_token];
        }
        let other = if comptime!(of_values) { key_token } else { value_token };
        if other != loaded {
            loaded = other;
            let from = query_at(g, run.sample, run.head, 1 + min(other, g.tokens - 1), dims);
            let real = select(other < g.tokens, f32::new(1.0), f32::new(0.0));
            #[unroll]
            for i in 0..dims {
                if comptime!(of_values) {
                    key[i] = Vector::<f32, N>::cast_from(qkv[from + part(g, dims) + i]) * Vector::<f32, N>::new(real);
                } else {
                    value[i] =
                        Vector::<f32, N>::cast_from(qkv[from + 2 * part(g, dims) + i]) * Vector::<f32, N>::new(real);
                }
            }
        }
        let size = size_of_block(g, query_block);
        let mut start = 0usize;
        while start < size {
            let count = min(size - start, tile);
            let patch = query_block * g.block + start;
            let query_from = query_at(g, run.sample, run.head, 1 + patch, dims);
            let grad_from = output_at(g, run.sample, run.head, 1 + patch, dims);
            sync_cube();
            copy_rows::<F, N>(qkv, &mut queries, query_from, stride, count, count, g.scale, dims, units);
            copy_rows::<F, N>(grad, &mut d_outs, grad_from, out_stride, count, count, 1.0, dims, units);
            copy_coords(coords, &mut places, coords_from + patch, count, count, g.padding, units);
            let mut at = unit;
            while at < count {
                let row = row_at(g, run.sample, run.head, 1 + patch + at) * ROW;
                sums[at * 2] = rows[row];
                sums[at * 2 + 1] = rows[row + 1];
                at += units;
            }
            sync_cube();
            for j in 0..count {
                let bias = table[biases + table_row(g, places[j], coord)];
                let weight = (product::<N>(&key, &queries, j, dims) + bias - sums[j * 2]).exp();
                if comptime!(of_values) {
                    accumulate::<N>(&mut gradient, &d_outs, j, weight, dims);
                } else {
                    let d_score = weight * (product::<N>(&value, &d_outs, j, dims) - sums[j * 2 + 1]);
                    accumulate::<N>(&mut gradient, &queries, j, d_score, dims);
                }
            }
            start += tile;
        }
    }
    if unit < run.length {
        let to = own + if comptime!(of_values) { 2 * part(g, dims) } else { part(g, dims) };
        #[unroll]
        for i in 0..dims {
            d_qkv[to + i] = Vector::<F, N>::cast_from(gradient[i]);
        }
    }
}
