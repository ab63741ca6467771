//! A two-tensor model for the tests of this module.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, backend::Backend};

/// `weight [5, 4]` is decayed, `bias [4]` is not.
#[derive(Module, Debug)]
pub struct ToyModel<B: Backend> {
    /// `[5, 4]`.
    pub weight: Param<Tensor<B, 2>>,
    /// `[4]`.
    pub bias: Param<Tensor<B, 1>>,
}

impl<B: Backend> ToyModel<B> {
    /// `weight` from a slice of 20 numbers, `bias` of ones.
    pub fn new(weight: &[f32], device: &B::Device) -> Self {
        let weight = Tensor::<B, 1>::from_floats(weight, device).reshape([5, 4]);
        Self { weight: Param::from_tensor(weight), bias: Param::from_tensor(Tensor::ones([4], device)) }
    }

    /// Σ weight · g: its gradient is `g`.
    pub fn linear_loss(&self, g: &[f32]) -> Tensor<B, 1> {
        let g = Tensor::<B, 1>::from_floats(g, &self.weight.device()).reshape([5, 4]);
        (self.weight.val() * g).sum()
    }

    /// The weight on the host, row-major.
    pub fn weights(&self) -> Vec<f32> {
        self.weight.val().into_data().to_vec().unwrap()
    }
}
