//! AdamW as in PyTorch, with what Burn's lacks: parameter groups by dimension, clipping by the global norm, and a
//! device-side flag that skips steps with a non-finite loss or gradient.

use super::nonfinite::NonFiniteCheck;
use crate::config::Stage;
use burn::module::{AutodiffModule, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{GradientsParams, LearningRate, MultiGradientsParams, Optimizer};
use burn::tensor::{
    Tensor,
    backend::{AutodiffBackend, Backend},
};
use std::sync::{Arc, Mutex, PoisonError};
use svitt_ops::TrainBackend;
use svitt_ops::fused::{AdamWStep, adamw, square_sum};

/// The constants of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWSettings {
    /// β1, decay of the first moment.
    pub beta1: f64,
    /// β2, decay of the second moment.
    pub beta2: f64,
    /// ε, added to the root of the corrected second moment.
    pub epsilon: f64,
    /// Decoupled decay of the parameters that [`decays`] names, per unit of learning rate.
    pub weight_decay: f64,
    /// Largest global gradient norm, or none.
    pub max_norm: Option<f64>,
}

impl Default for AdamWSettings {
    /// The published settings (docs/model.md, "Optimizer"): (.9, .999), 1e-8, .02, no clipping.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.02, max_norm: None }
    }
}

impl AdamWSettings {
    /// What `stage` asks for.
    pub fn of(stage: &Stage) -> Self {
        let Stage { weight_decay, max_norm, beta2, .. } = *stage;
        Self { weight_decay, max_norm, beta2, ..Self::default() }
    }
}

/// Whether weight decay applies to the parameter at `path` (its field names) with `dims` dimensions: not to biases and
/// other vectors, but to the temperature, which the published model holds without any dimension, and to the class
/// token, which it holds with three (docs/model.md, "Optimizer").
pub fn decays(path: &[String], dims: usize) -> bool {
    match path.last().map(String::as_str) {
        Some("temp" | "cls_token") => true,
        Some(name) if name == "bias" || name.ends_with("_bias") => false,
        _ => dims != 1,
    }
}

/// First and second moment of one parameter, flattened.
#[derive(Clone, Debug)]
pub struct Moments<B: Backend> {
    /// m, the running mean of the gradient: `[elements]`.
    pub first: Tensor<B, 1>,
    /// v, the running mean of its square: `[elements]`.
    pub second: Tensor<B, 1>,
}

/// The optimizer's state. Parameters are identified by visiting order, so that the state fits weights loaded from a
/// file, whose ids are new.
#[derive(Clone, Debug)]
pub struct AdamWState<B: Backend> {
    /// Moments per parameter; none before its first gradient.
    pub moments: Vec<Option<Moments<B>>>,
    /// 1 − β1ᵗ and 1 − β2ᵗ for the t updates that were not skipped: `[1]` each, kept on the device because only the
    /// device knows which were.
    pub corrections: [Tensor<B, 1>; 2],
    /// What happened to the updates.
    pub nonfinite: NonFiniteCheck<B>,
}

impl<B: Backend> AdamWState<B> {
    /// The state before the first step.
    pub fn new(device: &B::Device) -> Self {
        let zero = || Tensor::zeros([1], device);
        Self { moments: Vec::new(), corrections: [zero(), zero()], nonfinite: NonFiniteCheck::new(device) }
    }
}

/// The optimizer. Clones share their state: the learner owns one, the training loop reads checkpoints off another.
#[derive(Clone, Debug)]
pub struct AdamW<B: AutodiffBackend> {
    /// Its constants.
    pub settings: AdamWSettings,
    state: Arc<Mutex<AdamWState<B::InnerBackend>>>,
}

impl<B: AutodiffBackend> AdamW<B> {
    /// A fresh optimizer.
    pub fn new(settings: AdamWSettings, device: &B::Device) -> Self {
        Self::resume(settings, AdamWState::new(device))
    }

    /// An optimizer that goes on from `state`.
    pub fn resume(settings: AdamWSettings, state: AdamWState<B::InnerBackend>) -> Self {
        Self { settings, state: Arc::new(Mutex::new(state)) }
    }

    /// A copy of the state, for a checkpoint; tensors are shared, not copied.
    pub fn state(&self) -> AdamWState<B::InnerBackend> {
        self.lock().clone()
    }

