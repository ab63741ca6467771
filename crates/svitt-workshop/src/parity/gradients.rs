//! Gradients under the official key names.

use super::fixture::Fixture;
use super::report::FileCheck;
use super::tolerance::TensorKind;
use burn::module::{AutodiffModule, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, backend::AutodiffBackend};
use svitt::Result;
use svitt::weights::{ExportedTensors, SourceKind};
use svitt_ops::TrainBackend;

/// Compares every `grad.*` of `fixture`, and the norm of all gradients, to those of `loss` with respect to `model`;
/// `kind` tells how the keys are spelled.
///
/// # Errors
/// A gradient that cannot be read back.
pub fn check<B: TrainBackend, M: AutodiffModule<B>>(
    model: &M,
    loss: Tensor<B, 1>,
    kind: SourceKind,
    fixture: &Fixture,
    check: &mut FileCheck,
) -> Result<()> {
    let gradients = of_parameters(model, loss);
    let exported = ExportedTensors::of(&gradients);
    for name in fixture.names() {
        let Some(key) = name.strip_prefix("grad.").map(|key| kind.canonical(key)) else { continue };
        if exported.names().any(|known| known == key) {
            check.compare(&name, TensorKind::Gradient, &exported.read(&key)?, &fixture.get(&name)?.values);
        }
    }
    if let Some(norm) = fixture.find("grad_norm_all") {
        let mut squares = 0.0;
        for name in exported.names() {
            squares += exported.read(name)?.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>();
        }
        check.compare("grad_norm_all", TensorKind::Gradient, &[squares.sqrt()], &norm.values);
    }
    Ok(())
}

/// `model` with every parameter replaced by its gradient, so that the map from our layout to the official one (which
/// splits query, key and value) serves gradients too.
fn of_parameters<B: AutodiffBackend, M: AutodiffModule<B>>(model: &M, loss: Tensor<B, 1>) -> M {
    let gradients = GradientsParams::from_grads(loss.backward(), model);
    model.clone().map(&mut Replace { gradients })
}

struct Replace {
    gradients: GradientsParams,
}

impl<B: AutodiffBackend> ModuleMapper<B> for Replace {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let gradient = self.gradients.get::<B::InnerBackend, D>(param.id);
        param.map(|weight| gradient.map_or_else(|| weight.zeros_like(), Tensor::from_inner))
    }
}
