//! Order-preserving selection of the k best tokens (docs/model.md, "Token pruning").

use super::rows::{RowOps, take_rows};
use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Int, Tensor, TensorPrimitive};

/// Selection as a backend operation; the default never leaves the device and sorts nothing (Burn 0.21 sorts on the
/// host).
pub trait SelectOps: Backend + RowOps {
    /// The positions of the `k` largest of `scores` `[batch, tokens]`, ascending, `[batch, k]`; of equal scores the
    /// lower position wins.
    fn keep_top(scores: FloatTensor<Self>, k: usize) -> IntTensor<Self> {
        keep_by_rank(Tensor::<Self, 2>::from_primitive(TensorPrimitive::Float(scores)), k).into_primitive()
    }
}

/// The positions of the `k` largest scores of every row, ascending: `[batch, tokens]` to `[batch, k]`.
/// Deterministic: of equal scores the lower position wins. Carries no gradient.
///
/// # Panics
/// If `k` is 0 or more than there are tokens.
pub fn keep_top<B: SelectOps>(scores: Tensor<B, 2>, k: usize) -> Tensor<B, 2, Int> {
    let n = scores.dims()[1];
    assert!((1..=n).contains(&k), "cannot keep {k} of {n} tokens");
    Tensor::from_primitive(B::keep_top(scores.into_primitive().tensor(), k))
}

/// Keeps the class token and the patches at `positions` `[batch, k]` of `x` `[batch, 1 + tokens, d]`:
/// `[batch, 1 + k, d]`. Differentiable with respect to the kept tokens.
pub fn gather_patches<B: RowOps>(x: Tensor<B, 3>, positions: &Tensor<B, 2, Int>) -> Tensor<B, 3> {
    let class = Tensor::zeros([positions.dims()[0], 1], &x.device());
    take_rows(x, Tensor::cat(vec![class, positions.clone() + 1], 1))
}

/// Selection by rank: a token is kept if fewer than `k` others have a higher score. O(tokens²) comparisons.
pub(crate) fn keep_by_rank<B: Backend>(scores: Tensor<B, 2>, k: usize) -> Tensor<B, 2, Int> {
    let [batch, n] = scores.dims();
    let device = scores.device();
    let mine = scores.clone().reshape([batch, n, 1]).expand([batch, n, n]);
    let other = scores.reshape([batch, 1, n]).expand([batch, n, n]);
    let position = Tensor::<B, 1, Int>::arange(0..n as i64, &device);
    let earlier = position.clone().reshape([1, n, 1]).greater(position.clone().reshape([1, 1, n])).int();
    let ahead = other.clone().greater(mine.clone()).int() + other.equal(mine).int() * earlier;
    let kept = ahead.sum_dim(2).reshape([batch, n]).lower_elem(k as i64);
    let place = kept.clone().int().cumsum(1) - 1;
    let place = place.mask_fill(kept.bool_not(), k as i64);
    let position = position.reshape([1, n]).expand([batch, n]);
    let places = Tensor::<B, 2, Int>::zeros([batch, k + 1], &device);
    places.scatter(1, place, position, burn::tensor::IndexingUpdateOp::Add).slice([0..batch, 0..k])
}

/// The implementation on the host, for CPU backends: O(tokens) selection of the k-th score.
#[cfg(any(feature = "ndarray", feature = "flex"))]
fn keep_on_host(scores: &[f32], n: usize, k: usize) -> Vec<i64> {
    let row = |row: &[f32]| {
        let mut order: Vec<usize> = (0..n).collect();
        if k < n {
            order.select_nth_unstable_by(k, |&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        }
        order.truncate(k);
        order.sort_unstable();
        order.into_iter().map(|i| i as i64).collect::<Vec<_>>()
    };
    scores.chunks(n).flat_map(row).collect()
}

#[cfg(any(feature = "ndarray", feature = "flex"))]
impl<B: crate::device::host::HostBackend> SelectOps for B {
    fn keep_top(scores: FloatTensor<B>, k: usize) -> IntTensor<B> {
        let scores = Tensor::<B, 2>::from_primitive(TensorPrimitive::Float(scores));
        let ([batch, n], device) = (scores.dims(), scores.device());
        let scores: Vec<f32> = scores.into_data().convert::<f32>().to_vec().unwrap_or_default();
        let kept = burn::tensor::TensorData::new(keep_on_host(&scores, n, k), [batch, k]);
        Tensor::<B, 2, Int>::from_data(kept, &device).into_primitive()
    }
}

impl<B: SelectOps, C: burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy> SelectOps
    for burn::backend::Autodiff<B, C>
{
    fn keep_top(scores: FloatTensor<Self>, k: usize) -> IntTensor<Self> {
        B::keep_top(scores.primitive, k)
    }
}

/// ceil(q · n) in the arithmetic of the official code (f64 product, then ceil), never below 1.
pub fn kept_tokens(keep_rate: f64, n: usize) -> usize {
    ((keep_rate * n as f64).ceil() as usize).clamp(1, n)
}

#[cfg(all(test, any(feature = "ndarray", feature = "flex")))]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::testing::on_every_backend;
    use burn::tensor::TensorData;

    fn scores(batch: usize, n: usize, levels: usize) -> Vec<f32> {
        let mut rng = Rng::new(11, &[n as u64]);
        (0..batch * n).map(|_| rng.below(levels) as f32).collect()
    }

    fn positions<B: Backend>(kept: Tensor<B, 2, Int>) -> Vec<i64> {
        kept.into_data().convert::<i64>().to_vec().unwrap()
    }

    fn ties_go_to_the_lower_position_and_order_is_kept<B: SelectOps>() {
        let scores =
            Tensor::<B, 2>::from_data([[1.0, 3.0, 3.0, 0.0, 3.0], [2.0, 2.0, 2.0, 2.0, 2.0]], &Default::default());
        assert_eq!(positions(keep_top(scores, 2)), [1, 2, 0, 1]);
    }

    /// Ties everywhere: 6 levels for up to 387 tokens, which is seven cubes of the kernel and a part of one.
    fn all_implementations_keep_the_same_tokens<B: SelectOps>() {
        for (batch, n, k) in [(3, 17, 5), (2, 1, 1), (1, 40, 40), (2, 33, 32), (2, 387, 201)] {
            let values = scores(batch, n, 6);
            let tensor = Tensor::<B, 2>::from_data(TensorData::new(values.clone(), [batch, n]), &Default::default());
            let expected = keep_on_host(&values, n, k);
            assert_eq!(positions(keep_top(tensor.clone(), k)), expected, "batch {batch}, {k} of {n}");
            assert_eq!(positions(keep_by_rank(tensor, k)), expected, "portable, batch {batch}, {k} of {n}");
        }
    }

    fn the_class_token_always_stays<B: RowOps>() {
        let x = Tensor::<B, 3>::from_data([[[9.0], [1.0], [2.0], [3.0]]], &Default::default());
        let kept = Tensor::<B, 2, Int>::from_data([[0, 2]], &Default::default());
        let out: Vec<f32> = gather_patches(x, &kept).into_data().to_vec().unwrap();
        assert_eq!(out, [9.0, 1.0, 3.0]);
    }

    on_every_backend!(
        ties_go_to_the_lower_position_and_order_is_kept,
        all_implementations_keep_the_same_tokens,
        the_class_token_always_stays,
    );
}
