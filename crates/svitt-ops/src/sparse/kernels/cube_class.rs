//! The backward of the class row and of the class column: a cube per sample and head, a unit per token in turn.

use super::cube_backward::ROW;
use super::cube_common::*;
use super::cube_forward::class_bias;
use cubecl::prelude::*;

/// The gradient of the class query. Also leaves the gradient of the class→class score in its row's third value.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "buffers and compile-time sizes")]
pub fn class_query_gradient<F: Float, N: Size>(
    qkv: &Array<Vector<F, N>>,
    table: &Array<f32>,
    grad: &Array<Vector<F, N>>,
    rows: &mut Array<f32>,
    d_qkv: &mut Array<Vector<F, N>>,
    g: &Geometry,
    #[comptime] dims: usize,
    #[comptime] units: usize,
    #[define(F)] _dtype: StorageType,
) {
    let head = CUBE_POS_X as usize;
    let sample = CUBE_POS_Y as usize;
    let unit = UNIT_POS as usize;
    let own = query_at(g, sample, head, 0, dims);
    let grad_from = output_at(g, sample, head, 0, dims);
    let row = row_at(g, sample, head, 0) * ROW;
    let lse = rows[row];
    let delta = rows[row + 1];
    let mut query = Array::<Vector<f32, N>>::new(dims);
    let mut d_out = Array::<Vector<f32, N>>::new(dims);
    let mut d_query = Array::<Vector<f32, N>>::new(dims);
    #[unroll]
    for i in 0..dims {
        query[i] = Vector::<f32, N>::cast_from(qkv[own + i]) * Vector::<f32, N>::new(g.scale);
        d_out[i] = Vector::<f32, N>::cast_from(grad[grad_from + i]);
        d_query[i] = Vector::<f32, N>::new(f32::new(0.0));
    }
    let mut token = unit;
    while token <= g.tokens {
        let key = query_at(g, sample, head, token, dims) + part(g, dims);
        let mut score = Vector::<f32, N>::new(f32::new(0.0));
        let mut d_weight = Vector::<f32, N>::new(f32::new(0.0));
        #[unroll]
        for i in 0..dims {
            score += query[i] * Vector::<f32, N>::cast_from(qkv[key + i]);
            d_weight += d_out[i] * Vector::<f32, N>::cast_from(qkv[key + part(g, dims) + i]);
        }
        let weight = (lanes::<N>(score) + class_bias(table, g, head, token) - lse).exp();
        let d_score = weight * (lanes::<N>(d_weight) - delta);
        let factor = Vector::<f32, N>::new(d_score);
        #[unroll]
        for i in 0..dims {
            d_query[i] += factor * Vector::<f32, N>::cast_from(qkv[key + i]);
        }
        if token == 0 {
            rows[row + 2] = d_score;
        }
        token += units;
    }
    let mut partial = SharedMemory::<Vector<f32, N>>::new(comptime!(units * dims));
    write_sum::<F, N>(&d_query, &mut partial, d_qkv, own, g.scale, dims, units);
}

/// The gradients of the class key and the class value, which every row sees.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments, reason = "buffers and compile-time sizes")]
pub fn class_key_gradients<F: Float, N: Size>(
    qkv: &Array<Vector<F, N>>,
    table: &Array<f32>,
    grad: &Array<Vector<F, N>>,
    rows: &Array<f32>,
    d_qkv: &mut Array<Vector<F, N>>,
    g: &Geometry,
    #[comptime] dims: usize,
    #[comptime] units: usize,
    #[define(F)] _dtype: StorageType,
) {
    let head = CUBE_POS_X as usize;
    let sample = CUBE_POS_Y as usize;
    let own = query_at(g, sample, head, 0, dims) + part(g, dims);
    let mut key = Array::<Vector<f32, N>>::new(dims);
    let mut value = Array::<Vector<f32, N>>::new(dims);
    let mut d_key = Array::<Vector<f32, N>>::new(dims);
    let mut d_value = Array::<Vector<f32, N>>::new(dims);
    #[unroll]
    for i in 0..dims {
        key[i] = Vector::<f32, N>::cast_from(qkv[own + i]) * Vector::<f32, N>::new(g.scale);
        value[i] = Vector::<f32, N>::cast_from(qkv[own + part(g, dims) + i]);
        d_key[i] = Vector::<f32, N>::new(f32::new(0.0));
        d_value[i] = Vector::<f32, N>::new(f32::new(0.0));
    }
    let mut token = UNIT_POS as usize;
    while token <= g.tokens {
        let query = query_at(g, sample, head, token, dims);
        let grad_from = output_at(g, sample, head, token, dims);
        let row = row_at(g, sample, head, token) * ROW;
        let mut score = Vector::<f32, N>::new(f32::new(0.0));
        let mut d_weight = Vector::<f32, N>::new(f32::new(0.0));
        #[unroll]
        for i in 0..dims {
            score += key[i] * Vector::<f32, N>::cast_from(qkv[query + i]);
            d_weight += value[i] * Vector::<f32, N>::cast_from(grad[grad_from + i]);
        }
        let bias = table[head * g.rows + select(token == 0, g.rows - 1, g.rows - 2)];
        let weight = (lanes::<N>(score) + bias - rows[row]).exp();
        let d_score = weight * (lanes::<N>(d_weight) - rows[row + 1]);
        #[unroll]
        for i in 0..dims {
            d_key[i] += Vector::<f32, N>::new(d_score) * Vector::<f32, N>::cast_from(qkv[query + i]);
            d_value[i] += Vector::<f32, N>::new(weight) * Vector::<f32, N>::cast_from(grad[grad_from + i]);
        }
        token += units;
    }
    let mut partial = SharedMemory::<Vector<f32, N>>::new(comptime!(units * dims));
    write_sum::<F, N>(&d_key, &mut partial, d_qkv, own, g.scale, dims, units);
    sync_cube();
    write_sum::<F, N>(&d_value, &mut partial, d_qkv, own + part(g, dims), 1.0, dims, units);
}

/// Writes the sum of the units' rows, times `scale`, to `to`.
#[cube]
fn write_sum<F: Float, N: Size>(
    own: &Array<Vector<f32, N>>,
    partial: &mut SharedMemory<Vector<f32, N>>,
    out: &mut Array<Vector<F, N>>,
    to: usize,
    scale: f32,
    #[comptime] dims: usize,
    #[comptime] units: usize,
) {
    let unit = UNIT_POS as usize;
    #[unroll]
    for i in 0..dims {
        partial[unit * dims + i] = own[i];
    }
    sync_cube();
    let mut i = unit;
    while i < dims {
        let mut sum = Vector::<f32, N>::new(f32::new(0.0));
        for u in 0..units {
            sum += partial[u * dims + i];
        }
        out[to + i] = Vector::<F, N>::cast_from(sum * Vector::<f32, N>::new(scale));
        i += units;
    }
}