    /// Tells the next step what the loss was (`[1]`, the sum over its micro-batches): where it is not finite, that
    /// step changes nothing.
    pub fn observe_loss(&self, loss: Tensor<B::InnerBackend, 1>) {
        self.lock().nonfinite.observe(loss);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, AdamWState<B::InnerBackend>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: TrainBackend, M: AutodiffModule<B>> Optimizer<M, B> for AdamW<B> {
    /// `[1 − β1ᵗ, 1 − β2ᵗ]`, then the two moments of every parameter in visiting order (empty where there are none).
    type Record = Vec<Tensor<B, 1>>;

    fn step(&mut self, lr: LearningRate, module: M, mut grads: GradientsParams) -> M {
        let mut state = self.lock();
        let mut squares = SquareSum::<B> { grads: &grads, total: None };
        module.visit(&mut squares);
        let Some(total) = squares.total else { return module };
        let scale = state.nonfinite.update(total, self.settings.max_norm);
        let [c1, c2] = state.corrections.clone();
        let applied = state.nonfinite.applied.clone();
        let advance = |c: Tensor<B::InnerBackend, 1>, beta: f64| {
            c.clone() + applied.clone() * (c.neg().add_scalar(1.0)).mul_scalar(1.0 - beta)
        };
        state.corrections = [advance(c1, self.settings.beta1), advance(c2, self.settings.beta2)];
        let step = StepScalars::new(&self.settings, lr, &state, scale);
        let mut update = Update::<B> { grads: &mut grads, step, moments: &mut state.moments, place: 0, path: vec![] };
        module.map(&mut update)
    }

    fn step_multi(&mut self, lr: LearningRate, module: M, mut grads: MultiGradientsParams) -> M {
        match grads.grads.len() {
            0 => module,
            _ => {
                let (first, _) = grads.grads.swap_remove(0);
                self.step(lr, module, first)
            }
        }
    }

    fn to_record(&self) -> Self::Record {
        let state = self.lock();
        let moments = state.moments.iter().flat_map(|moments| match moments {
            Some(m) => [m.first.clone(), m.second.clone()],
            None => [0, 1].map(|_| Tensor::empty([0], &state.corrections[0].device())),
        });
        state.corrections.iter().cloned().chain(moments).map(Tensor::from_inner).collect()
    }

    fn load_record(self, record: Self::Record) -> Self {
        let mut tensors = record.into_iter().map(Tensor::inner);
        if let (Some(c1), Some(c2)) = (tensors.next(), tensors.next()) {
            let mut state = self.lock();
            state.corrections = [c1, c2];
            state.moments.clear();
            while let (Some(first), Some(second)) = (tensors.next(), tensors.next()) {
                state.moments.push((first.dims()[0] > 0).then_some(Moments { first, second }));
            }
        }
        self
    }
}

/// Σ g² over all gradients of a module: `[1]`.
struct SquareSum<'a, B: AutodiffBackend> {
    grads: &'a GradientsParams,
    total: Option<Tensor<B::InnerBackend, 1>>,
}

impl<B: TrainBackend> ModuleVisitor<B> for SquareSum<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(grad) = self.grads.get::<B::InnerBackend, D>(param.id) {
            let flat = grad.flatten::<1>(0, D - 1);
            let square = square_sum(flat);
            self.total = Some(match self.total.take() {
                Some(total) => total + square,
                None => square,
            });
        }
    }
}

/// The numbers one step uses for every parameter.
struct StepScalars<B: Backend> {
    step: AdamWStep<B>,
    lr: f64,
    weight_decay: f64,
}

impl<B: Backend> StepScalars<B> {
    fn new(settings: &AdamWSettings, lr: f64, state: &AdamWState<B>, scale: Option<Tensor<B, 1>>) -> Self {
        // Before the first applied step both corrections are 0; the result is thrown away, but must not be NaN.
        let [c1, c2] = state.corrections.clone().map(|c| c.clamp_min(1e-30));
        let step = AdamWStep {
            scale,
            skip: state.nonfinite.applied.clone().lower_elem(0.5),
            root: c2.sqrt(),
            size: c1.recip().mul_scalar(lr),
            betas: [settings.beta1, settings.beta2],
            epsilon: settings.epsilon,
        };
        Self { step, lr, weight_decay: settings.weight_decay }
    }
}

