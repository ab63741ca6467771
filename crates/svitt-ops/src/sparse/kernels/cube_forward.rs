//! The forward kernels: patch rows by an online softmax over the block list, the class row over all tokens.

use super::cube_common::*;
use cubecl::prelude::*;

/// Rows of patch queries. Cubes: x a run of `units` queries of one block, y a head, z a sample.
///
/// `table` is `[heads, R]`; `lists` `[2, lists, M, W]`, scored blocks before those whose bias and values count.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "buffers and compile-time sizes")]
pub fn patch_rows<F: Float, N: Size>(
    qkv: &Array<Vector<F, N>>,
    table: &Array<f32>,
    coords: &Array<i32>,
    lists: &Array<u32>,
    out: &mut Array<Vector<F, N>>,
    lse: &mut Array<f32>,
    g: &Geometry,
    #[comptime] padding: bool,
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
    let token = run.block * g.block + run.offset + min(unit, run.length - 1);
    let stride = 3 * part(g, dims);
    let class = query_at(g, run.sample, run.head, 0, dims);
    let own = query_at(g, run.sample, run.head, 1 + token, dims);
    let coords_from = coords_at(g, run.sample);
    let coord = coords[coords_from + token];
    let biases = run.head * g.rows;

    // The class token is the first key: it sets the reference of the softmax.
    let mut query = Array::<Vector<f32, N>>::new(dims);
    let mut sum_out = Array::<Vector<f32, N>>::new(dims);
    let mut score = Vector::<f32, N>::new(f32::new(0.0));
    #[unroll]
    for i in 0..dims {
        query[i] = Vector::<f32, N>::cast_from(qkv[own + i]) * Vector::<f32, N>::new(g.scale);
        score += query[i] * Vector::<f32, N>::cast_from(qkv[class + part(g, dims) + i]);
        sum_out[i] = Vector::<f32, N>::cast_from(qkv[class + 2 * part(g, dims) + i]);
    }
    let mut reference = lanes::<N>(score) + table[biases + g.rows - 2];
    let mut sum = f32::new(1.0);

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
                let bias = table[biases + table_row(g, coord, places[j])];
                let score = product::<N>(&query, &keys, j, dims) + bias;
                if score > reference + RESCALE_MARGIN {
                    let shrink = (reference - score).exp();
                    sum *= shrink;
                    #[unroll]
                    for i in 0..dims {
                        sum_out[i] = sum_out[i] * Vector::<f32, N>::new(shrink);
                    }
                    reference = score;
                }
                let weight = (score - reference).exp();
                sum += weight;
                accumulate::<N>(&mut sum_out, &values, j, weight, dims);
            }
            start += tile;
        }
    }
    if unit < run.length {
        let inverse = 1.0 / sum;
        let to = output_at(g, run.sample, run.head, 1 + token, dims);
        #[unroll]
        for i in 0..dims {
            out[to + i] = Vector::<F, N>::cast_from(sum_out[i] * Vector::<f32, N>::new(inverse));
        }
        lse[row_at(g, run.sample, run.head, 1 + token)] = reference + sum.ln();
    }
}

/// The class row. Cubes: x a head, y a sample; unit u takes the tokens u, u + `units`, …
#[cube(launch_unchecked)]
pub fn class_row<F: Float, N: Size>(
    qkv: &Array<Vector<F, N>>,
    table: &Array<f32>,
    out: &mut Array<Vector<F, N>>,
    lse: &mut Array<f32>,
    g: &Geometry,
    #[comptime] dims: usize,
    #[comptime] units: usize,
    #[define(F)] _dtype: StorageType,
) {
    let head = CUBE_POS_X as usize;
    let sample = CUBE_POS_Y as usize;
    let unit = UNIT_POS as usize;
    let own = query_at(g, sample, head, 0, dims);
    let mut query = Array::<Vector<f32, N>>::new(dims);
    let mut sum_out = Array::<Vector<f32, N>>::new(dims);
    #[unroll]
    for i in 0..dims {
        query[i] = Vector::<f32, N>::cast_from(qkv[own + i]) * Vector::<f32, N>::new(g.scale);
        sum_out[i] = Vector::<f32, N>::new(f32::new(0.0));
    }
    let mut reference = f32::new(-3.0e38);
    let mut sum = f32::new(0.0);
    let mut token = unit;
    while token <= g.tokens {
        let key = query_at(g, sample, head, token, dims) + part(g, dims);
        let mut score = Vector::<f32, N>::new(f32::new(0.0));
        #[unroll]
        for i in 0..dims {
            score += query[i] * Vector::<f32, N>::cast_from(qkv[key + i]);
        }
        let score = lanes::<N>(score) + class_bias(table, g, head, token);
        if score > reference + RESCALE_MARGIN {
            let shrink = (reference - score).exp();
            sum *= shrink;
            #[unroll]
            for i in 0..dims {
                sum_out[i] = sum_out[i] * Vector::<f32, N>::new(shrink);
            }
            reference = score;
        }
        let weight = (score - reference).exp();
        sum += weight;
        let factor = Vector::<f32, N>::new(weight);
        #[unroll]
        for i in 0..dims {
            sum_out[i] += factor * Vector::<f32, N>::cast_from(qkv[key + part(g, dims) + i]);
        }
        token += units;
    }

    let mut references = SharedMemory::<f32>::new(units);
    let mut sums = SharedMemory::<f32>::new(units);
    let mut outs = SharedMemory::<Vector<f32, N>>::new(comptime!(units * dims));
    references[unit] = reference;
    sums[unit] = sum;
    #[unroll]
    for i in 0..dims {
        outs[unit * dims + i] = sum_out[i];
    }
    sync_cube();
    let mut top = references[0];
    for u in 1..units {
        top = max(top, references[u]);
    }
    let mut total = f32::new(0.0);
    for u in 0..units {
        total += sums[u] * (references[u] - top).exp();
    }
    let mut i = unit;
    while i < dims {
        let mut merged = Vector::<f32, N>::new(f32::new(0.0));
        for u in 0..units {
            merged += outs[u * dims + i] * Vector::<f32, N>::new((references[u] - top).exp());
        }
        out[output_at(g, sample, head, 0, dims) + i] =
            Vector::<F, N>::cast_from(merged * Vector::<f32, N>::new(1.0 / total));
        i += units;
    }
    if unit == 0 {
        lse[row_at(g, sample, head, 0)] = top + total.ln();
    }
}

