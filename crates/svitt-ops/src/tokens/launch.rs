//! Launches the CubeCL kernels of selection and of rows.

use super::cube_rows;
use super::rows::{RowOps, portable_put, portable_take};
use super::select::{SelectOps, keep_by_rank};
use crate::device::launch::{empty, input, output, runs_on, zeros};
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, Tensor, TensorMetadata, TensorPrimitive};
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeRuntime, FloatElement, IntElement};
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

const UNITS: usize = 64;

fn keep<R: CubeRuntime>(scores: &CubeTensor<R>, k: usize, dtype: DType) -> CubeTensor<R> {
    let [batch, tokens] = scores.shape().dims();
    let kept = empty(scores, [batch, tokens], DType::U32);
    let positions = empty(scores, [batch, k], dtype);
    let cubes = || CubeCount::Static(tokens.div_ceil(UNITS) as u32, batch as u32, 1);
    // SAFETY: units past the last token do nothing; at most k positions of a row are written.
    unsafe {
        super::cube_select::mark_kept::launch_unchecked::<R>(
            &scores.client,
            cubes(),
            CubeDim::new_1d(UNITS as u32),
            input(scores),
            output(&kept),
            tokens,
            k,
            scores.dtype.into(),
        );
        super::cube_select::place_kept::launch_unchecked::<R>(
            &scores.client,
            cubes(),
            CubeDim::new_1d(UNITS as u32),
            input(&kept),
            output(&positions),
            tokens,
            k,
            dtype.into(),
        );
    }
    positions
}

/// Vectors that rows of `d` elements are copied in.
fn vector(d: usize) -> usize {
    [4, 2, 1].into_iter().find(|vector| d.is_multiple_of(*vector)).unwrap_or(1)
}

fn take_rows<R: CubeRuntime>(x: &CubeTensor<R>, positions: &CubeTensor<R>) -> CubeTensor<R> {
    let ([batch, tokens, d], [_, k]) = (x.shape().dims(), positions.shape().dims());
    let rows = empty(x, [batch, k, d], x.dtype);
    let (dims, length) = (d / vector(d), batch * k * d / vector(d));
    let units = CubeDim::new(&x.client, length);
    // SAFETY: units past the last vector do nothing; positions name tokens.
    unsafe {
        cube_rows::take::launch_unchecked::<R>(
            &x.client,
            calculate_cube_count_elemwise(&x.client, length, units),
            units,
            vector(d),
            input(x),
            input(positions),
            output(&rows),
            tokens,
            k,
            dims,
            length,
            [x.dtype.into(), positions.dtype.into()],
        );
    }
    rows
}

fn put_rows<R: CubeRuntime>(rows: &CubeTensor<R>, positions: &CubeTensor<R>, tokens: usize) -> CubeTensor<R> {
    let [batch, k, d] = rows.shape().dims();
    let x = zeros(rows, [batch, tokens, d], rows.dtype);
    let (dims, length) = (d / vector(d), batch * k * d / vector(d));
    let units = CubeDim::new(&rows.client, length);
    // SAFETY: as in `take_rows`; positions of a sample differ, so no two units write one place.
    unsafe {
        cube_rows::put::launch_unchecked::<R>(
            &rows.client,
            calculate_cube_count_elemwise(&rows.client, length, units),
            units,
            vector(d),
            input(rows),
            input(positions),
            output(&x),
            tokens,
            k,
            dims,
            length,
            [rows.dtype.into(), positions.dtype.into()],
        );
    }
    x
}

impl<R, F, I, BT> RowOps for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn take_rows(x: FloatTensor<Self>, positions: IntTensor<Self>) -> FloatTensor<Self> {
        if runs_on(&[&x]) { take_rows(&x, &positions) } else { portable_take::<Self>(x, positions) }
    }

    fn put_rows(rows: FloatTensor<Self>, positions: IntTensor<Self>, tokens: usize) -> FloatTensor<Self> {
        if runs_on(&[&rows]) {
            put_rows(&rows, &positions, tokens)
        } else {
            portable_put::<Self>(rows, positions, tokens)
        }
    }
}

impl<R, F, I, BT> SelectOps for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn keep_top(scores: FloatTensor<Self>, k: usize) -> IntTensor<Self> {
        if runs_on(&[&scores]) {
            return keep(&scores, k, I::dtype());
        }
        keep_by_rank(Tensor::<Self, 2>::from_primitive(TensorPrimitive::Float(scores)), k).into_primitive()
    }
}
