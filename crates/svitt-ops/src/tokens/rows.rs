//! Gather and scatter of token rows, for pruning activations and their gradients. On the CPU a row is one copy; Burn's
//! `gather` computes an index per element.

use crate::device::cast;
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorMetadata, TensorPrimitive};

/// Taking and putting back rows as backend operations.
pub trait RowOps: Backend {
    /// The rows at `positions` `[batch, k]` of `x` `[batch, tokens, d]`: `[batch, k, d]`.
    fn take_rows(x: FloatTensor<Self>, positions: IntTensor<Self>) -> FloatTensor<Self> {
        portable_take::<Self>(x, positions)
    }

    /// Zeros `[batch, tokens, d]` with `rows` `[batch, k, d]` at `positions` `[batch, k]`, which differ within a sample.
    fn put_rows(rows: FloatTensor<Self>, positions: IntTensor<Self>, tokens: usize) -> FloatTensor<Self> {
        portable_put::<Self>(rows, positions, tokens)
    }

    /// See [`patch_rows`].
    fn patch_rows(pictures: FloatTensor<Self>, patch: usize) -> FloatTensor<Self> {
        portable_patches::<Self>(pictures, patch)
    }
}

pub(super) fn portable_patches<B: Backend>(pictures: FloatTensor<B>, patch: usize) -> FloatTensor<B> {
    let pictures = Tensor::<B, 4>::from_primitive(TensorPrimitive::Float(pictures));
    let [count, channels, height, width] = pictures.dims();
    let (rows, columns) = (height / patch, width / patch);
    let cut = pictures.reshape([count, channels, rows, patch, columns, patch]).permute([0, 2, 4, 1, 3, 5]);
    cut.reshape([count * rows * columns, channels * patch * patch]).into_primitive().tensor()
}

/// `pictures` `[count, channels, height, width]` as rows of square patches, `patch` wide and high, in raster order:
/// `[count · patches, channels · patch · patch]`, a patch's values by channel, row and column.
pub fn patch_rows<B: RowOps>(pictures: Tensor<B, 4>, patch: usize) -> Tensor<B, 2> {
    Tensor::from_primitive(TensorPrimitive::Float(B::patch_rows(pictures.into_primitive().tensor(), patch)))
}

pub(super) fn portable_take<B: Backend>(x: FloatTensor<B>, positions: IntTensor<B>) -> FloatTensor<B> {
    let (x, positions) = (float::<B>(x), Tensor::<B, 2, Int>::from_primitive(positions));
    raw(x.clone().gather(1, element_index(positions, x.dims()[2])))
}

/// Zeros are f32 unless told otherwise, whatever is put among them.
pub(super) fn portable_put<B: Backend>(rows: FloatTensor<B>, positions: IntTensor<B>, tokens: usize) -> FloatTensor<B> {
    let (rows, positions) = (float::<B>(rows), Tensor::<B, 2, Int>::from_primitive(positions));
    let [batch, _, d] = rows.dims();
    let zeros = cast(Tensor::zeros([batch, tokens, d], &rows.device()), rows.dtype());
    raw(zeros.scatter(1, element_index(positions, d), rows, IndexingUpdateOp::Add))
}

/// The rows at `positions` `[batch, k]`, all different within a sample, of `x` `[batch, tokens, d]`: `[batch, k, d]`.
pub fn take_rows<B: RowOps>(x: Tensor<B, 3>, positions: Tensor<B, 2, Int>) -> Tensor<B, 3> {
    float(B::take_rows(raw(x), positions.into_primitive()))
}

fn element_index<B: Backend>(positions: Tensor<B, 2, Int>, d: usize) -> Tensor<B, 3, Int> {
    let [batch, k] = positions.dims();
    positions.unsqueeze_dim::<3>(2).expand([batch, k, d])
}

fn float<B: Backend>(x: FloatTensor<B>) -> Tensor<B, 3> {
    Tensor::from_primitive(TensorPrimitive::Float(x))
}

fn raw<B: Backend>(x: Tensor<B, 3>) -> FloatTensor<B> {
    x.into_primitive().tensor()
}

#[derive(Debug)]
struct TakeRowsBackward;

impl<B: RowOps> Backward<B, 1> for TakeRowsBackward {
    type State = (IntTensor<B>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (positions, tokens) = ops.state;
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::put_rows(grad, positions, tokens));
        }
    }
}

impl<B: RowOps, C: CheckpointStrategy> RowOps for Autodiff<B, C> {
    fn take_rows(x: FloatTensor<Self>, positions: IntTensor<Self>) -> FloatTensor<Self> {
        let tokens = x.primitive.shape().dims::<3>()[1];
        let rows = B::take_rows(x.primitive, positions.clone());
        match TakeRowsBackward.prepare::<C>([x.node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((positions, tokens), rows),
            OpsKind::UnTracked(prep) => prep.finish(rows),
        }
    }

    /// Pictures seldom need a gradient.
    fn patch_rows(pictures: FloatTensor<Self>, patch: usize) -> FloatTensor<Self> {
        if pictures.is_tracked() {
            return portable_patches::<Self>(pictures, patch);
        }
        <Self as AutodiffBackend>::from_inner(B::patch_rows(pictures.primitive, patch))
    }
}

#[cfg(any(feature = "ndarray", feature = "flex"))]
mod cpu {
    use super::RowOps;
    use crate::device::host::{HostBackend, Results, integers};
    use burn::tensor::TensorMetadata;
    use burn::tensor::ops::{FloatTensor, IntTensor};
    use rayon::prelude::*;

