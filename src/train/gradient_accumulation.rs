//! Gradient accumulation: the mean over the micro-batches, so that the shorter last step of an epoch has the same
//! weight.

use burn::module::{AutodiffModule, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, backend::AutodiffBackend};
use std::marker::PhantomData;

/// Gradients and losses of the micro-batches seen since the last step.
#[derive(Debug, Default)]
pub struct GradientAccumulator {
    sum: Option<GradientsParams>,
    count: usize,
}

impl GradientAccumulator {
    /// Micro-batches added since the last [`Self::mean`].
    pub fn count(&self) -> usize {
        self.count
    }

    /// Adds the gradients of one micro-batch of `module`.
    pub fn add<B: AutodiffBackend, M: AutodiffModule<B>>(&mut self, module: &M, grads: GradientsParams) {
        self.count += 1;
        self.sum = Some(match self.sum.take() {
            None => grads,
            Some(sum) => combine::<B, M>(module, sum, Some(grads), 1.0),
        });
    }

    /// The mean of what was added, and an empty accumulator again; none where nothing was added.
    pub fn mean<B: AutodiffBackend, M: AutodiffModule<B>>(&mut self, module: &M) -> Option<GradientsParams> {
        let count = std::mem::take(&mut self.count);
        let sum = self.sum.take()?;
        Some(if count == 1 { sum } else { combine::<B, M>(module, sum, None, 1.0 / count as f64) })
    }
}

/// `scale · (sum + more)` per parameter; a parameter may have a gradient in only one of the two.
fn combine<B: AutodiffBackend, M: AutodiffModule<B>>(
    module: &M,
    sum: GradientsParams,
    more: Option<GradientsParams>,
    scale: f64,
) -> GradientsParams {
    let mut visitor = Combine { sum, more, scale, backend: PhantomData::<B> };
    module.visit(&mut visitor);
    visitor.sum
}

struct Combine<B> {
    sum: GradientsParams,
    more: Option<GradientsParams>,
    scale: f64,
    backend: PhantomData<B>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Combine<B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let before = self.sum.remove::<B::InnerBackend, D>(param.id);
        let more = self.more.as_mut().and_then(|grads| grads.remove::<B::InnerBackend, D>(param.id));
        let total = match (before, more) {
            (Some(before), Some(more)) => before + more,
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => return,
        };
        let total = if self.scale == 1.0 { total } else { total.mul_scalar(self.scale) };
        self.sum.register::<B::InnerBackend, D>(param.id, total);
    }
}
