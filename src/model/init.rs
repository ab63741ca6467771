//! Initial weights as BERT and BEiT have them, drawn on the host so that every backend starts from the same numbers.

use burn::module::Param;
use burn::nn::{Embedding, LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use rayon::prelude::*;
use svitt_ops::rng::Rng;

/// Standard deviation of every weight matrix and embedding table.
pub const STD: f64 = 0.02;

/// Values drawn under one key: large enough to hide the cost of a key, small enough to share a table among threads.
const CHUNK: usize = 4096;

/// Draws the tensors of a model, one after the other, from one seed.
#[derive(Debug)]
pub struct Init<B: Backend> {
    seed: u64,
    drawn: u64,
    device: B::Device,
}

impl<B: Backend> Init<B> {
    /// The draws of `seed`, put on `device`.
    pub fn new(seed: u64, device: &B::Device) -> Self {
        Self { seed, drawn: 0, device: device.clone() }
    }

    /// Where the tensors are put.
    pub fn device(&self) -> &B::Device {
        &self.device
    }

    /// A tensor of `shape` from the normal distribution of deviation [`STD`], truncated at two deviations.
    pub fn normal<const D: usize>(&mut self, shape: [usize; D]) -> Param<Tensor<B, D>> {
        self.drawn += 1;
        let mut values = vec![0f32; shape.iter().product()];
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
            let mut rng = Rng::new(self.seed, &[self.drawn, chunk as u64]);
            values.fill_with(|| (STD * truncated_normal(&mut rng)) as f32);
        });
        self.param(TensorData::new(values, shape))
    }

    /// A tensor of `shape` filled with `value`.
    pub fn constant<const D: usize>(&mut self, shape: [usize; D], value: f64) -> Param<Tensor<B, D>> {
        self.param(TensorData::new(vec![value as f32; shape.iter().product()], shape))
    }

    /// A linear layer from `input` to `output` features, bias 0.
    pub fn linear(&mut self, input: usize, output: usize) -> Linear<B> {
        Linear { weight: self.normal([input, output]), bias: Some(self.constant([output], 0.0)) }
    }

    /// A table of `rows` vectors of `width`.
    pub fn embedding(&mut self, rows: usize, width: usize) -> Embedding<B> {
        Embedding { weight: self.normal([rows, width]) }
    }

    /// A layer norm over `width` features: weight 1, bias 0.
    pub fn layer_norm(&mut self, width: usize, epsilon: f64) -> LayerNorm<B> {
        LayerNormConfig::new(width).with_epsilon(epsilon).init(&self.device)
    }

    fn param<const D: usize>(&self, data: TensorData) -> Param<Tensor<B, D>> {
        Param::from_tensor(Tensor::from_data(data, &self.device))
    }
}

/// A standard normal draw, redrawn while it lies beyond two deviations.
fn truncated_normal(rng: &mut Rng) -> f64 {
    loop {
        let value = rng.normal();
        if value.abs() <= 2.0 {
            return value;
        }
    }
}

#[cfg(all(test, feature = "ndarray"))]
mod tests {
    use super::*;

    type B = burn_ndarray::NdArray;

    #[test]
    fn weights_have_the_moments_of_the_truncated_normal() {
        let weight = Init::<B>::new(3, &Default::default()).normal([101, 113]).val();
        let values: Vec<f32> = weight.into_data().to_vec().unwrap();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let deviation = (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt();
        assert!(mean.abs() < 5e-4, "{mean}");
        // A standard normal cut at two deviations has a deviation of 0.8796.
        assert!((deviation - 0.017_59).abs() < 2e-4, "{deviation}");
        assert!(values.iter().all(|v| v.abs() <= 0.040_001));
    }

    #[test]
    fn draws_depend_on_seed_and_position_alone() {
        let draw = |seed| {
            let mut init = Init::<B>::new(seed, &Default::default());
            let first = init.linear(5, 7).weight.val().into_data();
            (first, init.linear(5, 7).weight.val().into_data())
        };
        let ((a, b), (again, _), (other, _)) = (draw(1), draw(1), draw(2));
        assert_eq!(a, again);
        assert_ne!(a, b);
        assert_ne!(a, other);
    }
}
