//! Checkpoints in and out, under the official key names.
//!
//! | file | what it does |
//! |---|---|
//! | [`archive`], [`pickle`], [`value`], [`object`], [`pth`] | PyTorch files, read without running anything in them |
//! | [`safetensors`] | safetensors files, read lazily and written atomically |
//! | [`tensor`] | where a tensor lies in a mapped file, and its values as `f32` |
//! | [`source`], [`kind`], [`beside`] | the named tensors of any of these files, under the official names |
//! | [`schema`], [`infer`] | the keys of a model from its sizes, and its sizes from its keys |
//! | [`spline`], [`position`] | relative position tables between clip lengths and grids (SPEC §2) |
//! | [`matching`], [`report`] | which tensor goes where, and what became of every key |
//! | [`checkpoint`], [`mod@import`], [`hash`] | checkpoint folders: reading, writing, taking over |
//! | [`keys`], [`mod@load`], [`mod@save`], [`open`] | module parameters under the official keys, in and out |

pub mod archive;
pub mod beside;
pub mod checkpoint;
#[cfg(test)]
mod dialects;
pub mod hash;
pub mod import;
pub mod infer;
pub mod keys;
pub mod kind;
pub mod load;
pub mod matching;
mod newest;
pub mod object;
pub mod open;
pub mod pickle;
pub mod position;
pub mod pth;
#[cfg(test)]
mod refused;
pub mod report;
pub mod safetensors;
pub mod save;
pub mod schema;
pub mod source;
pub mod spline;
pub mod tensor;
pub mod value;

pub use checkpoint::{Checkpoint, CheckpointInfo, CurriculumPosition, Vocabulary, read_info, write_checkpoint};
pub use hash::weights_hash;
pub use import::{ImportOptions, Imported, import};
pub use kind::SourceKind;
pub use load::load;
pub use matching::MatchOptions;
pub use newest::given_or_newest;
pub use open::{Opened, initialise, open_qa, open_svitt};
pub use report::Report;
pub use save::{ExportedTensors, model_hash, save};
pub use schema::Part;
pub use source::WeightSource;
pub use tensor::HostTensor;
