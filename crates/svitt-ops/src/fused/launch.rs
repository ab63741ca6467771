//! Launches the CubeCL kernels; uses the portable implementation for element types the device does not support.

use super::op::{FusedOps, float, raw};
use super::{cube, portable};
use crate::device::launch::{empty, input, output, runs_on, spread};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, TensorMetadata};
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeRuntime, FloatElement, IntElement};
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

/// Units of a cube that reduces a row: six values each at d = 768.
const ROW_UNITS: usize = 128;
/// Columns of a cube that sums over rows.
const COLUMN_UNITS: usize = 64;
/// Rows a chunk has at least, and chunks at most: enough cubes for a large GPU, few sums to add up.
const CHUNK: usize = 32;
const CHUNKS: usize = 256;

/// `[rows, d]` and how the rows are cut into chunks.
struct RowChunks {
    rows: usize,
    d: usize,
    chunk: usize,
}

impl RowChunks {
    fn of<R: CubeRuntime>(x: &CubeTensor<R>) -> Self {
        let [rows, d] = x.shape().dims();
        Self { rows, d, chunk: rows.div_ceil(CHUNKS).max(CHUNK) }
    }

    fn chunks(&self) -> usize {
        self.rows.div_ceil(self.chunk).max(1)
    }

    /// A unit per column and chunk.
    fn columns(&self) -> CubeCount {
        CubeCount::Static(self.d.div_ceil(COLUMN_UNITS) as u32, self.chunks() as u32, 1)
    }
}

/// Sums `partial` `[chunks, vectors, d]` over its chunks: `vectors` tensors of `[d]`.
fn add_chunks<R: CubeRuntime, const V: usize>(
    partial: &CubeTensor<R>,
    like: &CubeTensor<R>,
    sizes: &RowChunks,
) -> [CubeTensor<R>; V] {
    let width = V * sizes.d;
    let sums = empty(like, [width], like.dtype);
    // SAFETY: a unit per sum; it reads `chunks` values of `partial`, which holds chunks · width.
    unsafe {
        cube::add_chunks::launch_unchecked::<R>(
            &like.client,
            CubeCount::Static(width.div_ceil(COLUMN_UNITS) as u32, 1, 1),
            CubeDim::new_1d(COLUMN_UNITS as u32),
            input(partial),
            output(&sums),
            sizes.chunks(),
            width,
            like.dtype.into(),
        );
    }
    std::array::from_fn(|v| part(&sums, v * sizes.d, sizes.d))
}

/// Elements `from..from + length` of a vector, a copy of its own: buffers have offsets only at multiples of 256 bytes.
fn part<R: CubeRuntime>(x: &CubeTensor<R>, from: usize, length: usize) -> CubeTensor<R> {
    burn_cubecl::kernel::slice(x.clone(), &[from..from + length])
}

fn norm<R: CubeRuntime>(
    x: &CubeTensor<R>,
    gamma: &CubeTensor<R>,
    beta: &CubeTensor<R>,
    epsilon: f64,
) -> (CubeTensor<R>, CubeTensor<R>) {
    let RowChunks { rows, d, .. } = RowChunks::of(x);
    let (y, stats) = (empty(x, [rows, d], x.dtype), empty(x, [rows, 2], DType::F32));
    // SAFETY: cubes past the last row stop; a cube touches d values of its row, γ and β, and its two statistics.
    unsafe {
        cube::norm::launch_unchecked::<R>(
            &x.client,
            spread(&x.client, rows),
            CubeDim::new_1d(ROW_UNITS as u32),
            input(x),
            input(gamma),
            input(beta),
            output(&y),
            output(&stats),
            rows,
            d,
            epsilon as f32,
            ROW_UNITS,
            x.dtype.into(),
        );
    }
    (y, stats)
}

fn norm_backward<R: CubeRuntime>(
    x: &CubeTensor<R>,
    gamma: &CubeTensor<R>,
    stats: &CubeTensor<R>,
    grad: &CubeTensor<R>,
) -> [CubeTensor<R>; 3] {
    let sizes = RowChunks::of(x);
    let RowChunks { rows, d, chunk } = sizes;
    let dx = empty(x, [rows, d], x.dtype);
    let partial = empty(x, [sizes.chunks(), 2, d], DType::F32);
    // SAFETY: cubes past the last row, units past the last column and rows past a chunk's end do nothing.
    unsafe {
        cube::norm_rows_backward::launch_unchecked::<R>(
            &x.client,
            spread(&x.client, rows),
            CubeDim::new_1d(ROW_UNITS as u32),
            input(x),
            input(gamma),
            input(stats),
            input(grad),
            output(&dx),
            rows,
            d,
            ROW_UNITS,
            x.dtype.into(),
        );
        cube::norm_columns_backward::launch_unchecked::<R>(
            &x.client,
            sizes.columns(),
            CubeDim::new_1d(COLUMN_UNITS as u32),
            input(x),
            input(stats),
            input(grad),
            output(&partial),
            rows,
            d,
            chunk,
            x.dtype.into(),
        );
    }
    let [dgamma, dbeta] = add_chunks(&partial, x, &sizes);
    [dx, dgamma, dbeta]
}

