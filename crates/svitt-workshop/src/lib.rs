//! What proves svitt: parity with published implementations, benchmarks, ablations, damaged files, killed runs.

// Burn's `slice([a..b])` takes an array of ranges; the lint takes it for a mistyped `(a..b).collect()`.
#![allow(clippy::single_range_in_vec_init)]

pub mod ablation;
pub mod bench;
pub mod cli;
pub mod fuzz;
pub mod parity;
