//! A worker's own copy of model and optimizer, on its device. Copies go through the host: that happens once a stage,
//! and needs no path between the devices.

use crate::train::{AdamW, AdamWState, Moments, NonFiniteCheck};
use burn::module::{AutodiffModule, ModuleMapper, Param};
use burn::tensor::{Tensor, backend::AutodiffBackend, backend::Backend};

/// `model` on `device`, with parameters of its own: backward passes of two replicas never meet in one graph.
pub fn model<B: AutodiffBackend, M: AutodiffModule<B>>(model: M, device: &B::Device) -> M {
    model.map(&mut Replica::<B> { device })
}

struct Replica<'a, B: Backend> {
    device: &'a B::Device,
}

impl<B: AutodiffBackend> ModuleMapper<B> for Replica<'_, B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let tracked = tensor.is_require_grad();
        let copy = Tensor::from_inner(moved(tensor.inner(), self.device));
        Param::from_mapped_value(id, copy.set_require_grad(tracked), mapper)
    }
}

/// An optimizer of its own that goes on where `optimizer` is.
pub fn optimizer<B: AutodiffBackend>(optimizer: &AdamW<B>, device: &B::Device) -> AdamW<B> {
    let state = optimizer.state();
    let moments = state.moments.into_iter().map(|moments| {
        moments.map(|Moments { first, second }| Moments { first: moved(first, device), second: moved(second, device) })
    });
    let nonfinite = NonFiniteCheck::resume(state.nonfinite.steps, state.nonfinite.read(), device);
    let corrections = state.corrections.map(|correction| moved(correction, device));
    AdamW::resume(optimizer.settings, AdamWState { moments: moments.collect(), corrections, nonfinite })
}

fn moved<B: Backend, const D: usize>(tensor: Tensor<B, D>, device: &B::Device) -> Tensor<B, D> {
    Tensor::from_data(tensor.into_data(), device)
}
