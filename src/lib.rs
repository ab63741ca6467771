//! Sparse video-text transformers on Burn: the model of *SViTT: Temporal Learning of Sparse Video-Text Transformers*
//! (Li et al., CVPR 2023), generic over a Burn [`Backend`](burn::tensor::backend::Backend).
//!
//! # Four crates
//!
//! | crate | what it is for |
//! |---|---|
//! | [`svitt_ops`] | block-sparse attention, token pruning and fused layers for any Burn model; no model, no file format |
//! | [`svitt_video`] | a video file becomes `u8` frames; no tensors |
//! | `svitt`, this one | the model, its training, evaluation and search, and the program `svitt` |
//! | `svitt-workshop` | what proves the program: parity with published outputs, benchmarks, ablations, damaged files, killed runs |
//!
//! How they work together, and where to add a backend, a data set, a kernel or a loss: `docs/architecture.md` in the
//! repository. What is computed, by the paper's equations: `docs/model.md`.
//!
//! # Modules
//! In the order a video and its caption pass through them, after [`svitt_video`] has read the frames:
//!
//! | module | what happens there |
//! |---|---|
//! | [`text`] | a caption becomes token ids: cleaning, WordPiece |
//! | [`data`] | records become host batches: manifests, importers, the `shapes` benchmark, the loader |
//! | [`model`] | a batch becomes hidden states and features; every video layer calls [`svitt_ops::sparse`] |
//! | [`loss`] | features become losses: functions of tensors only |
//! | [`train`] | stages of a curriculum, driven by burn-train's learner; fine-tuning |
//! | [`eval`] | protocols, metrics and reports |
//! | [`weights`] | checkpoints in and out, position tables between clip lengths |
//! | [`profile`] | edges, operations and memory, counted |
//! | [`index`] | embeddings on disk, searched |
//! | [`search`] | a folder becomes an index; a text query becomes a ranking of clips |
//! | `serve` | a page in the browser over an index, and its JSON API (feature `serve`) |
//! | [`visualize`] | what the model keeps of a clip, drawn and counted |
//! | [`viz`] | pictures, charts and self-contained pages |
//! | `hub` | files of a model hub, fetched into its cache (feature `hub`) |
//! | [`config`] | every size, rate and layer list; presets |
//! | [`backend`] | from a name to a backend and a device: the only module that names concrete backends |
//! | [`run`] | the commands as functions of options and the name of a backend, without a type parameter |
//!
//! # Quick start
#![doc = concat!("```\n", include_str!("../examples/quickstart.rs"), "```")]
//!
//! [`svitt_ops`] works in any Burn model: its example `vit` puts block-sparse attention and pruning into a plain vision
//! transformer.

// Burn's `slice([a..b])` takes an array of ranges; the lint takes it for a mistyped `(a..b).collect()`.
#![allow(clippy::single_range_in_vec_init)]

#[cfg(test)]
#[path = "../tests/skipped.rs"]
mod skipped;
#[cfg(test)]
mod testing;

pub mod backend;
mod checksums;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod data;
pub mod digest;
pub mod error;
pub mod eval;
pub mod files;
#[cfg(feature = "hub")]
pub mod hub;
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
#[cfg(feature = "serve")]
pub mod serve;
pub mod shard;
pub mod text;
pub mod train;
pub mod visualize;
pub mod viz;
pub mod weights;

pub use error::{Error, Result};
