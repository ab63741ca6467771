//! `adamw`: optimizer steps on one parameter.

use super::context::ParityContext;
use super::fixture::{Fixture, host};
use super::report::FileCheck;
use super::tolerance::TensorKind;
use burn::module::{Module, Param};
use burn::optim::{GradientsParams, Optimizer};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use std::path::Path;
use svitt::Result;
use svitt::train::{AdamW, AdamWSettings};
use svitt_ops::TrainBackend;

/// Learning rate and constants of the steps.
#[derive(Clone, Copy, Debug, PartialEq)]
struct AdamWConstants {
    rate: f64,
    settings: AdamWSettings,
}

/// The parameter, as a matrix, so that it decays.
#[derive(Module, Debug)]
struct MatrixParam<B: Backend> {
    weight: Param<Tensor<B, 2>>,
}

/// Compares every `p<i>` behind the first: a step with gradient `g<i−1>` after `p<i−1>`.
///
/// # Errors
/// A gradient is missing.
pub fn check<B: TrainBackend>(context: &ParityContext<B>, check: &mut FileCheck) -> Result<()> {
    let fixture = context.fixture("adamw")?;
    let AdamWConstants { rate, settings } = constants(&context.folder);
    let mut matrix = MatrixParam::<B> { weight: Param::from_tensor(values(fixture, "p0", &context.device)?) };
    let mut optimizer = AdamW::<B>::new(settings, &context.device);
    for step in 0.. {
        let name = format!("p{}", step + 1);
        let Some(reference) = fixture.find(&name) else { return Ok(()) };
        let mut gradients = GradientsParams::new();
        fixture.expect(&format!("g{step}"), &fixture.get("p0")?.shape)?;
        let gradient = values::<B::InnerBackend>(fixture, &format!("g{step}"), &context.device)?;
        gradients.register(matrix.weight.id, gradient);
        matrix = optimizer.step(rate, matrix, gradients);
        check.compare(name, TensorKind::Step, &host(matrix.weight.val()), &reference.values);
    }
    Ok(())
}

/// A tensor of any shape as one row.
fn values<B: Backend>(fixture: &Fixture, name: &str, device: &B::Device) -> Result<Tensor<B, 2>> {
    let values = fixture.get(name)?.values.clone();
    let shape = [1, values.len()];
    Ok(Tensor::from_data(TensorData::new(values, shape), device))
}

/// The constants stated in the directory's README; without it the published ones at a rate of 3e-3.
fn constants(folder: &Path) -> AdamWConstants {
    let text = std::fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    let published = AdamWConstants { rate: 3e-3, settings: AdamWSettings::default() };
    text.lines().find_map(|line| parse(line.split_once("AdamW lr ")?.1)).unwrap_or(published)
}

/// `<rate> betas <β1> <β2> eps <ε> wd <decay>`.
fn parse(line: &str) -> Option<AdamWConstants> {
    let mut words = line.split_whitespace();
    let rate = words.next()?.parse().ok()?;
    let mut number = |label: &str| match words.next()? {
        word if word == label => words.next()?.parse().ok(),
        word => word.trim_end_matches('.').parse().ok(),
    };
    let (beta1, beta2) = (number("betas")?, number("")?);
    let (epsilon, weight_decay) = (number("eps")?, number("wd")?);
    Some(AdamWConstants { rate, settings: AdamWSettings { beta1, beta2, epsilon, weight_decay, max_norm: None } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_names_the_constants() {
        let constants = parse("3e-3 betas .9 .999 eps 1e-8 wd .02").unwrap();
        assert_eq!(constants, AdamWConstants { rate: 3e-3, settings: AdamWSettings::default() });
        let other = parse("1e-2 betas 0.8 0.99 eps 1e-6 wd 0.1 and more").unwrap();
        assert_eq!((other.rate, other.settings.beta2, other.settings.weight_decay), (1e-2, 0.99, 0.1));
        assert_eq!(parse("high"), None);
    }
}
