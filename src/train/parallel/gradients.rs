//! A model's gradients as a list of vectors, in the order in which the model visits its parameters.

use burn::module::{AutodiffModule, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, backend::AutodiffBackend};

/// Which parameters of `module` have a gradient in `grads`.
pub fn present<B: AutodiffBackend, M: AutodiffModule<B>>(module: &M, grads: &GradientsParams) -> Vec<bool> {
    let mut visitor = Present { grads, found: Vec::new() };
    module.visit(&mut visitor);
    visitor.found
}

struct Present<'a> {
    grads: &'a GradientsParams,
    found: Vec<bool>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Present<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.found.push(self.grads.get::<B::InnerBackend, D>(param.id).is_some());
    }
}

/// The gradients of the parameters that are `wanted`, flattened; zeros where `grads` has none.
pub fn flatten<B: AutodiffBackend, M: AutodiffModule<B>>(
    module: &M,
    grads: GradientsParams,
    wanted: &[bool],
) -> Vec<Tensor<B::InnerBackend, 1>> {
    let mut visitor = Flatten::<B> { grads, wanted, place: 0, vectors: Vec::new() };
    module.visit(&mut visitor);
    visitor.vectors
}

struct Flatten<'a, B: AutodiffBackend> {
    grads: GradientsParams,
    wanted: &'a [bool],
    place: usize,
    vectors: Vec<Tensor<B::InnerBackend, 1>>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Flatten<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if self.wanted[self.place] {
            let grad = self.grads.remove::<B::InnerBackend, D>(param.id);
            let grad = grad.unwrap_or_else(|| param.val().inner().zeros_like());
            let elements = grad.shape().num_elements();
            self.vectors.push(grad.reshape([elements]));
        }
        self.place += 1;
    }
}

/// The inverse of [`flatten`].
pub fn restore<B: AutodiffBackend, M: AutodiffModule<B>>(
    module: &M,
    vectors: Vec<Tensor<B::InnerBackend, 1>>,
    wanted: &[bool],
) -> GradientsParams {
    let mut visitor = Restore::<B> { grads: GradientsParams::new(), wanted, place: 0, vectors: vectors.into_iter() };
    module.visit(&mut visitor);
    visitor.grads
}

struct Restore<'a, B: AutodiffBackend> {
    grads: GradientsParams,
    wanted: &'a [bool],
    place: usize,
    vectors: std::vec::IntoIter<Tensor<B::InnerBackend, 1>>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Restore<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if self.wanted[self.place]
            && let Some(vector) = self.vectors.next()
        {
            self.grads.register::<B::InnerBackend, D>(param.id, vector.reshape(param.dims()));
        }
        self.place += 1;
    }
}
