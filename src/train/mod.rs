//! A curriculum of stages, driven by burn-train's learner.

mod accumulate;
mod flag;
mod optimizer;
mod schedule;
#[cfg(test)]
mod toy;

pub use accumulate::Accumulator;
pub use flag::{Skipped, StepFlag};
pub use optimizer::{AdamW, AdamWSettings, AdamWState, Moments, decays};
pub use schedule::WarmupCosine;