    impl<B: HostBackend> RowOps for B {
        fn take_rows(x: FloatTensor<B>, positions: IntTensor<B>) -> FloatTensor<B> {
            let ([batch, tokens, d], results) = (x.shape().dims(), Results::<B>::like(&x));
            let (x, positions) = (B::values(&x), integers::<B>(&positions));
            let k = positions.len() / batch;
            let mut rows = Vec::with_capacity(batch * k * d);
            for (place, &position) in positions.iter().enumerate() {
                let from = (place / k * tokens + position as usize) * d;
                rows.extend_from_slice(&x[from..from + d]);
            }
            results.tensor(rows, [batch, k, d])
        }

        /// A run of a patch's row is one copy; Burn's permuted copies compute an index per element, on one thread.
        fn patch_rows(pictures: FloatTensor<B>, patch: usize) -> FloatTensor<B> {
            let ([count, channels, height, width], results) = (pictures.shape().dims(), Results::<B>::like(&pictures));
            let (rows, columns, size) = (height / patch, width / patch, channels * patch * patch);
            let pictures = B::values(&pictures);
            let strip = |(at, to): (usize, &mut [f32])| {
                let (picture, row) = (at / rows, at % rows);
                for (column, to) in to.chunks_exact_mut(size).enumerate() {
                    for (line, to) in to.chunks_exact_mut(patch).enumerate() {
                        let (channel, y) = (line / patch, row * patch + line % patch);
                        let from = ((picture * channels + channel) * height + y) * width + column * patch;
                        to.copy_from_slice(&pictures[from..from + patch]);
                    }
                }
            };
            let mut values = vec![0f32; count * rows * columns * size];
            values.par_chunks_mut((columns * size).max(1)).enumerate().for_each(strip);
            results.tensor(values, [count * rows * columns, size])
        }

        fn put_rows(rows: FloatTensor<B>, positions: IntTensor<B>, tokens: usize) -> FloatTensor<B> {
            let ([batch, k, d], results) = (rows.shape().dims(), Results::<B>::like(&rows));
            let (rows, positions) = (B::values(&rows), integers::<B>(&positions));
            let mut x = vec![0f32; batch * tokens * d];
            for (place, (row, &position)) in rows.chunks_exact(d).zip(&positions).enumerate() {
                let to = (place / k * tokens + position as usize) * d;
                x[to..to + d].copy_from_slice(row);
            }
            results.tensor(x, [batch, tokens, d])
        }
    }
}

#[cfg(all(test, any(feature = "ndarray", feature = "flex")))]
mod tests {
    use super::*;
    use crate::testing::{assert_close, assert_gradient, noise, on_every_backend};
    #[cfg(any(feature = "flex", feature = "cuda"))]
    use {crate::testing::host, burn::tensor::DType};

    fn positions<B: Backend>() -> Tensor<B, 2, Int> {
        Tensor::from_data([[0, 2, 3], [0, 1, 4]], &Default::default())
    }

    fn rows_are_those_of_gather<B: RowOps>() {
        let x = noise::<B, 3>(1, [2, 5, 3]);
        let index = element_index(positions::<B>(), 3);
        let expected = x.clone().gather(1, index.clone());
        assert_close(take_rows(x, positions()), expected.clone(), 0.0);
        let zeros = Tensor::<B, 3>::zeros([2, 5, 3], &Default::default());
        let put = float::<B>(B::put_rows(raw(expected.clone()), positions::<B>().into_primitive(), 5));
        assert_close(put, zeros.scatter(1, index, expected, IndexingUpdateOp::Add), 0.0);
    }

    fn gradients_go_to_the_kept_rows<B: RowOps>() {
        assert_gradient(noise::<B, 3>(2, [2, 5, 3]), |x| {
            let rows = take_rows(x, positions());
            (rows.clone() * rows).sum()
        });
    }

    fn patches_are_those_of_a_permuted_copy<B: RowOps>() {
        let pictures = noise::<B, 4>(5, [3, 2, 6, 9]);
        let expected = portable_patches::<B>(pictures.clone().into_primitive().tensor(), 3);
        let expected = Tensor::<B, 2>::from_primitive(TensorPrimitive::Float(expected));
        assert_eq!(expected.dims(), [18, 18]);
        assert_close(patch_rows(pictures, 3), expected, 0.0);
        assert_gradient(noise::<B, 4>(6, [1, 2, 4, 6]), |pictures| {
            let rows = patch_rows(pictures, 2);
            (rows.clone() * rows).sum()
        });
    }

    /// The gradient of a bf16 sequence is bf16: beside one of f32, kernels would read its bits for another type's.
    #[cfg(any(feature = "flex", feature = "cuda"))]
    fn bf16_gradients_stay_bf16<B: RowOps>() {
        let x = noise::<B, 3>(3, [2, 5, 4]).cast(DType::BF16);
        let rows = take_rows(x.clone(), positions());
        let put = float::<B>(B::put_rows(raw(rows.clone()), positions::<B>().into_primitive(), 5));
        assert_eq!((rows.dtype(), put.dtype()), (DType::BF16, DType::BF16));
        let (x, kept) = (host(x), [0, 2, 3, 5, 6, 9]);
        let expected = (0..40).map(|at| if kept.contains(&(at / 4)) { x[at] } else { 0.0 });
        assert_eq!(host(put), expected.collect::<Vec<_>>());
    }

    on_every_backend!(rows_are_those_of_gather, gradients_go_to_the_kept_rows, patches_are_those_of_a_permuted_copy);

    #[cfg(feature = "flex")]
    #[test]
    fn sixteen_bits_stay_sixteen_on_flex() {
        bf16_gradients_stay_bf16::<burn_flex::Flex>();
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn sixteen_bits_stay_sixteen_on_cuda() {
        bf16_gradients_stay_bf16::<burn_cuda::Cuda>();
    }
}