/// Applies one step to a module.
struct Update<'a, B: AutodiffBackend> {
    grads: &'a mut GradientsParams,
    step: StepScalars<B::InnerBackend>,
    moments: &'a mut Vec<Option<Moments<B::InnerBackend>>>,
    place: usize,
    path: Vec<String>,
}

impl<B: TrainBackend> Update<'_, B> {
    /// The updated parameter and its moments, all `[elements]`.
    fn updated(
        &self,
        old: Tensor<B::InnerBackend, 1>,
        grad: Tensor<B::InnerBackend, 1>,
        moments: Option<Moments<B::InnerBackend>>,
        decays: bool,
    ) -> (Tensor<B::InnerBackend, 1>, Moments<B::InnerBackend>) {
        let StepScalars { step, lr, weight_decay } = &self.step;
        let before = moments.unwrap_or_else(|| Moments { first: old.zeros_like(), second: old.zeros_like() });
        let decay = if decays { lr * weight_decay } else { 0.0 };
        let [new, first, second] = adamw([old, before.first, before.second], grad, step, decay);
        (new, Moments { first, second })
    }

    fn moments_at_place(&mut self) -> Option<Moments<B::InnerBackend>> {
        if self.moments.len() <= self.place {
            self.moments.resize_with(self.place + 1, || None);
        }
        self.moments[self.place].take()
    }
}

