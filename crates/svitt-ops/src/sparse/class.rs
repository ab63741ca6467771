//! The attention row of the class token alone: the scores by which a pruning layer ranks tokens.

use crate::device::cast;
use burn::tensor::{DType, Tensor, activation::softmax, backend::Backend};

/// See [`super::SparseOps::class_attention`]; computed in f32 whatever the inputs' type, so that a rank depends on no
/// rounding of the scores.
pub(super) fn attention<B: Backend>(qkv: Tensor<B, 3>, table: Tensor<B, 2>) -> Tensor<B, 2> {
    let [rows, heads] = table.dims();
    let [batch, s, width] = qkv.dims();
    let (c, d) = (width / 3, width / 3 / heads);
    let wide = |part| cast(part, DType::F32);
    let query = wide(qkv.clone().slice([0..batch, 0..1, 0..c])).reshape([batch, 1, heads, d]).swap_dims(1, 2);
    let keys = wide(qkv.slice([0..batch, 0..s, c..2 * c])).reshape([batch, s, heads, d]).swap_dims(1, 2);
    let scores = query.mul_scalar((d as f64).powf(-0.5)).matmul(keys.swap_dims(2, 3));
    let table = cast(table, DType::F32);
    let to_patch = table.clone().slice([rows - 3..rows - 2, 0..heads]).reshape([1, heads, 1, 1]).repeat_dim(3, s - 1);
    let to_class = table.slice([rows - 1..rows, 0..heads]).reshape([1, heads, 1, 1]);
    let probabilities = softmax(scores + Tensor::cat(vec![to_class, to_patch], 3), 3);
    probabilities.slice([0..batch, 0..heads, 0..1, 1..s]).mean_dim(1).reshape([batch, s - 1])
}
