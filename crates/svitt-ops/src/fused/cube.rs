//! The CubeCL kernels. A cube per row where a row is reduced; where columns are, a unit per column and chunk of rows,
//! so that neighbouring units read neighbouring values, and the chunks' sums are added up afterwards. Reductions go
//! through shared memory: software Vulkan has no plane operations.

use cubecl::prelude::*;

/// The sum of `value` over the units of a cube, known to all; `scratch` holds a value per unit.
#[cube]
fn cube_sum(value: f32, scratch: &mut SharedMemory<f32>, #[comptime] units: usize) -> f32 {
    let unit = UNIT_POS as usize;
    sync_cube();
    scratch[unit] = value;
    sync_cube();
    let mut half = comptime!(units / 2).runtime();
    while half > 0 {
        if unit < half {
            let other = scratch[unit + half];
            scratch[unit] += other;
        }
        sync_cube();
        half /= 2;
    }
    scratch[0]
}

/// Layer norm; a cube of `units` (a power of two) per row, two passes over it.
#[cube(launch_unchecked)]
pub fn norm<F: Float>(
    x: &Array<F>,
    gamma: &Array<F>,
    beta: &Array<F>,
    y: &mut Array<F>,
    stats: &mut Array<f32>,
    rows: usize,
    d: usize,
    epsilon: f32,
    #[comptime] units: usize,
    #[define(F)] _dtype: StorageType,
) {
    let row = CUBE_POS;
    if row >= rows {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let mut scratch = SharedMemory::<f32>::new(units);
    let mut sum = f32::new(0.0);
    let mut i = unit;
    while i < d {
        sum += f32::cast_from(x[row * d + i]);
        i += units;
    }
    let mean = cube_sum(sum, &mut scratch, units) / f32::cast_from(d);
    let mut squares = f32::new(0.0);
    let mut i = unit;
    while i < d {
        let centred = f32::cast_from(x[row * d + i]) - mean;
        squares += centred * centred;
        i += units;
    }
    let variance = cube_sum(squares, &mut scratch, units) / f32::cast_from(d);
    let inverse = 1.0 / (variance + epsilon).sqrt();
    let mut i = unit;
    while i < d {
        let normal = (f32::cast_from(x[row * d + i]) - mean) * inverse;
        y[row * d + i] = F::cast_from(normal * f32::cast_from(gamma[i]) + f32::cast_from(beta[i]));
        i += units;
    }
    if unit == 0 {
        stats[2 * row] = mean;
        stats[2 * row + 1] = inverse;
    }
}

/// The gradient of the normalised rows; cubes as in [`norm`].
#[cube(launch_unchecked)]
pub fn norm_rows_backward<F: Float>(
    x: &Array<F>,
    gamma: &Array<F>,
    stats: &Array<f32>,
    grad: &Array<F>,
    dx: &mut Array<F>,
    rows: usize,
    d: usize,
    #[comptime] units: usize,
    #[define(F)] _dtype: StorageType,
) {
    let row = CUBE_POS;
    if row >= rows {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let mean = stats[2 * row];
    let inverse = stats[2 * row + 1];
    let mut scratch = SharedMemory::<f32>::new(units);
    let mut inner = f32::new(0.0);
    let mut along = f32::new(0.0);
    let mut i = unit;
    while i < d {
        let scaled = f32::cast_from(grad[row * d + i]) * f32::cast_from(gamma[i]);
        inner += scaled;
        along += scaled * (f32::cast_from(x[row * d + i]) - mean) * inverse;
        i += units;
    }
    let inner = cube_sum(inner, &mut scratch, units) / f32::cast_from(d);
    let along = cube_sum(along, &mut scratch, units) / f32::cast_from(d);
    let mut i = unit;
    while i < d {
        let scaled = f32::cast_from(grad[row * d + i]) * f32::cast_from(gamma[i]);
        let normal = (f32::cast_from(x[row * d + i]) - mean) * inverse;
        dx[row * d + i] = F::cast_from((scaled - inner - normal * along) * inverse);
        i += units;
    }
}

/// The gradients of γ and β, summed over the rows of a chunk: `partial` `[chunks, 2, d]`. A unit per column and chunk.
#[cube(launch_unchecked)]
pub fn norm_columns_backward<F: Float>(
    x: &Array<F>,
    stats: &Array<f32>,
    grad: &Array<F>,
    partial: &mut Array<f32>,
    rows: usize,
    d: usize,
    chunk: usize,
    #[define(F)] _dtype: StorageType,
) {
    let i = ABSOLUTE_POS_X as usize;
    if i >= d {
        terminate!();
    }
    let first = CUBE_POS_Y as usize * chunk;
    let mut dgamma = f32::new(0.0);
    let mut dbeta = f32::new(0.0);
    for row in first..min(first + chunk, rows) {
        let g = f32::cast_from(grad[row * d + i]);
        dgamma += g * (f32::cast_from(x[row * d + i]) - stats[2 * row]) * stats[2 * row + 1];
        dbeta += g;
    }
    let to = CUBE_POS_Y as usize * 2 * d + i;
    partial[to] = dgamma;
    partial[to + d] = dbeta;
}

/// Adds chunks up: `partial` `[chunks, width]` to `sums` `[width]`.
#[cube(launch_unchecked)]
pub fn add_chunks<F: Float>(
    partial: &Array<f32>,
    sums: &mut Array<F>,
    chunks: usize,
    width: usize,
    #[define(F)] _dtype: StorageType,
) {
    let i = ABSOLUTE_POS_X as usize;
    if i >= width {
        terminate!();
    }
    let mut sum = f32::new(0.0);
    for chunk in 0..chunks {
        sum += partial[chunk * width + i];
    }
    sums[i] = F::cast_from(sum);
}

/// GELU(x + bias), with the error function.
#[cube(launch_unchecked)]
pub fn gelu<F: Float>(
    x: &Array<F>,
    bias: &Array<F>,
    y: &mut Array<F>,
    length: usize,
    d: usize,
    #[define(F)] _dtype: StorageType,
) {
    if ABSOLUTE_POS < length {
        let z = f32::cast_from(x[ABSOLUTE_POS]) + f32::cast_from(bias[ABSOLUTE_POS % d]);
        y[ABSOLUTE_POS] = F::cast_from(z * normal_cdf::<f32>(z));
    }
}

/// Φ(z) = (1 + erf(z/√2))/2.
#[cube]
fn normal_cdf<F: Float>(z: F) -> F {
    F::new(0.5) + F::new(0.5) * (z * F::new(0.707_106_77)).erf()
}

/// The gradient of x, and that of the bias summed over the rows of a chunk: `partial` `[chunks, d]`.
#[cube(launch_unchecked)]
pub fn gelu_backward<F: Float>(
    x: &Array<F>,
    bias: &Array<F>,
    grad: &Array<F>,
    dx: &mut Array<F>,
    partial: &mut Array<f32>,
    rows: usize,
    d: usize,
    chunk: usize,
    #[define(F)] _dtype: StorageType,
) {
    let i = ABSOLUTE_POS_X as usize;
    if i >= d {
        terminate!();
    }
    let b = f32::cast_from(bias[i]);
    let first = CUBE_POS_Y as usize * chunk;
    let mut sum = f32::new(0.0);
    for row in first..min(first + chunk, rows) {
        let z = f32::cast_from(x[row * d + i]) + b;
        // φ(z) = e^(−z²/2)/√(2π)
        let slope = normal_cdf::<f32>(z) + z * 0.398_942_3 * (-0.5 * z * z).exp();
        let gradient = f32::cast_from(grad[row * d + i]) * slope;
        dx[row * d + i] = F::cast_from(gradient);
        sum += gradient;
    }
    partial[CUBE_POS_Y as usize * d + i] = sum;
}

/// residual + scale ⊙ (y + bias).
#[cube(launch_unchecked)]
pub fn residual<F: Float>(
    residual: &Array<F>,
    y: &Array<F>,
    bias: &Array<F>,
    scale: &Array<F>,
    out: &mut Array<F>,
    length: usize,
    d: usize,
    #[define(F)] _dtype: StorageType,
) {
    if ABSOLUTE_POS < length {
        let i = ABSOLUTE_POS % d;
        let branch = (f32::cast_from(y[ABSOLUTE_POS]) + f32::cast_from(bias[i])) * f32::cast_from(scale[i]);
        out[ABSOLUTE_POS] = F::cast_from(f32::cast_from(residual[ABSOLUTE_POS]) + branch);
    }
}

/// The gradient of y, and those of bias and scale summed over the rows of a chunk: `partial` `[chunks, 2, d]`.
#[cube(launch_unchecked)]
pub fn residual_backward<F: Float>(
    y: &Array<F>,
    bias: &Array<F>,
    scale: &Array<F>,
    grad: &Array<F>,
    dy: &mut Array<F>,
    partial: &mut Array<f32>,
    rows: usize,
    d: usize,
    chunk: usize,
    #[define(F)] _dtype: StorageType,
) {
    let i = ABSOLUTE_POS_X as usize;
    if i >= d {
        terminate!();
    }
    let b = f32::cast_from(bias[i]);
    let s = f32::cast_from(scale[i]);
    let first = CUBE_POS_Y as usize * chunk;
    let mut dbias = f32::new(0.0);
    let mut dscale = f32::new(0.0);
    for row in first..min(first + chunk, rows) {
        let g = f32::cast_from(grad[row * d + i]);
        dy[row * d + i] = F::cast_from(g * s);
        dbias += g * s;
        dscale += g * (f32::cast_from(y[row * d + i]) + b);
    }
    let to = CUBE_POS_Y as usize * 2 * d + i;
    partial[to] = dbias;
    partial[to + d] = dscale;
}