fn gelu<R: CubeRuntime>(x: &CubeTensor<R>, bias: &CubeTensor<R>) -> CubeTensor<R> {
    let RowChunks { rows, d, .. } = RowChunks::of(x);
    let (y, units) = (empty(x, [rows, d], x.dtype), CubeDim::new(&x.client, rows * d));
    // SAFETY: units past the last element do nothing.
    unsafe {
        cube::gelu::launch_unchecked::<R>(
            &x.client,
            calculate_cube_count_elemwise(&x.client, rows * d, units),
            units,
            input(x),
            input(bias),
            output(&y),
            rows * d,
            d,
            x.dtype.into(),
        );
    }
    y
}

fn gelu_backward<R: CubeRuntime>(x: &CubeTensor<R>, bias: &CubeTensor<R>, grad: &CubeTensor<R>) -> [CubeTensor<R>; 2] {
    let sizes = RowChunks::of(x);
    let RowChunks { rows, d, chunk } = sizes;
    let (dx, partial) = (empty(x, [rows, d], x.dtype), empty(x, [sizes.chunks(), d], DType::F32));
    // SAFETY: units past the last column and rows past a chunk's end do nothing.
    unsafe {
        cube::gelu_backward::launch_unchecked::<R>(
            &x.client,
            sizes.columns(),
            CubeDim::new_1d(COLUMN_UNITS as u32),
            input(x),
            input(bias),
            input(grad),
            output(&dx),
            output(&partial),
            rows,
            d,
            chunk,
            x.dtype.into(),
        );
    }
    let [dbias] = add_chunks(&partial, x, &sizes);
    [dx, dbias]
}

fn residual<R: CubeRuntime>(
    x: &CubeTensor<R>,
    y: &CubeTensor<R>,
    bias: &CubeTensor<R>,
    scale: &CubeTensor<R>,
) -> CubeTensor<R> {
    let RowChunks { rows, d, .. } = RowChunks::of(y);
    let (out, units) = (empty(x, [rows, d], x.dtype), CubeDim::new(&x.client, rows * d));
    // SAFETY: units past the last element do nothing.
    unsafe {
        cube::residual::launch_unchecked::<R>(
            &x.client,
            calculate_cube_count_elemwise(&x.client, rows * d, units),
            units,
            input(x),
            input(y),
            input(bias),
            input(scale),
            output(&out),
            rows * d,
            d,
            x.dtype.into(),
        );
    }
    out
}

fn residual_backward<R: CubeRuntime>(
    y: &CubeTensor<R>,
    bias: &CubeTensor<R>,
    scale: &CubeTensor<R>,
    grad: &CubeTensor<R>,
) -> [CubeTensor<R>; 3] {
    let sizes = RowChunks::of(y);
    let RowChunks { rows, d, chunk } = sizes;
    let (dy, partial) = (empty(y, [rows, d], y.dtype), empty(y, [sizes.chunks(), 2, d], DType::F32));
    // SAFETY: units past the last column and rows past a chunk's end do nothing.
    unsafe {
        cube::residual_backward::launch_unchecked::<R>(
            &y.client,
            sizes.columns(),
            CubeDim::new_1d(COLUMN_UNITS as u32),
            input(y),
            input(bias),
            input(scale),
            input(grad),
            output(&dy),
            output(&partial),
            rows,
            d,
            chunk,
            y.dtype.into(),
        );
    }
    let [dbias, dscale] = add_chunks(&partial, y, &sizes);
    [dy, dbias, dscale]
}

impl<R, F, I, BT> FusedOps for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if runs_on(&[&x, &gamma, &beta]) {
            return norm(&x, &gamma, &beta, epsilon);
        }
        let (y, stats) = portable::layer_norm::<Self>(float(x), float(gamma), float(beta), epsilon);
        (raw(y), raw(stats))
    }

    fn layer_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        if runs_on(&[&x, &gamma, &grad]) && stats.dtype == DType::F32 {
            return norm_backward(&x, &gamma, &stats, &grad);
        }
        let (dx, dgamma, dbeta) =
            portable::layer_norm_backward::<Self>(float(x), float(gamma), float(stats), float(grad));
        [raw(dx), raw(dgamma), raw(dbeta)]
    }

    fn bias_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        if runs_on(&[&x, &bias]) { gelu(&x, &bias) } else { raw(portable::bias_gelu::<Self>(float(x), float(bias))) }
    }

    fn bias_gelu_backward(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2] {
        if runs_on(&[&x, &bias, &grad]) {
            return gelu_backward(&x, &bias, &grad);
        }
        let (dx, dbias) = portable::bias_gelu_backward::<Self>(float(x), float(bias), float(grad));
        [raw(dx), raw(dbias)]
    }

    fn scaled_residual(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        if runs_on(&[&x, &y, &bias, &scale]) {
            return residual(&x, &y, &bias, &scale);
        }
        raw(portable::scaled_residual::<Self>(float(x), float(y), float(bias), float(scale)))
    }

    fn scaled_residual_backward(
        y: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        if runs_on(&[&y, &bias, &scale, &grad]) {
            return residual_backward(&y, &bias, &scale, &grad);
        }
        let (dy, dbias, dscale) =
            portable::scaled_residual_backward::<Self>(float(y), float(bias), float(scale), float(grad));
        [raw(dy), raw(dbias), raw(dscale)]
    }
}
