//! Original patch ids and position coordinates of the remaining tokens.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

/// Original patch ids p = (t·H + y)·W + x of the tokens of a sequence, and the coordinates their position bias is
/// looked up by; one row for all samples until a pruning layer tells samples apart.
#[derive(Clone, Debug)]
pub struct TokenMap<B: Backend> {
    /// `[1 | batch, tokens]`.
    pub ids: Tensor<B, 2, Int>,
    /// `[1 | batch, tokens]`.
    pub coords: Tensor<B, 2, Int>,
}

impl<B: Backend> TokenMap<B> {
    /// The tokens `order` of a full grid whose patch p has coordinate `coords[p]`.
    pub fn new(order: &[usize], coords: &[i64], device: &B::Device) -> Self {
        let row = |values: Vec<i64>| Tensor::from_data(TensorData::new(values, [1, order.len()]), device);
        Self {
            ids: row(order.iter().map(|&p| p as i64).collect()),
            coords: row(order.iter().map(|&p| coords[p]).collect()),
        }
    }

    /// The map of the tokens at `positions` `[batch, k]`.
    pub fn keep(&self, positions: &Tensor<B, 2, Int>) -> Self {
        let batch = positions.dims()[0];
        let keep = |x: &Tensor<B, 2, Int>| {
            let tokens = x.dims()[1];
            x.clone().expand([batch, tokens]).gather(1, positions.clone())
        };
        Self { ids: keep(&self.ids), coords: keep(&self.coords) }
    }
}