/// The bias of the class query towards `token`.
#[cube]
pub fn class_bias(table: &Array<f32>, g: &Geometry, head: usize, token: usize) -> f32 {
    table[head * g.rows + select(token == 0, g.rows - 1, g.rows - 3)]
}

/// The class row's log-sum-exp alone, `[batch, heads]`. Cubes as in [`class_row`].
#[cube(launch_unchecked)]
pub fn class_lse<F: Float, N: Size>(
    qkv: &Array<Vector<F, N>>,
    table: &Array<f32>,
    lse: &mut Array<f32>,
    g: &Geometry,
    #[comptime] dims: usize,
    #[comptime] units: usize,
    #[define(F)] _dtype: StorageType,
) {
    let head = CUBE_POS_X as usize;
    let sample = CUBE_POS_Y as usize;
    let unit = UNIT_POS as usize;
    let mut reference = f32::new(-3.0e38);
    let mut sum = f32::new(0.0);
    let mut token = unit;
    while token <= g.tokens {
        let score = class_score::<F, N>(qkv, table, g, sample, head, token, dims);
        if score > reference {
            sum *= (reference - score).exp();
            reference = score;
        }
        sum += (score - reference).exp();
        token += units;
    }
    let mut references = SharedMemory::<f32>::new(units);
    let mut sums = SharedMemory::<f32>::new(units);
    references[unit] = reference;
    sums[unit] = sum;
    sync_cube();
    if unit == 0 {
        let mut top = references[0];
        for u in 1..units {
            top = max(top, references[u]);
        }
        let mut total = f32::new(0.0);
        for u in 0..units {
            total += sums[u] * (references[u] - top).exp();
        }
        lse[sample * g.heads + head] = top + total.ln();
    }
}

/// The class token's attention to every patch, averaged over heads, `[batch, tokens]`. Cubes: x `units` patches,
/// y a sample.
#[cube(launch_unchecked)]
pub fn class_scores<F: Float, N: Size>(
    qkv: &Array<Vector<F, N>>,
    table: &Array<f32>,
    lse: &Array<f32>,
    scores: &mut Array<f32>,
    g: &Geometry,
    #[comptime] dims: usize,
    #[define(F)] _dtype: StorageType,
) {
    let patch = ABSOLUTE_POS_X as usize;
    let sample = CUBE_POS_Y as usize;
    if patch >= g.tokens {
        terminate!();
    }
    let mut sum = f32::new(0.0);
    for head in 0..g.heads {
        let score = class_score::<F, N>(qkv, table, g, sample, head, 1 + patch, dims);
        sum += (score - lse[sample * g.heads + head]).exp();
    }
    scores[sample * g.tokens + patch] = sum / f32::cast_from(g.heads);
}

/// The logit of the class query and `token`.
#[cube]
fn class_score<F: Float, N: Size>(
    qkv: &Array<Vector<F, N>>,
    table: &Array<f32>,
    g: &Geometry,
    sample: usize,
    head: usize,
    token: usize,
    #[comptime] dims: usize,
) -> f32 {
    let query = query_at(g, sample, head, 0, dims);
    let key = query_at(g, sample, head, token, dims) + part(g, dims);
    let mut score = Vector::<f32, N>::new(f32::new(0.0));
    for i in 0..dims {
        score += Vector::<f32, N>::cast_from(qkv[query + i]) * Vector::<f32, N>::cast_from(qkv[key + i]);
    }
    lanes::<N>(score) * g.scale + class_bias(table, g, head, token)
}
