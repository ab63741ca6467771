//! # svitt: sparse video-text transformers on Burn
//!
//! The model of *SViTT: Temporal Learning of Sparse Video-Text Transformers* (Li et al., CVPR 2023),
//! generic over a Burn [`Backend`](burn::tensor::backend::Backend).
//!
//! The modules in the order a video passes through them:
//!
//! | room | what happens there |
//! |---|---|
//! | [`video`] | a file becomes `u8` frames: sampling, decoding, resizing; no tensors |
//! | [`text`] | a caption becomes token ids: cleaning, WordPiece |
//! | [`data`] | records become host batches: manifests, importers, the `shapes` benchmark, the loader |
//! | [`model`] | a batch becomes hidden states and features |
//! | [`sparse`] | the block-sparse attention op every video layer calls; knows no model |
//! | [`tokens`] | token pruning: which tokens are kept, and their original ids; knows no model |
//! | [`fused`] | layer norm, GELU and residual in one pass each; knows no model |
//! | [`loss`] | features become losses; functions of tensors only |
//! | [`train`] | stages of a curriculum, driven by burn-train's learner |
//! | [`eval`] | protocols, metrics and reports |
//! | [`ablation`] | the paper's ablations, as a grid of cells |
//! | [`weights`] | checkpoints in and out, position tables between clip lengths |
//! | [`parity`] | the numbers of the official implementation, compared file by file |
//! | [`profile`] | edges, FLOPs and memory, counted |
//! | [`mod@bench`] | the model, timed |
//! | [`index`] | embeddings on disk, searched |
//! | [`search`] | a folder becomes an index; a text query becomes a ranking of clips |
//! | [`visualize`] | what the model keeps of a clip, drawn and counted |
//! | [`viz`] | token maps and curves as PNG and HTML |
//!
//! # Quick start
#![doc = concat!("```\n", include_str!("../examples/quickstart.rs"), "```")]
//!
//! [`sparse`] and [`tokens`] work in any Burn model: `examples/vit.rs` puts them into a plain vision transformer.
//!
//! [`config`] holds every size, rate and layer list; [`backend`] is the only place that names concrete backends.

// Burn's `slice([a..b])` takes an array of ranges; the lint takes it for a mistyped `(a..b).collect()`.
#![allow(clippy::single_range_in_vec_init)]

#[cfg(test)]
mod testing;

pub mod backend;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod data;
pub mod digest;
pub mod error;
pub mod eval;
pub mod files;
pub mod index;
pub mod input;
pub mod limits;
pub mod loss;
pub mod model;
pub mod panics;
pub mod printable;
pub mod profile;
pub mod progress;
pub mod run;
pub mod search;
pub mod text;
pub mod train;
pub mod visualize;
pub mod viz;
pub mod weights;

pub use error::{Error, Result};