impl<B: TrainBackend> ModuleMapper<B> for Update<'_, B> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let before = self.moments_at_place();
        let (id, tensor, mapper) = param.consume();
        let tensor = match self.grads.remove::<B::InnerBackend, D>(id) {
            None => {
                self.moments[self.place] = before;
                tensor
            }
            Some(grad) => {
                let shape = tensor.dims();
                let tracked = tensor.is_require_grad();
                let decay = decays(&self.path, D);
                let (old, grad) = (tensor.inner().flatten::<1>(0, D - 1), grad.flatten::<1>(0, D - 1));
                let (new, moments) = self.updated(old, grad, before, decay);
                self.moments[self.place] = Some(moments);
                Tensor::from_inner(new.reshape(shape)).set_require_grad(tracked)
            }
        };
        self.place += 1;
        Param::from_mapped_value(id, tensor, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{GradientAccumulator, toy_model::ToyModel};
    use burn::backend::Autodiff;
    use safetensors::SafeTensors;

    /// Three steps of `torch.optim.AdamW`, learning rate 3e-3, on one 5 × 4 parameter: p0, g0, p1, g1, p2, g2, p3.
    fn reference(name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(include_bytes!("../../tests/fixtures/adamw.safetensors")).unwrap();
        let view = file.tensor(name).unwrap();
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
    }

    fn step<B: TrainBackend>(optimizer: &mut AdamW<B>, toy: ToyModel<B>, g: &[f32]) -> ToyModel<B> {
        let loss = toy.linear_loss(g);
        optimizer.observe_loss(loss.clone().inner());
        let grads = GradientsParams::from_grads(loss.backward(), &toy);
        optimizer.step(3e-3, toy, grads)
    }

    fn three_steps_are_pytorchs<B: TrainBackend>() {
        let device = B::Device::default();
        let mut toy = ToyModel::<B>::new(&reference("p0"), &device);
        let mut optimizer = AdamW::new(AdamWSettings::default(), &device);
        for k in 0..3 {
            toy = step(&mut optimizer, toy, &reference(&format!("g{k}")));
            let error = largest_difference(&toy.weights(), &reference(&format!("p{}", k + 1)));
            assert!(error < 1e-6, "step {k}: off by {error}");
        }
    }

    /// A NaN gradient between two good ones leaves weights, moments and the count of steps as they were.
    fn a_skipped_step_changes_nothing<B: TrainBackend>() {
        let device = B::Device::default();
        let mut toy = ToyModel::<B>::new(&reference("p0"), &device);
        let mut optimizer = AdamW::new(AdamWSettings::default(), &device);
        let mut nan = reference("g1");
        nan[7] = f32::NAN;
        for k in 0..3 {
            toy = step(&mut optimizer, toy, &reference(&format!("g{k}")));
            toy = step(&mut optimizer, toy, &nan);
            let error = largest_difference(&toy.weights(), &reference(&format!("p{}", k + 1)));
            assert!(error < 1e-6, "step {k}: off by {error}");
        }
        let skipped = optimizer.state().nonfinite.read();
        assert_eq!(skipped, crate::train::SkippedSteps { streak: 1, total: 3, last: 6 });
    }

    fn clipping_is_by_the_global_norm<B: TrainBackend>() {
        let device = B::Device::default();
        let g: Vec<f32> = (0..20).map(|i| i as f32 - 9.0).collect();
        let norm = g.iter().map(|g| g * g).sum::<f32>().sqrt();
        let mut clipped = AdamW::new(AdamWSettings { max_norm: Some(0.5), ..AdamWSettings::default() }, &device);
        step(&mut clipped, ToyModel::<B>::new(&reference("p0"), &device), &g);
        let first = clipped.state().moments[0].as_ref().unwrap().first.clone().into_data().to_vec::<f32>().unwrap();
        let expected: Vec<f32> = g.iter().map(|g| 0.1 * g * 0.5 / norm).collect();
        assert!(largest_difference(&first, &expected) < 1e-6, "{first:?}");
    }

    fn accumulation_is_a_mean_at_the_tail_too<B: TrainBackend>() {
        let device = B::Device::default();
        let toy = ToyModel::<B>::new(&reference("p0"), &device);
        let mut accumulator = GradientAccumulator::default();
        let mut means = Vec::new();
        for group in [vec![1.0f32, 2.0, 6.0], vec![5.0, 7.0]] {
            for scale in group {
                let loss = toy.linear_loss(&[scale; 20]);
                accumulator.add::<B, _>(&toy, GradientsParams::from_grads(loss.backward(), &toy));
            }
            let mean = accumulator.mean::<B, _>(&toy).unwrap();
            let grad = mean.get::<B::InnerBackend, 2>(toy.weight.id).unwrap();
            means.push(grad.into_data().to_vec::<f32>().unwrap()[3]);
        }
        assert_eq!(means, [3.0, 6.0], "three micro-batches, then a tail of two");
        assert!(accumulator.mean::<B, _>(&toy).is_none());
    }

    fn a_record_resumes<B: TrainBackend>() {
        let device = B::Device::default();
        let mut toy = ToyModel::<B>::new(&reference("p0"), &device);
        let mut optimizer = AdamW::new(AdamWSettings::default(), &device);
        toy = step(&mut optimizer, toy, &reference("g0"));
        let record = Optimizer::<ToyModel<B>, B>::to_record(&optimizer);
        let fresh = AdamW::<B>::new(AdamWSettings::default(), &device);
        let mut resumed = Optimizer::<ToyModel<B>, B>::load_record(fresh, record);
        toy = step(&mut resumed, toy, &reference("g1"));
        assert!(largest_difference(&toy.weights(), &reference("p2")) < 1e-6);
    }

    fn every_check<B: TrainBackend>() {
        three_steps_are_pytorchs::<B>();
        a_skipped_step_changes_nothing::<B>();
        clipping_is_by_the_global_norm::<B>();
        accumulation_is_a_mean_at_the_tail_too::<B>();
        a_record_resumes::<B>();
    }

    #[test]
    #[cfg(feature = "ndarray")]
    fn on_ndarray() {
        every_check::<Autodiff<burn_ndarray::NdArray>>();
    }

    #[test]
    #[cfg(feature = "flex")]
    fn on_flex() {
        every_check::<Autodiff<burn_flex::Flex>>();
    }

    #[test]
    fn decay_skips_vectors_but_not_the_temperature() {
        let path = |names: &[&str]| names.iter().map(|n| (*n).to_string()).collect::<Vec<_>>();
        assert!(decays(&path(&["video", "layers", "0", "table"]), 2));
        assert!(decays(&path(&["temp"]), 1) && decays(&path(&["video", "cls_token"]), 1));
        assert!(!decays(&path(&["text", "norm", "gamma"]), 1));
        assert!(!decays(&path(&["video", "layers", "0", "q_bias"]), 2));
    }
}
