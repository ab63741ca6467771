//! Tolerances by kind of tensor.

use svitt::backend::BackendKind;

/// What a compared tensor is, which decides its tolerance (the tolerances of the fixtures' own README).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TensorKind {
    /// Hidden states, logits, similarities and matching scores: 2e-4.
    Hidden,
    /// Probabilities and features of length 1: 1e-5.
    Probability,
    /// Losses: 1e-4 of each value.
    Loss,
    /// Gradients: 1e-3 of the tensor's largest.
    Gradient,
    /// Position tables: 1e-4.
    Table,
    /// Position tables that went through the spatial spline: 1e-3.
    SplineTable,
    /// Parameters after optimizer steps, and learning-rate multipliers: 1e-6.
    Step,
    /// Ids, indices, orders, rounded metrics, stored weights: nothing.
    Exact,
    /// Pixels that are this far apart per level: one level, on a thousandth of the values.
    Pixels(f64),
    /// A figure with a tolerance of its own, derived from that of what it is computed from.
    Derived(f64),
}

/// The share of pixels that may be a level off.
const PIXEL_SHARE: f64 = 1e-3;

/// The largest difference of two tensors, and whether it is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Largest absolute difference; where the tolerance differs among values, that of the worst one.
    pub max_abs: f64,
    /// What was allowed there.
    pub tolerance: f64,
    /// Whether every value is within its tolerance.
    pub pass: bool,
}

/// What tolerances are multiplied by: GPUs sum in another order and have their own `exp` and `erf`.
pub fn factor(backend: BackendKind) -> f64 {
    match backend {
        BackendKind::NdArray | BackendKind::Flex => 1.0,
        BackendKind::Wgpu | BackendKind::WgpuWgsl | BackendKind::Cuda => 4.0,
    }
}

impl TensorKind {
    /// Compares `ours` to `reference`, tolerances times `factor`. Another number of values, or a value that is not a
    /// number, is an infinite difference (written as the largest `f64`, because JSON has no infinity).
    pub fn difference(self, ours: &[f64], reference: &[f64], factor: f64) -> Difference {
        let largest = reference.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        let allowed = |value: f64| self.allowed(value, largest) * factor;
        if ours.len() != reference.len() {
            return Difference { max_abs: f64::MAX, tolerance: allowed(0.0), pass: false };
        }
        let mut worst = Difference { max_abs: 0.0, tolerance: allowed(largest), pass: true };
        let mut worst_excess = 0.0;
        let mut changed = 0usize;
        for (&ours, &reference) in ours.iter().zip(reference) {
            let apart = if ours == reference { 0.0 } else { (ours - reference).abs() };
            let apart = if apart.is_finite() { apart } else { f64::MAX };
            let tolerance = allowed(reference);
            let excess = if apart == 0.0 { 0.0 } else { apart / tolerance };
            if excess > worst_excess {
                worst_excess = excess;
                worst = Difference { max_abs: apart, tolerance, pass: worst.pass };
            }
            worst.pass &= apart <= tolerance;
            changed += usize::from(apart > 0.5 * self.level());
        }
        worst.pass &= changed as f64 <= self.share() * reference.len() as f64;
        worst
    }

    fn allowed(self, value: f64, largest: f64) -> f64 {
        match self {
            Self::Hidden => 2e-4,
            Self::Probability => 1e-5,
            Self::Loss => 1e-4 * value.abs(),
            Self::Gradient => 1e-3 * largest,
            Self::Table => 1e-4,
            Self::SplineTable => 1e-3,
            Self::Step => 1e-6,
            Self::Exact => 0.0,
            // A level of normalised pixels is 2/255, which f32 does not hold to the last digit.
            Self::Pixels(level) => level * (1.0 + 1e-4),
            Self::Derived(tolerance) => tolerance,
        }
    }

    /// What counts as one changed pixel; infinite where values are not counted.
    fn level(self) -> f64 {
        if let Self::Pixels(level) = self { level } else { f64::INFINITY }
    }

    /// The share of values that may change.
    fn share(self) -> f64 {
        if let Self::Pixels(_) = self { PIXEL_SHARE } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_allows_what_it_says_and_ten_times_that_fails() {
        let reference: Vec<f64> = (1..=2000).map(|i| f64::from(i) * 0.01).collect();
        let kinds = [
            (TensorKind::Hidden, 2e-4),
            (TensorKind::Probability, 1e-5),
            (TensorKind::Loss, 1e-4 * 0.08),
            (TensorKind::Gradient, 1e-3 * 20.0),
            (TensorKind::Table, 1e-4),
            (TensorKind::SplineTable, 1e-3),
            (TensorKind::Step, 1e-6),
            (TensorKind::Pixels(1.0), 1.0),
            (TensorKind::Derived(0.3), 0.3),
        ];
        for (kind, tolerance) in kinds {
            let off = |by: f64| {
                let mut ours = reference.clone();
                ours[7] += by * tolerance;
                kind.difference(&ours, &reference, 1.0)
            };
            assert!(off(0.99).pass && !off(10.0).pass, "{kind:?}");
            assert!((off(10.0).tolerance / tolerance - 1.0).abs() < 1e-3, "{kind:?}: {:?}", off(10.0));
            assert!(!off(3.0).pass && kind.difference(&reference, &reference, 4.0).pass, "{kind:?}");
        }
    }

    #[test]
    fn exact_is_exact_and_nan_never_passes() {
        assert_eq!(TensorKind::Exact.difference(&[1.0, 2.0], &[1.0, 2.0], 4.0).max_abs, 0.0);
        assert!(!TensorKind::Exact.difference(&[1.0, 2.0], &[1.0, 3.0], 4.0).pass);
        let broken = TensorKind::Hidden.difference(&[f64::NAN], &[1.0], 1.0);
        assert!(!broken.pass && broken.max_abs == f64::MAX);
        assert!(!TensorKind::Hidden.difference(&[1.0], &[], 1.0).pass);
    }

    #[test]
    fn pixels_may_be_one_level_off_on_a_thousandth() {
        let reference = vec![100.0; 5000];
        let changed = |count: usize| {
            let ours: Vec<f64> = (0..5000).map(|i| if i < count { 101.0 } else { 100.0 }).collect();
            TensorKind::Pixels(1.0).difference(&ours, &reference, 1.0).pass
        };
        assert!(changed(5) && !changed(6));
    }
}
