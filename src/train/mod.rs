//! A curriculum of stages, driven by burn-train's learner.
