//! What proves svitt: parity with published implementations, benchmarks, ablations, damaged files, killed runs.
//!
//! | module | question it answers |
//! |---|---|
//! | [`parity`] | are these the numbers of the published implementation? Every file of a directory of recorded outputs, tensor by tensor |
//! | [`mod@bench`] | how fast is the base encoder, as a share of this machine's own matrix product? |
//! | [`ablation`] | what do the paper's ablations say on `shapes`? One grid of trained and measured cells |
//! | [`fuzz`] | does any damaged file make a reader panic, hang or take memory without bound? |
//! | [`cli`] | the commands of `svitt-workshop`, among them `faults`: is anything lost that was reported as saved when a run is killed? |
//!
//! Nothing in `svitt` depends on this crate, and it publishes nothing that a user of the model needs.

// Burn's `slice([a..b])` takes an array of ranges; the lint takes it for a mistyped `(a..b).collect()`.
#![allow(clippy::single_range_in_vec_init)]

#[cfg(test)]
#[path = "../../../tests/skipped.rs"]
mod skipped;

pub mod ablation;
pub mod bench;
pub mod cli;
pub mod fuzz;
pub mod parity;
