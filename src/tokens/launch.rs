//! Launches the CubeCL kernels of selection.

use super::select::{SelectOps, keep_by_rank};
use crate::backend::launch::{empty, input, output, runs_on};
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, Tensor, TensorMetadata, TensorPrimitive};
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeRuntime, FloatElement, IntElement};
use cubecl::prelude::*;

const UNITS: usize = 64;

fn keep<R: CubeRuntime>(scores: &CubeTensor<R>, k: usize, dtype: DType) -> CubeTensor<R> {
    let [batch, tokens] = scores.shape().dims();
    let kept = empty(scores, [batch, tokens], DType::U32);
    let positions = empty(scores, [batch, k], dtype);
    let cubes = || CubeCount::Static(tokens.div_ceil(UNITS) as u32, batch as u32, 1);
    // SAFETY: units past the last token do nothing; at most k positions of a row are written.
    unsafe {
        super::cube::mark_kept::launch_unchecked::<R>(
            &scores.client,
            cubes(),
            CubeDim::new_1d(UNITS as u32),
            input(scores),
            output(&kept),
            tokens,
            k,
            scores.dtype.into(),
        );
        super::cube::place_kept::launch_unchecked::<R>(
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
